"""What packet loss does to detection: a lossy window raises no model alert and teaches nothing; what a rule says of it tells the loss."""

from collections.abc import Iterable
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from observed_records import SCANNER, pane, scan_story
from rich.console import Console

from netmote.alerts.alert import Alert, AlertState, Committed
from netmote.analysis.analysis import Analysis
from netmote.analysis.config import AnalysisConfig
from netmote.analysis.outcome import Outcome
from netmote.cli.alert_explained import explained
from netmote.records.batch import Batch
from netmote.records.flow import FlowBatch
from netmote.scoring.detector import Detector
from netmote.scoring.rules.rule_set import RuleSet
from netmote.sinks.alert_document import alert_document
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import TRAFFIC
from netmote.windows.vector import Quality, VectorBatch

OUT_BYTES = list(TRAFFIC.names).index("out_bytes_ps")
ARMED = 360  # windows until a calibration makes claims: an hour


class Volume:
    """A detector that scores by the octets sent."""

    name, version = "volume", "1.0.0"
    schema: FeatureSchema = TRAFFIC

    def score(self, vectors: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
        return vectors.values[:, OUT_BYTES].copy(), vectors.values.copy()


def lossy(batch: Batch, *, ratio: float) -> Batch:
    """The same pane, but so many of the packets offered never reached the ring: the backlog refused them."""
    if not isinstance(batch, FlowBatch):
        return batch
    dropped = round(batch.loss.received * ratio / (1 - ratio))
    return replace(batch, loss=replace(batch.loss, dropped=dropped, dropped_by=(("softnet", dropped),)))


def run(batches: Iterable[Batch], detectors: tuple[Detector, ...] = ()) -> tuple[Analysis, Outcome]:
    analysis = Analysis(AnalysisConfig(), sensor="s1", rules=RuleSet.load(["builtin"]), detectors=detectors)
    found = [analysis.observe(batch) for batch in batches]
    return analysis, Outcome.joined([*found, analysis.finish()])


def firing(outcome: Outcome, technique: str) -> list[Alert]:
    return [alert for alert in outcome.alerts if alert.technique == technique and alert.state is AlertState.FIRING]


def screen(alert: Alert) -> str:
    console = Console(width=200, file=StringIO())
    for part in explained([Committed("s1", "epoch", 1, 0, alert)]):
        console.print(part)
    return console.file.getvalue()


def test_a_scan_seen_through_loss_says_how_much_was_lost() -> None:
    """The alert is raised, one severity milder, and tells the share of lost packets on screen and upstream; without loss it is none."""
    clean = firing(run(scan_story(30, at=14))[1], "T1046")[0]
    alert = firing(run([lossy(batch, ratio=0.05) for batch in scan_story(30, at=14)])[1], "T1046")[0]
    assert alert.entity.name == SCANNER
    assert Quality.LOSS in alert.quality
    assert alert.loss_ratio == pytest.approx(0.05, abs=0.003)
    assert alert.severity == clean.severity + 1
    assert "quality loss" in screen(alert)
    assert f"{alert.loss_ratio:.1%} of packets lost" in screen(alert)
    document = alert_document(Committed("s1", "epoch", 1, 0, alert))
    assert document["quality"]["flags"] == ["loss"]
    assert document["quality"]["loss_ratio"] == pytest.approx(alert.loss_ratio)
    assert Quality.LOSS not in clean.quality
    assert "0.0% of packets lost" in screen(clean)


def test_the_limit_is_the_configured_one() -> None:
    """Loss at or below `windows.loss_limit` (1 %) marks nothing, though the alert tells it."""
    alert = firing(run([lossy(batch, ratio=0.009) for batch in scan_story(30, at=14)])[1], "T1046")[0]
    assert alert.quality is Quality.GOOD
    assert 0 < alert.loss_ratio < 0.01
    assert f"{alert.loss_ratio:.1%} of packets lost" in screen(alert)


def burst(number: int) -> FlowBatch:
    """A pane of the quiet exchange, but with two thousand times its octets."""
    batch = pane(number)
    batch.slices["initiator_octets"] *= 2000
    return batch


@pytest.mark.parametrize(("ratio", "is_raised"), [(0.0, True), (0.05, False)])
def test_a_lossy_window_raises_no_model_alert(ratio: float, is_raised: bool) -> None:
    """After an hour of the usual, a burst is a model's alert; the same burst in a window with 5 % loss is not, and its rows are marked."""
    usual = 2 * (ARMED + 12)
    batches: list[Batch] = [pane(number) for number in range(usual)]
    batches += [
        lossy(burst(number) if number == usual + 12 else pane(number), ratio=ratio) for number in range(usual, usual + 36)
    ]
    _, outcome = run(batches, (Volume(),))
    raised = [alert for alert in outcome.alerts if alert.group.startswith("model:volume")]
    assert bool(raised) is is_raised
    marked = [batch for batch in outcome.vectors if batch.schema.name == "traffic" and (batch.quality & Quality.LOSS).any()]
    assert bool(marked) is not is_raised


def test_lossy_windows_teach_nothing() -> None:
    """An hour of lossy windows leaves the model as cold as it was; an hour of good ones arms it."""
    armed, _ = run([pane(number) for number in range(2 * (ARMED + 12))], (Volume(),))
    cold, _ = run([lossy(pane(number), ratio=0.05) for number in range(2 * (ARMED + 12))], (Volume(),))
    assert armed.scoring.status()[0].armed == 3
    assert cold.scoring.status()[0].armed == 0
