"""What a sink may see of an alert: no address in any field of any encoding, and ids that lead back to none."""

import json
from dataclasses import replace

from heartbeats import sample_heartbeat
from sink_alerts import committed_alert

from netmote.alerts.encoding import encode_alert
from netmote.alerts.fingerprint import alert_id_of, fingerprint_of
from netmote.privacy.announcements import concealed, concealed_heartbeat
from netmote.privacy.config import Treatment
from netmote.privacy.treatment import AddressTreatment
from netmote.sinks.alert_document import alert_document
from netmote.sinks.cloudevents import cloud_event
from netmote.telemetry.health import Reason
from netmote.windows.config import WindowsConfig


def treating(kind: Treatment, key: bytes = bytes(32)) -> AddressTreatment:
    return AddressTreatment(kind, key=key, local_networks=WindowsConfig().local_networks)


def test_no_address_is_left_anywhere() -> None:
    """Entity, title, flows, peers, labels: in the canonical encoding and in what sinks make of it."""
    row = committed_alert(1, labels={"seen at": "192.0.2.9"}, check="Ask 192.0.2.7's owner.")
    for kind in ("truncate", "hash"):
        hidden = concealed(row, treating(kind))
        for text in (encode_alert(hidden.alert).decode(), json.dumps(alert_document(hidden)), json.dumps(cloud_event(hidden))):
            for address in ("192.0.2.7", "192.0.2.1", "192.0.2.9"):
                assert f'{address}"' not in text
                assert f"{address} " not in text
        assert (hidden.seq, hidden.sensor, hidden.ledger_epoch) == (row.seq, row.sensor, row.ledger_epoch)


def test_revisions_of_an_alert_stay_together() -> None:
    """One alert keeps one id and one fingerprint over its revisions; another key gives others."""
    first, second = committed_alert(1), committed_alert(1, revision=2)
    treatment = treating("hash")
    hidden = [concealed(row, treatment).alert for row in (first, second)]
    assert len({alert.alert_id for alert in hidden}) == len({alert.fingerprint for alert in hidden}) == 1
    assert len({alert.event_id for alert in hidden}) == 2
    assert concealed(first, treating("hash", bytes(range(32)))).alert.alert_id != hidden[0].alert_id


def test_ids_cannot_be_guessed_from_addresses() -> None:
    """Whoever tries every address against the unkeyed hashes finds none of them upstream."""
    row = committed_alert(1)
    fingerprint = fingerprint_of(row.sensor, row.alert.group, row.alert.entity)
    alert_id = alert_id_of(fingerprint, row.alert.started_at_ns)
    row = replace(row, alert=replace(row.alert, fingerprint=fingerprint, alert_id=alert_id))
    sent = json.dumps(cloud_event(concealed(row, treating("hash"))))
    assert fingerprint not in sent
    assert alert_id not in sent


def test_keeping_is_the_same_value() -> None:
    """Nothing is copied where nothing changes."""
    row, beat = committed_alert(1), sample_heartbeat()
    assert concealed(row, treating("keep")) is row
    assert concealed_heartbeat(beat, treating("keep")) is beat


def test_reasons_of_a_heartbeat() -> None:
    """A device named by its address is hidden in component and text; the books stay."""
    beat = sample_heartbeat(reasons=(Reason("snmp:198.51.100.7", "198.51.100.7 does not answer", 1),))
    hidden = concealed_heartbeat(beat, treating("truncate"))
    (reason,) = hidden.reasons
    assert (reason.component, reason.text) == ("snmp:198.51.100.0", "198.51.100.0 does not answer")
    assert hidden.books == beat.books
