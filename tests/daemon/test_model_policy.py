"""When one model takes over from another by itself, and when it is given up."""

from dataclasses import replace

import pytest

from netmote.daemon.analysis_view import AnalysisView
from netmote.daemon.model_policy import chosen_of, decide
from netmote.models.config import ModelsConfig
from netmote.models.selection import Choice, Selection
from netmote.scoring.model_scoring import DetectorStatus
from netmote.scoring.shadow_trial import TrialStatus

DETECTOR = DetectorStatus("m", "traffic", 0, 0, 5, 1e-4, None, 0, None, "1.0.0")
# A newer version in shadow that has done all that is asked of it.
PASSED = TrialStatus("m", "1.0.0", "2.0.0", 50_000, 5.0, 6, 6, 6, 1, 1 + 86_400 * 10**9, None)
AUTOMATIC = ModelsConfig(promotion="automatic")
BEFORE = Selection({"m": Choice("1.0.0")})
# 2.0.0 took over from 1.0.0, which goes on in shadow.
AFTER = Selection({"m": Choice("2.0.0", "1.0.0")})
WATCHED = replace(PASSED, active_version="2.0.0", shadow_version="1.0.0")
IN_USE = replace(DETECTOR, version="2.0.0")


def view(detector: DetectorStatus, *trials: TrialStatus) -> AnalysisView:
    return AnalysisView(1, (detector,), {}, {}, {}, {}, 0, 0, trials)


def test_a_passed_trial_promotes() -> None:
    """By policy, with its figures as the reason; by default nobody takes over without a word."""
    (decision,) = decide(view(DETECTOR, PASSED), BEFORE, AUTOMATIC, {})
    assert (decision.action, decision.name, decision.version) == ("promote", "m", "2.0.0")
    assert "50,000 windows in 24.0 h, 6 alerts where chance gives 5.0, 100.00% agreement with 1.0.0" in decision.reason
    assert decide(view(DETECTOR, PASSED), BEFORE, ModelsConfig(), {}) == ()


@pytest.mark.parametrize(
    "short",
    [
        {"ended_ns": 1 + 86_399 * 10**9},
        {"windows": 999, "expected": 0.1, "active_alerts": 0, "shadow_alerts": 0, "both_alerts": 0},
        {"shadow_alerts": 60},
        {"active_alerts": 1_000, "both_alerts": 0},
        {"failure": "RuntimeError: worn out"},
    ],
    ids=["too short", "too few windows", "breaks the budget", "disagrees", "failed"],
)
def test_a_trial_that_is_not_passed_promotes_nothing(short: dict[str, object]) -> None:
    """Each condition alone holds it back."""
    assert decide(view(DETECTOR, replace(PASSED, **short)), BEFORE, AUTOMATIC, {}) == ()


def test_the_predecessor_in_shadow_is_not_promoted_again() -> None:
    """After a promotion, what was replaced passes its trial too; that is no reason to go back."""
    assert decide(view(IN_USE, WATCHED), AFTER, AUTOMATIC, {}) == ()


@pytest.mark.parametrize(
    ("detector", "trial", "run_times", "reason"),
    [
        ({"failure": "RuntimeError: worn out"}, {}, {}, "worn out"),
        ({}, {}, {"m": (100, 0.051)}, "takes 51.0 ms"),
        ({"is_shifted": True}, {}, {}, "calibration"),
        ({}, {"active_alerts": 60}, {}, "60 alerts in 50,000 windows where chance gives 5.0; 1.0.0 has 6"),
    ],
    ids=["fails", "is slow", "is shifted", "breaks the budget"],
)
def test_a_model_is_given_up_for_the_one_before(
    detector: dict[str, object], trial: dict[str, object], run_times: dict[str, tuple[int, float]], reason: str
) -> None:
    """Each cause alone; not when it is switched off, and not when there is nothing before it."""
    seen = view(replace(IN_USE, **detector), replace(WATCHED, **trial))
    (decision,) = decide(seen, AFTER, ModelsConfig(), run_times)
    assert (decision.action, decision.version) == ("roll_back", "2.0.0")
    assert reason in decision.reason
    assert decide(seen, AFTER, ModelsConfig(roll_back=False), run_times) == ()
    assert decide(seen, Selection({"m": Choice("2.0.0")}), ModelsConfig(), run_times) == ()


def test_traffic_that_alarms_both_gives_up_neither() -> None:
    """A broken budget counts only while the version before keeps it; and a latency only once enough runs were timed."""
    both = replace(WATCHED, active_alerts=60, shadow_alerts=60, both_alerts=60)
    assert decide(view(IN_USE, both), AFTER, ModelsConfig(), {"m": (99, 9.0)}) == ()


def test_what_was_never_chosen_is_left_alone() -> None:
    """A detector of the daemon's own has no versions to choose from."""
    assert decide(view(replace(DETECTOR, failure="gone")), Selection(), AUTOMATIC, {}) == ()


def test_the_first_version_in_use_is_chosen() -> None:
    """And stays so when a newer one appears, or while it is refused; only when it is gone, what is in use is chosen anew."""
    first = chosen_of(Selection(), [("m", "1.0.0", "active"), ("m", "0.9.0", "standby")])
    assert first.choices == {"m": Choice("1.0.0")}
    for found in (
        [("m", "2.0.0", "shadow"), ("m", "1.0.0", "active")],
        [("m", "2.0.0", "active"), ("m", "1.0.0", "refused")],
        [],
    ):
        assert chosen_of(first, found) is first
    rejecting = Selection({"m": Choice("1.0.0", "0.9.0", ("1.5.0",))})
    assert chosen_of(rejecting, [("m", "2.0.0", "active")]).choices == {"m": Choice("2.0.0", None, ("1.5.0",))}
