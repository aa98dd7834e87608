"""The snapshot and its JSON."""

import json
import math
from dataclasses import replace
from enum import StrEnum

import pytest

from netmote.telemetry.health import Level, Reason
from netmote.telemetry.snapshot import (
    AlertSummary,
    DeviceStatus,
    InputStatus,
    InterfaceStatus,
    LegStatus,
    ModelStatus,
    SinkStatus,
    Snapshot,
    StoreStatus,
)


def snapshot() -> Snapshot:
    return Snapshot(
        taken_at_ns=2**63 - 1,
        sensor="branch-7",
        version="1.2.3",
        level=Level.COLLECT,
        started_at_ns=5,
        reasons=(Reason("analysis", "restarted", 7, Level.COLLECT),),
        legs=(LegStatus("ingest", True, 0.5), LegStatus("analysis", False)),
        inputs=(InputStatus("eth0", "capture", "running", 0.1, 5.5, dropped={"ring_full": 3}),),
        devices=(DeviceStatus("sw", "10.0.0.2", "up", interfaces=(InterfaceStatus("Gi1", "up", 1e6),)),),
        drops={"windows/late": 2},
        models=(ModelStatus("ae", "1", "active", p50_ms=0.2),),
        alerts=(AlertSummary("id", "firing", "critical", "t", "host:x", "g", 0.9, 1, 2, 3, "T1046"),),
        sinks=(SinkStatus("webhook", "retrying", 4, 9.5),),
        store=StoreStatus(1, 2, 3, 4.5, 6, "e"),
    )


def test_json_and_back() -> None:
    """What one process writes another reads as the same value."""
    assert Snapshot.from_json(snapshot().to_json()) == snapshot()


def test_a_later_version_is_still_read() -> None:
    """Keys this version does not know are ignored, at every depth."""
    document = json.loads(snapshot().to_json())
    document["weather"] = "fine"
    document["inputs"][0]["colour"] = "blue"
    assert Snapshot.from_json(json.dumps(document)) == snapshot()


def test_a_state_of_a_later_version_is_a_word() -> None:
    """A word this version does not know, or one that comes as an enumeration's member, is read as the word."""

    class State(StrEnum):
        NAPPING = "napping"

    given = replace(snapshot(), devices=(DeviceStatus("sw", "10.0.0.2", State.NAPPING),))
    assert Snapshot.from_json(given.to_json()).devices[0].state == "napping"


def test_numbers_that_json_lacks_are_null() -> None:
    """A NaN is not known, and reads back as such."""
    given = Snapshot(1, "s", "v", Level.FULL, 0, inputs=(InputStatus("e", "capture", "running", lag_seconds=math.nan),))
    assert json.loads(given.to_json())["inputs"][0]["lag_seconds"] is None
    assert Snapshot.from_json(given.to_json()).inputs[0].lag_seconds is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"taken_at_ns": "x"}', "\xff"])
def test_anything_else_is_refused(text: str) -> None:
    """ValueError, whatever is wrong."""
    with pytest.raises(ValueError, match="not a snapshot"):
        Snapshot.from_json(text)


def test_alive_and_degraded() -> None:
    """A dead leg makes it dead; a reason alone makes it degraded."""
    assert not snapshot().is_alive
    healthy = Snapshot(1, "s", "v", Level.FULL, 0, legs=(LegStatus("ingest", True),))
    assert healthy.is_alive
    assert not healthy.is_degraded
    assert Snapshot(1, "s", "v", Level.FULL, 0, reasons=(Reason("web", "x", 1),)).is_degraded
