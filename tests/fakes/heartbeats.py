"""A sign of life as the daemon hands it to sinks."""

from dataclasses import replace

from netmote.telemetry.health import Level, Reason
from netmote.telemetry.heartbeat import Heartbeat, LoadedModel, SinkBooks, Withheld

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def sample_heartbeat(**changes: object) -> Heartbeat:
    """A beat with something in every field; `changes` replace fields."""
    beat = Heartbeat(
        sensor="branch-7",
        ledger_epoch="3f2a9c",
        number=1,
        interval_seconds=60.0,
        at_ns=START + 60 * SECOND,
        started_at_ns=START,
        version="0.1.0",
        level=Level.RULES,
        reasons=(Reason("models", "no usable model", START, Level.RULES),),
        config_hash="c" * 64,
        rules_hash="d" * 64,
        models=(LoadedModel("traffic", "1.0.0", "e" * 64),),
        last_seq=41,
        books=SinkBooks(settled_seq=40, queued=1, withheld=(Withheld(7, 9, "silenced"),)),
        clock_offset_seconds=0.002,
        is_clock_synchronised=True,
        drops={"capture:kernel": 3},
    )
    return replace(beat, **changes)
