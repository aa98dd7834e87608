"""What the bundles mean for the ladder."""

from manual_clock import ManualClock

from netmote.daemon.model_health import COMPONENT, are_same_bundles, judge_models
from netmote.models.registry import BundleStatus
from netmote.telemetry.health import Health, Level


def bundle(name: str, state: str, *, load_ms: float = 1.0, reason: str = "") -> BundleStatus:
    return BundleStatus(name, "1.0.0", state, reason, "", f"/models/{name}", 1, load_ms, "numpy")  # type: ignore[arg-type]


def text(health: Health) -> str:
    return next((reason.text for reason in health.reasons if reason.component == COMPONENT), "")


def test_the_ladder() -> None:
    """None in use is `rules`; one refused beside one in use is a reason at `full`; all well is nothing; each is news once."""
    health = Health(ManualClock())
    assert judge_models(health, [], {})
    assert not judge_models(health, [], {})
    assert (health.level, text(health)) == (Level.RULES, "no usable model")
    judge_models(health, [bundle("a", "refused", reason="checksum")], {})
    assert (health.level, text(health)) == (Level.RULES, "no usable model; a 1.0.0: checksum")
    judge_models(health, [bundle("a", "active"), bundle("b", "refused", reason="schema")], {})
    assert (health.level, text(health)) == (Level.FULL, "b 1.0.0: schema")
    assert judge_models(health, [bundle("a", "active"), bundle("a", "standby")], {})
    assert not health.reasons


def test_a_model_out_of_use_counts_as_none() -> None:
    """A detector that failed while running takes the level down when it was the last one, and back when it works again."""
    health = Health(ManualClock())
    bundles = [bundle("a", "active")]
    judge_models(health, bundles, {"a": "RuntimeError: x"})
    assert (health.level, text(health)) == (Level.RULES, "no usable model; a is out of use: RuntimeError: x")
    judge_models(health, [*bundles, bundle("b", "active")], {"a": "RuntimeError: x"})
    assert health.level is Level.FULL
    judge_models(health, bundles, {})
    assert not health.is_degraded


def test_bundles_are_the_same_however_long_they_took_to_load() -> None:
    """A reload replaces analysis for another bundle, not for a slower disk."""
    assert are_same_bundles([bundle("a", "active")], [bundle("a", "active", load_ms=9.0)])
    assert not are_same_bundles([bundle("a", "active")], [bundle("a", "refused")])
    assert not are_same_bundles([], [bundle("a", "active")])
