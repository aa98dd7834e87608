"""The level goes upstream: each change once, with its reason, and it ends when the level is left."""

from netmote.daemon.degradation import LevelWatch
from netmote.telemetry.health import Level, Reason


def told(watch: LevelWatch, level: Level, *reasons: Reason) -> dict[str, float] | None:
    batch = watch.facts(level, reasons, 5)
    return None if batch is None else {fact.name: fact.value for fact in batch.facts}


def test_first_call_ends_what_a_daemon_before_had_begun() -> None:
    """At the start every rung but the present one is told as ended."""
    assert told(LevelWatch(sensor="s"), Level.FULL) == {
        "degraded_to_rules": 0.0,
        "degraded_to_collect": 0.0,
        "degraded_to_ledger": 0.0,
    }


def test_each_change_is_told_once() -> None:
    """The same level is not told twice; another ends the one before."""
    watch = LevelWatch(sensor="s")
    told(watch, Level.FULL)
    assert told(watch, Level.RULES) == {"degraded_to_rules": 1.0, "degraded_to_collect": 0.0, "degraded_to_ledger": 0.0}
    assert told(watch, Level.RULES) is None
    assert told(watch, Level.LEDGER) == {"degraded_to_rules": 0.0, "degraded_to_collect": 0.0, "degraded_to_ledger": 1.0}


def test_only_reasons_of_the_level_are_given() -> None:
    """The reason is that of the rung, not of an input that failed alone."""
    reasons = [Reason("models", "no usable model", 1, Level.RULES), Reason("snmp", "down", 1, Level.FULL)]
    batch = LevelWatch(sensor="s").facts(Level.RULES, reasons, 5)
    assert batch is not None
    assert batch.facts[0].annotations["reason"] == "models: no usable model"
