"""What may be seen of a running analysis from another thread: values copied in its own thread, between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass

from netmote.alerts.alert import AlertState
from netmote.analysis.analysis import Analysis
from netmote.scoring.model_scoring import DetectorStatus
from netmote.scoring.shadow_trial import TrialStatus


@dataclass(frozen=True, slots=True)
class AnalysisView:
    """One moment of one analysis."""

    event_time_ns: int
    detectors: tuple[DetectorStatus, ...]
    failures: Mapping[str, str]  # detectors out of use, with the reason
    late_records: Mapping[str, int]  # by source
    dropped_records: Mapping[str, int]  # too late for any window, by source
    refusals: Mapping[str, int]  # what found no room in windows, by reason
    pending_alerts: int
    firing_alerts: int
    trials: tuple[TrialStatus, ...] = ()  # models in shadow beside those in use


def look_at(analysis: Analysis) -> AnalysisView:
    """To be called where the analysis runs."""
    active = analysis.book.active
    return AnalysisView(
        event_time_ns=analysis.event_time_ns,
        detectors=analysis.scoring.status(),
        failures=analysis.scoring.failures,
        late_records=dict(analysis.windows.late_records),
        dropped_records=dict(analysis.windows.dropped_records),
        refusals=dict(analysis.windows.refusals()),
        pending_alerts=active[AlertState.PENDING],
        firing_alerts=active[AlertState.FIRING],
        trials=analysis.scoring.trials(),
    )
