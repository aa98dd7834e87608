"""What is sent for one alert or heartbeat. Pure.

CloudEvents Kafka protocol binding 1.0.2, structured content mode: the event is the value, its media type the header `content-type`.
A consumer drops repetitions by the event's `source` and `id`: the producer is idempotent only as long as it lives, and a batch whose
acknowledgement was lost with it comes again.
"""

from dataclasses import dataclass

from netmote.alerts.alert import Committed
from netmote.sinks.cloudevents import encode_event, encode_heartbeat
from netmote.telemetry.heartbeat import Heartbeat

HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


@dataclass(frozen=True, slots=True)
class Message:
    """One record."""

    topic: str
    key: bytes
    value: bytes


def alert_message(committed: Committed, *, topic: str) -> Message:
    """The alert as a CloudEvent."""
    return Message(topic, _key(committed.sensor), encode_event(committed))


def heartbeat_message(beat: Heartbeat, *, topic: str) -> Message:
    """The heartbeat as a CloudEvent."""
    return Message(topic, _key(beat.sensor), encode_heartbeat(beat))


def _key(sensor: str) -> bytes:
    return sensor.encode("utf-8", "replace")
