"""When a model takes over from another without anybody's word, and when it is given up. Pure: figures in, decisions out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netmote.daemon.analysis_view import AnalysisView
from netmote.models.config import ModelsConfig
from netmote.models.selection import Selection
from netmote.scoring.shadow_trial import TrialStatus, poisson_point

LEAST_WINDOWS = 1_000
LEAST_AGREEMENT = 0.99
# Runs before a latency is believed: the first ones warm caches up.
LEAST_RUNS = 100


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with one model, and why."""

    action: Literal["promote", "roll_back"]
    name: str
    version: str  # promote: the one that takes over; roll_back: the one given up
    reason: str


def decide(
    view: AnalysisView, selection: Selection, config: ModelsConfig, run_times: Mapping[str, tuple[int, float]]
) -> tuple[Decision, ...]:
    """`run_times`: by name of the model in use, how many runs there were and their 99th percentile in seconds. One decision a name at most."""
    trials = {trial.name: trial for trial in view.trials}
    decisions: list[Decision] = []
    for detector in view.detectors:
        name, choice = detector.name, selection.choices.get(detector.name)
        if choice is None:
            continue
        trial = trials.get(name)
        if config.roll_back and choice.previous is not None:
            runs, p99 = run_times.get(name, (0, 0.0))
            why = _given_up(detector.failure, runs, p99, config.latency_limit, is_shifted=detector.is_shifted)
            why = why or (_broken_budget(trial) if trial and trial.shadow_version == choice.previous else "")
            if why:
                decisions.append(Decision("roll_back", name, choice.active, why))
                continue
        if (
            config.promotion == "automatic"
            and trial
            and trial.shadow_version != choice.previous
            and is_passed(trial, config.trial)
        ):
            decisions.append(Decision("promote", name, trial.shadow_version, passed_with(trial)))
    return tuple(decisions)


def is_passed(trial: TrialStatus, seconds: float) -> bool:
    """Whether a trial of this length is over and nothing speaks against the model in shadow."""
    return (
        trial.failure is None
        and trial.seconds >= seconds
        and trial.windows >= LEAST_WINDOWS
        and trial.keeps_budget
        and (trial.agreement or 0.0) >= LEAST_AGREEMENT
    )


def passed_with(trial: TrialStatus) -> str:
    """The figures of a trial in words."""
    return (
        f"{trial.windows:,} windows in {trial.seconds / 3600:.1f} h, {trial.shadow_alerts} alerts where chance gives"
        f" {trial.expected:.1f}, {trial.agreement or 0.0:.2%} agreement with {trial.active_version}"
    )


def _given_up(failure: str | None, runs: int, p99: float, limit: float, *, is_shifted: bool) -> str:
    if failure is not None:
        return failure
    if runs >= LEAST_RUNS and p99 > limit:
        return f"a window takes {p99 * 1e3:.1f} ms (99th percentile), allowed are {limit * 1e3:.1f} ms"
    return "its scores no longer fit their calibration" if is_shifted else ""


def _broken_budget(trial: TrialStatus) -> str:
    """Seen from a trial whose shadow is what the active one replaced: traffic that alarms both is nobody's fault."""
    breaks = trial.active_alerts > poisson_point(trial.expected)
    if trial.windows < LEAST_WINDOWS or not breaks or not trial.keeps_budget:
        return ""
    return (
        f"{trial.active_alerts} alerts in {trial.windows:,} windows where chance gives {trial.expected:.1f};"
        f" {trial.shadow_version} has {trial.shadow_alerts}"
    )


def chosen_of(selection: Selection, found: Sequence[tuple[str, str, str]]) -> Selection:
    """The selection once bundles were loaded: `found` are (name, version, state).

    A name seen for the first time, or whose chosen version is no longer there (another package), is from now on the version in use.
    A chosen version that is refused stays chosen: it counts again once it is mended.
    """
    for name, version, state in found:
        choice = selection.choices.get(name)
        if state != "active" or (choice is not None and choice.active == version):
            continue
        lies_there = {other for its_name, other, _ in found if its_name == name}
        if choice is None or choice.active not in lies_there:
            selection = selection.settled(name, version)
    return selection
