"""Alerts and heartbeats as a sink may see them: every address in them treated, and no identifier left that one could be guessed from.

Fingerprint and alert id are hashes of what an alert is about, without a key: whoever tries all addresses finds the one. So they are
hashed again, with the key; revisions of one alert keep one id, and (sensor, epoch, number) still names the revision on both sides.
"""

from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from netmote.alerts.alert import Alert, Committed
from netmote.privacy.treatment import AddressTreatment
from netmote.records.entity import Entity
from netmote.telemetry.heartbeat import Heartbeat
from netmote.windows.vector import WindowEvidence


def concealed(committed: Committed, treatment: AddressTreatment) -> Committed:
    """The same revision under the same number."""
    return committed if treatment.is_keeping else replace(committed, alert=_alert(committed.alert, treatment))


def concealed_heartbeat(heartbeat: Heartbeat, treatment: AddressTreatment) -> Heartbeat:
    """Reasons may name a device by its address."""
    if treatment.is_keeping:
        return heartbeat
    reasons = tuple(
        replace(each, component=treatment.prose(each.component), text=treatment.prose(each.text)) for each in heartbeat.reasons
    )
    return replace(heartbeat, reasons=reasons)


def _alert(alert: Alert, treatment: AddressTreatment) -> Alert:
    return replace(
        treated(alert, treatment),
        alert_id=_uuid(treatment.identifier(alert.alert_id)),
        fingerprint=treatment.identifier(alert.fingerprint),
    )


def treated(alert: Alert, treatment: AddressTreatment) -> Alert:
    """The alert with every address in it treated, under its own identifiers."""
    return replace(
        alert,
        entity=Entity(alert.entity.kind, treatment.text(alert.entity.name)),
        title=treatment.prose(alert.title),
        check=treatment.prose(alert.check),
        evidence=_evidence(alert.evidence, treatment),
        labels=MappingProxyType({treatment.prose(key): treatment.prose(value) for key, value in alert.labels.items()}),
    )


def _uuid(digits: str) -> str:
    """UUIDv8 (RFC 9562 section 5.8): version and variant over 122 bits of the hash."""
    value = int(digits, 16) & ~(0xF << 76) | 0x8 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def _evidence(evidence: WindowEvidence, treatment: AddressTreatment) -> WindowEvidence:
    return replace(
        evidence,
        top_flows=tuple(
            replace(
                flow,
                source_address=treatment.text(flow.source_address),
                destination_address=treatment.text(flow.destination_address),
            )
            for flow in evidence.top_flows
        ),
        top_peers=tuple((treatment.text(address), slices) for address, slices in evidence.top_peers),
    )
