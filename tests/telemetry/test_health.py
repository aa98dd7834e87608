"""The degradation ladder."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from manual_clock import ManualClock

from netmote.telemetry.health import Health, Level


def test_healthy_at_first() -> None:
    """Nothing reported means everything works."""
    health = Health(ManualClock())
    assert (health.level, health.reasons, health.is_degraded) == (Level.FULL, (), False)


def test_the_deepest_reason_is_the_level() -> None:
    """Each component recovers alone; the level follows what is left, deepest reason first."""
    health = Health(ManualClock())
    assert health.degrade("models", Level.RULES, "no bundle")
    assert health.degrade("store", Level.LEDGER, "disk nearly full")
    assert health.degrade("capture:eth0", Level.FULL, "no permission")
    assert health.level is Level.LEDGER
    assert [reason.component for reason in health.reasons] == ["store", "models", "capture:eth0"]
    assert health.recover("store")
    assert health.level is Level.RULES
    assert health.recover("models")
    assert health.level is Level.FULL
    assert health.is_degraded, "an input that fails alone leaves the ladder where it is, but is said"
    assert not health.recover("models"), "recovering twice is no news"


def test_since_is_when_this_level_began() -> None:
    """A changed sentence is news but keeps its time; a changed level has a time of its own; the same again is nothing."""
    clock = ManualClock()
    health = Health(clock)
    began = clock.now_ns()
    assert health.degrade("snmp", Level.FULL, "1 device does not answer")
    clock.advance(5)
    assert not health.degrade("snmp", Level.FULL, "1 device does not answer")
    assert health.degrade("snmp", Level.FULL, "2 devices do not answer")
    assert health.reasons[0].since_ns == began
    assert health.reasons[0].text == "2 devices do not answer"
    assert health.degrade("snmp", Level.COLLECT, "worse")
    assert health.reasons[0].since_ns == clock.now_ns()


def test_depth_orders_the_rungs() -> None:
    """From full down to ledger."""
    assert sorted(Level, key=lambda level: level.depth) == [Level.FULL, Level.RULES, Level.COLLECT, Level.LEDGER]


def test_threads() -> None:
    """Reports of many threads are all there."""
    health = Health(ManualClock())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: health.degrade(f"c{number}", Level.RULES, "x"), range(500)))
        assert len(health.reasons) == 500
        list(pool.map(lambda number: health.recover(f"c{number}"), range(500)))
    assert health.level is Level.FULL


def test_reasons_are_values() -> None:
    """What was handed out does not change afterwards."""
    health = Health(ManualClock())
    health.degrade("a", Level.RULES, "x")
    kept = health.reasons
    health.recover("a")
    assert len(kept) == 1
    with pytest.raises(AttributeError):
        kept[0].text = "y"  # type: ignore[misc]
