"""What goes over the wire, file by file: see tests/golden/alert_formats/README.md."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from heartbeats import sample_heartbeat
from sink_alerts import SECOND, START, committed_alert

from netmote import __version__
from netmote.alerts.alert import AlertState, Committed
from netmote.alerts.encoding import decode_alert, encode_alert
from netmote.sinks.alert_document import alert_document
from netmote.sinks.alertmanager import posted_alert
from netmote.sinks.cloudevents import cloud_event, heartbeat_event
from netmote.sinks.ecs import ecs_document
from netmote.sinks.eve_alert import eve_alert
from netmote.sinks.otlp_log import alert_record, heartbeat_record
from netmote.sinks.syslog_message import alert_message, heartbeat_message

CASE = Path(__file__).parents[1] / "golden" / "alert_formats"
LATER = START + 600 * SECOND
HEARTBEAT = sample_heartbeat(version=__version__)


def _posted(committed: Committed) -> dict[str, Any]:
    alert = posted_alert.firing(posted_alert.described(committed), committed.alert.started_at_ns, now_ns=LATER)
    return posted_alert.ended(alert, now_ns=LATER) if committed.alert.state is AlertState.RESOLVED else alert


def _record(record: Any) -> dict[str, Any]:
    """The body of a log record is JSON: indented like the rest."""
    return {**asdict(record), "body": json.loads(record.body)}


ALERT_FORMATS: dict[str, Callable[[Committed], Any]] = {
    "document.json": alert_document,
    "cloudevent.json": cloud_event,
    "eve.json": eve_alert,
    "ecs.json": ecs_document,
    "otlp.json": lambda committed: _record(alert_record(committed)),
    "alertmanager.json": _posted,
    "syslog.txt": lambda committed: alert_message(committed).decode(),
}
HEARTBEAT_FORMATS: dict[str, Callable[[], Any]] = {
    "heartbeat.cloudevent.json": lambda: heartbeat_event(HEARTBEAT),
    "heartbeat.otlp.json": lambda: _record(heartbeat_record(HEARTBEAT)),
    "heartbeat.alertmanager.json": lambda: posted_alert.heartbeat(HEARTBEAT, now_ns=LATER),
    "heartbeat.syslog.txt": lambda: heartbeat_message(HEARTBEAT).decode(),
}


def _read(name: str) -> Committed:
    kept = json.loads((CASE / name).read_text())
    return Committed(alert=decode_alert(json.dumps(kept["alert"]).encode()), **kept["place"])


def _texts() -> dict[str, str]:
    """Every file of the case that the formats make."""
    made: dict[str, Any] = {name: make() for name, make in HEARTBEAT_FORMATS.items()}
    for source in ("firing", "resolved"):
        committed = _read(f"{source}.alert.json")
        made |= {f"{source}.{name}": make(committed) for name, make in ALERT_FORMATS.items()}
    return {name: _text(value) for name, value in made.items()}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
    # The version in quotation marks: netmote's own, wherever a format says it.
    return f"{text}\n".replace(f'"{__version__}"', '"VERSION"')


@pytest.mark.parametrize(
    "name", [*HEARTBEAT_FORMATS, *(f"{source}.{name}" for source in ("firing", "resolved") for name in ALERT_FORMATS)]
)
def test_the_wire_is_as_it_was(name: str) -> None:
    """Byte for byte but for the version: whoever changes a format says so by changing its file."""
    assert _texts()[name] == (CASE / name).read_text()


def test_no_file_is_forgotten() -> None:
    """Each file of the folder is an input, the README, or made by a format."""
    inputs = {"README.md", "firing.alert.json", "resolved.alert.json"}
    assert {path.name for path in CASE.iterdir()} == inputs | _texts().keys()


def _write() -> None:
    firing = replace(committed_alert(12), is_clock_synchronised=True)
    ended = {"revision": 3, "state": AlertState.RESOLVED, "resolved_at_ns": START + 90 * SECOND, "count": 9}
    resolved = replace(committed_alert(12, **ended), seq=17, committed_at_ns=START + 91 * SECOND, is_clock_synchronised=False)
    for name, committed in (("firing", firing), ("resolved", resolved)):
        place = {each.name: getattr(committed, each.name) for each in fields(committed) if each.name != "alert"}
        kept = {"place": place, "alert": json.loads(encode_alert(committed.alert))}
        (CASE / f"{name}.alert.json").write_text(f"{json.dumps(kept, indent=1)}\n")
    for name, text in _texts().items():
        (CASE / name).write_text(text)


if __name__ == "__main__":
    _write()
