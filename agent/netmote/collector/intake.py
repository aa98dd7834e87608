"""A body to the events it holds, and the reasons why others cannot be taken. Pure: octets in, values out.

Accepts a batch of CloudEvents 1.0 in JSON (an array) or one event (an object) whose source is a sensor of netmote. What a sensor
claims of itself is bounded here, once: everything behind this room may trust lengths and types.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from netmote.collector.runs import Run

MAX_EVENTS = 2_000
MAX_EVENT_BYTES = 256 * 1024
HEARTBEAT_TYPE = "io.netmote.heartbeat.v1"

_ALERT_PREFIX = "io.netmote.alert."
_MAX_ID, _MAX_TYPE, _MAX_NAME = 512, 128, 128
_MAX_WITHHELD = 1_000
_MAX_SEQ = 2**62
_MAX_REASON = 200


class BadBody(ValueError):
    """Nothing of a body can be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat says that the books need. `document` is all of it."""

    number: int
    interval_seconds: float
    started_at: str
    settled_seq: int
    last_seq: int
    withheld: tuple[Run, ...]
    withheld_from: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event. `seq` is None for what is no alert."""

    sensor: str
    epoch: str
    event_id: str
    type: str
    seq: int | None
    body: bytes  # the event, compact JSON in ASCII
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """A body taken apart. `rejected` holds (event id, reason); an event without a usable id is not in it but fails the body."""

    arrivals: tuple[Arrival, ...]
    rejected: tuple[tuple[str, str], ...]


def read_body(body: bytes, *, speaks_for: Sequence[str] | None = None) -> Intake:
    """Take a body apart. Raises BadBody. `speaks_for`: the only sensors this peer may be, None: any."""
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"not JSON: {error or 'nested too deeply'}") from error
    events = document if isinstance(document, list) else [document]
    if len(events) > MAX_EVENTS:
        raise BadBody(f"{len(events)} events in one body; at most {MAX_EVENTS}")
    arrivals: list[Arrival] = []
    rejected: list[tuple[str, str]] = []
    for position, event in enumerate(events):
        event_id = _event_id(event, position)
        try:
            arrivals.append(_arrival(event, event_id, speaks_for))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            rejected.append((event_id, reason[:_MAX_REASON]))
    return Intake(tuple(arrivals), tuple(rejected))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON (RFC 8259 section 6)")


def _event_id(event: Any, position: int) -> str:
    """The id under which an event can be refused. Without one the sender could not be told which it was."""
    if not isinstance(event, dict):
        raise BadBody(f"event {position} is not an object")
    event_id = event.get("id")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= _MAX_ID:
        raise BadBody(f"event {position} has no id of 1 to {_MAX_ID} characters")
    try:
        event_id.encode()
    except UnicodeEncodeError as error:
        raise BadBody(f"event {position} has an id that is no text") from error
    return event_id


def _arrival(event: dict[str, Any], event_id: str, speaks_for: Sequence[str] | None) -> Arrival:
    if event.get("specversion") != "1.0":
        raise ValueError("not a CloudEvent 1.0 (specversion)")
    kind = _text(event, "type", _MAX_TYPE)
    sensor, epoch = _source(_text(event, "source", 4 * _MAX_NAME))
    if speaks_for is not None and sensor not in speaks_for:
        raise ValueError(f"the peer's certificate does not speak for sensor {sensor!r}")
    encoded = json.dumps(event, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(encoded) > MAX_EVENT_BYTES:
        raise ValueError(f"{len(encoded)} bytes; at most {MAX_EVENT_BYTES}")
    if kind == HEARTBEAT_TYPE:
        return Arrival(sensor, epoch, event_id, kind, None, encoded, _beat(event["data"]))
    seq = _whole(event["seq"], "seq", least=1) if kind.startswith(_ALERT_PREFIX) else None
    return Arrival(sensor, epoch, event_id, kind, seq, encoded)


def _source(source: str) -> tuple[str, str]:
    """Sensor and epoch of `netmote://SENSOR/EPOCH`, both percent-encoded."""
    parts = urlsplit(source)
    sensor, epoch = unquote(parts.netloc), unquote(parts.path.removeprefix("/"))
    if parts.scheme != "netmote" or not sensor or not epoch or parts.query or parts.fragment:
        raise ValueError(f"source {source[:80]!r} is not netmote://SENSOR/EPOCH")
    if len(sensor) > _MAX_NAME or len(epoch) > _MAX_NAME or not (sensor + epoch).isprintable():
        raise ValueError(f"sensor and epoch are at most {_MAX_NAME} printable characters each")
    return sensor, epoch


def _beat(data: Any) -> Beat:
    if not isinstance(data, dict):
        raise TypeError("a heartbeat's data is an object")
    interval = data["interval_seconds"]
    if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0.1 <= interval <= 86_400:
        raise ValueError("interval_seconds is a number from 0.1 to 86400")
    withheld = data.get("withheld", [])
    if not isinstance(withheld, list) or len(withheld) > _MAX_WITHHELD:
        raise ValueError(f"withheld is a list of at most {_MAX_WITHHELD}")
    return Beat(
        number=_whole(data["number"], "number"),
        interval_seconds=float(interval),
        started_at=_text(data, "started_at", 64),
        settled_seq=_whole(data["settled_seq"], "settled_seq"),
        last_seq=_whole(data["last_seq"], "last_seq"),
        withheld=tuple((_whole(each["first"], "first"), _whole(each["last"], "last")) for each in withheld),
        withheld_from=_whole(data["withheld_from"], "withheld_from"),
        document=json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii"),
    )


def _text(document: dict[str, Any], key: str, limit: int) -> str:
    value = document[key]
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ValueError(f"{key} is a text of 1 to {limit} characters")
    value.encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
    return value


def _whole(value: Any, key: str, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX_SEQ:
        raise ValueError(f"{key} is a whole number from {least}")
    return value
