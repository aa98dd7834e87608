"""What is published for one alert or heartbeat, and what the broker's PUBACK means. Pure.

| reason code (MQTT 5.0 section 3.4.2.1) | meaning |
| --- | --- |
| 0x00 success | the broker has it |
| 0x10 no matching subscribers | the broker threw it away: try again until somebody subscribes |
| 0x95 packet too large, 0x99 payload format invalid | this row is refused for ever |
| 0x87 not authorized, 0x90 topic name invalid | a fault of the configuration: try again, say what to mend |
| every other | try again |
"""

from dataclasses import dataclass

from netmote.alerts.alert import Committed
from netmote.errors import NetmoteError, Permanent, Retryable
from netmote.sinks.cloudevents import encode_event, encode_heartbeat
from netmote.telemetry.heartbeat import Heartbeat

_SUCCESS, _NO_SUBSCRIBERS = 0x00, 0x10
_REFUSED = {0x95: "packet too large", 0x99: "payload format invalid"}
_FAULTS = {
    0x80: "unspecified error",
    0x83: "implementation specific error",
    0x87: "not authorized: check user and the broker's access list",
    0x90: "topic name invalid: check topic",
    0x91: "packet identifier in use",
    0x97: "quota exceeded",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish."""

    topic: str
    payload: bytes


def alert_message(committed: Committed, *, topic: str) -> Message:
    """The alert as a CloudEvent, by sensor and severity."""
    return Message(f"{topic}/{level(committed.sensor)}/{committed.alert.severity.word}", encode_event(committed))


def heartbeat_message(beat: Heartbeat, *, topic: str) -> Message:
    """The heartbeat as a CloudEvent."""
    return Message(f"{topic}/{level(beat.sensor)}", encode_heartbeat(beat))


def level(name: str) -> str:
    """A name as one level of a topic. Two sensors may share one; the event says whose it is."""
    return "".join("_" if c in "/+#$" or not c.isprintable() else c for c in name) or "_"


def judge(reason: int, *, topic: str) -> NetmoteError | None:
    """What a reason code means for a message to `topic`: None when the broker has it."""
    if reason == _SUCCESS:
        return None
    if reason == _NO_SUBSCRIBERS:
        return Retryable(f"nobody subscribes to {topic}: the broker would throw alerts away")
    if reason in _REFUSED:
        return Permanent(f"PUBACK 0x{reason:02x}: {_REFUSED[reason]}")
    return Retryable(f"PUBACK 0x{reason:02x}: {_FAULTS.get(reason, 'unknown reason')}")
