"""Alerts whose source has left the configuration: nobody would ever say that their condition ended, so the daemon does.

Pure: the alerts that fire and what is observed now in, facts out.
"""

from collections.abc import Collection, Sequence

from netmote.alerts.alert import Alert
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch

SOURCE = "daemon"
_OF_DEVICE = ("device_unreachable", "snmp_broken", "counters_stuck", "bgp_peer_down")
_OF_PORT = ("interface_down",)
_OF_CAPTURE = ("capture_interface_gone", "capture_unavailable", "capture_link_down")


def orphan_facts(
    active: Sequence[Alert], *, sensor: str, devices: Collection[str], captured: Collection[str], now_ns: int
) -> FactBatch | None:
    """The ends of conditions of devices not polled and interfaces not captured any more; None when there are none."""
    facts = [
        Fact(entity, name, now_ns, 0.0, {"reason": "no longer configured"})
        for entity in sorted({alert.entity for alert in active})
        for name in _ended(entity, sensor, devices, captured)
    ]
    return FactBatch(SOURCE, now_ns, now_ns, tuple(facts)) if facts else None


def _ended(entity: Entity, sensor: str, devices: Collection[str], captured: Collection[str]) -> tuple[str, ...]:
    owner, _, port = entity.name.partition("/")
    if entity.kind is EntityKind.DEVICE:
        return () if owner in devices else _OF_DEVICE
    if entity.kind is EntityKind.SENSOR:
        return () if captured else _OF_CAPTURE
    if entity.kind is not EntityKind.INTERFACE:
        return ()
    if owner == sensor:
        return () if port in captured else _OF_CAPTURE
    return () if owner in devices else _OF_PORT
