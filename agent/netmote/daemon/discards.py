"""What went no further inside the agent, by place and reason: for the metrics, and for the list of drops people see."""

from collections import Counter

from netmote.records.batch import Batch
from netmote.records.flow import FlowBatch
from netmote.records.interface import InterfaceBatch
from netmote.telemetry.metrics import Metrics


class Discards:
    """Counts records. `totals` is keyed `<stage>/<reason>`; stages and reasons are words of ours, so it is bounded."""

    def __init__(self, metrics: Metrics) -> None:
        self.totals: Counter[str] = Counter()
        self._metrics = metrics

    def count(self, batches: tuple[Batch, ...], *, stage: str, reason: str, is_intentional: bool = False) -> None:
        """These batches went no further. Intentional: a policy of the configuration asked for it."""
        self.count_records(sum(map(records_in, batches)), stage=stage, reason=reason, is_intentional=is_intentional)

    def count_records(self, records: int, *, stage: str, reason: str, is_intentional: bool = False) -> None:
        """This many records went no further."""
        if records:
            self.totals[f"{stage}/{reason}"] += records
            intentional = "true" if is_intentional else "false"
            self._metrics.discarded_records_total.inc(records, stage=stage, reason=reason, intentional=intentional)


def records_in(batch: Batch) -> int:
    """Records of a batch: slices, ports, or one. A batch without any still counts as one: its watermark is lost with it."""
    if isinstance(batch, FlowBatch):
        return max(1, len(batch.slices))
    return max(1, len(batch.interfaces)) if isinstance(batch, InterfaceBatch) else 1
