"""The level of the degradation ladder as facts, so that it goes upstream like everything else that is certain.

Pure: the level and its reasons in, facts out when it changed. While analysis itself is down nobody judges facts; they lie in the
store and are judged when it runs again, which then says that it had been down.
"""

from collections.abc import Sequence

from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.telemetry.health import Level, Reason

SOURCE = "daemon"
_CONDITIONS = {
    Level.RULES: "degraded_to_rules",
    Level.COLLECT: "degraded_to_collect",
    Level.LEDGER: "degraded_to_ledger",
}
_MAX_REASON = 200


class LevelWatch:
    """Remembers the last level told. The first call always tells, which ends what a daemon before this one had begun."""

    def __init__(self, *, sensor: str) -> None:
        self._entity = Entity(EntityKind.SENSOR, sensor)
        self._told: Level | None = None

    def facts(self, level: Level, reasons: Sequence[Reason], now_ns: int) -> FactBatch | None:
        """One condition for each rung: 1 for the present one, 0 for the others; None when nothing changed."""
        if level is self._told:
            return None
        self._told = level
        said = "; ".join(f"{reason.component}: {reason.text}" for reason in reasons if reason.level is level)
        facts = tuple(
            Fact(self._entity, name, now_ns, float(rung is level), {"reason": said[:_MAX_REASON]} if rung is level else {})
            for rung, name in _CONDITIONS.items()
        )
        return FactBatch(SOURCE, now_ns, now_ns, facts)
