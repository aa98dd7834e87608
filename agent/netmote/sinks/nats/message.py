"""What is published for one alert or heartbeat, and what JetStream's answer means. Pure.

| answer | meaning |
| --- | --- |
| `{"stream": ..., "seq": ...}`, with `duplicate` or without | stored; a duplicate was stored before |
| error 10054, 10097 (message or header larger than the stream takes), over the server's `max_payload` | this row is refused for ever |
| status 503 without a body | no stream stores this subject: try again, say what to create |
| every other error (no space, no quorum, another stream than expected) | try again |
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from netmote.alerts.alert import Committed
from netmote.errors import NetmoteError, Permanent, Retryable
from netmote.sinks.cloudevents import encode_event, encode_heartbeat, heartbeat_id
from netmote.telemetry.heartbeat import Heartbeat

# nats-server's server/errors.json: JSStreamMessageExceedsMaximumErr, JSStreamHeaderExceedsMaximumErr.
_TOO_LARGE = frozenset({10054, 10097})
# CloudEvents NATS protocol binding 1.0.3, structured content mode.
_MEDIA_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]


def alert_message(committed: Committed, *, subject: str, stream: str | None) -> Message:
    """The alert as a CloudEvent. Its id is the `Nats-Msg-Id`, by which the stream drops a repetition within its `duplicate_window`."""
    headers = {"Nats-Msg-Id": committed.alert.event_id, "Content-Type": _MEDIA_TYPE}
    if stream is not None:
        headers["Nats-Expected-Stream"] = stream
    where = f"{subject}.{token(committed.sensor)}.{committed.alert.severity.word}"
    return Message(where, encode_event(committed), headers)


def heartbeat_message(beat: Heartbeat, *, subject: str) -> Message:
    """The heartbeat as a CloudEvent."""
    headers = {"Nats-Msg-Id": heartbeat_id(beat), "Content-Type": _MEDIA_TYPE}
    return Message(f"{subject}.{token(beat.sensor)}", encode_heartbeat(beat), headers)


def token(name: str) -> str:
    """A name as one word of a subject. Two sensors may share one; the event says whose it is."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name) or "_"


def judge(payload: bytes, status: str | None, *, subject: str) -> NetmoteError | None:
    """What an answer to a message published to `subject` means: None when it is stored."""
    if status == "503":
        return Retryable(f"no JetStream stream stores {subject}: create one, or check subject")
    try:
        answer = json.loads(payload)
        error = answer.get("error")
        if error is None and isinstance(answer["stream"], str) and isinstance(answer["seq"], int):
            return None
        code, text = error["err_code"], f"JetStream error {error['err_code']}: {str(error.get('description', ''))[:200]}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Retryable(f"an answer that is no acknowledgement of JetStream: {payload[:100]!r}")
    return Permanent(text) if code in _TOO_LARGE else Retryable(text)
