"""What Alertmanager has been told, and what it has to be told next. Pure, in memory: the ledger is the truth, this is the difference.

Alerts are known here by their labels, as Alertmanager knows them. An ended one is told for a while after its end (Prometheus does so
for 15 minutes, rules/alerting.go), because Alertmanager may have been killed with the end in its memory alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netmote.alerts.alert import AlertState, Committed
from netmote.sinks.alertmanager.posted_alert import described, ended, firing

ENDED_RETENTION_SECONDS = 900.0
_MAX_ENDED = 10_000  # the oldest ends are forgotten first; resolve_timeout ends those alerts too

Key = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Standing:
    """An active alert, described once per revision."""

    row: Committed
    alert: dict[str, Any]
    key: Key

    def told(self, now_ns: int) -> dict[str, Any]:
        return firing(self.alert, self.row.alert.started_at_ns, now_ns=now_ns)


def key_of(alert: dict[str, Any]) -> Key:
    """What makes two posted alerts one to Alertmanager."""
    return frozenset(alert["labels"].items())


class Told:
    """The alerts of one Alertmanager. Times: `now_ns` is Alertmanager's wall time, `monotonic` this machine's, in seconds."""

    def __init__(self) -> None:
        self._standing: dict[str, _Standing] = {}  # by alert id
        self._firing_keys: frozenset[Key] = frozenset()
        self._fired: dict[Key, dict[str, Any]] = {}  # told as firing and not as ended
        self._ended: dict[Key, tuple[dict[str, Any], float]] = {}  # the end, and until when it is told again

    def learn(self, active: Sequence[Committed]) -> Iterator[None]:
        """What is firing and not silenced now. Yields after each description, so that the caller can let others run; holds at the end."""
        standing = {}
        for row in active:
            known = self._standing.get(row.alert.alert_id)
            if known is None or known.row.alert.event_id != row.alert.event_id:
                alert = described(row)
                known = _Standing(row, alert, key_of(alert))
                yield
            standing[row.alert.alert_id] = known
        self._standing = standing
        self._firing_keys = frozenset(each.key for each in standing.values())

    def answer(self, row: Committed, *, now_ns: int) -> dict[str, Any] | None:
        """What to tell of a revision: the alert as it stands now. None when it is history, which Alertmanager does not want.

        History is what has ended since, or fires again.
        """
        standing = self._standing.get(row.alert.alert_id)
        if standing is not None:
            return standing.told(now_ns)
        if row.alert.state is not AlertState.RESOLVED:
            return None
        alert = described(row)
        if key_of(alert) in self._firing_keys:
            return None
        return ended(firing(alert, row.alert.started_at_ns, now_ns=now_ns), now_ns=now_ns)

    def gone(self, *, now_ns: int) -> list[dict[str, Any]]:
        """The ends of those that were told as firing and are not any more: resolved, silenced, or graver under other labels."""
        return [ended(alert, now_ns=now_ns) for key, alert in self._fired.items() if key not in self._firing_keys]

    def everything(self, *, now_ns: int, monotonic: float) -> list[dict[str, Any]]:
        """All that Alertmanager should know: what fires, what has gone, and ends that are still told."""
        ends = [alert for key, (alert, until) in self._ended.items() if until > monotonic and key not in self._firing_keys]
        return [*(each.told(now_ns) for each in self._standing.values()), *self.gone(now_ns=now_ns), *ends]

    def accepted(self, alerts: Iterable[dict[str, Any]], *, monotonic: float) -> None:
        """Alertmanager has these."""
        for alert in alerts:
            key = key_of(alert)
            if "endsAt" not in alert:
                self._fired[key] = alert
                self._ended.pop(key, None)
                continue
            self._fired.pop(key, None)
            self._ended.setdefault(key, (alert, monotonic + ENDED_RETENTION_SECONDS))
        self._ended = {key: value for key, value in self._ended.items() if value[1] > monotonic}
        while len(self._ended) > _MAX_ENDED:
            del self._ended[next(iter(self._ended))]
