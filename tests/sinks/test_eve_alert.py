"""The EVE alert: only what Suricata's schema knows, flat, and with the life of the alert in its tags."""

import json
from pathlib import Path

import jsonschema
from hostile_alerts import any_alerts, largest_alert
from hypothesis import given, settings
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Severity
from netmote.sinks.eve_alert import encode_eve_alert, eve_alert, signature_id
from netmote.windows.vector import FlowEvidence, WindowEvidence

SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "eve_alert_schema.json").read_text()))


def test_fields() -> None:
    """Suricata's words with our values; the ids and the state are tags."""
    event = eve_alert(committed_alert(4))
    assert list(SCHEMA.iter_errors(event)) == []
    assert event["timestamp"] == "2023-11-14T22:13:40.000000+0000"
    assert (event["host"], event["src_ip"], event["src_port"], event["dest_ip"], event["dest_port"], event["proto"]) == (
        "branch-7", "192.0.2.7", 40_000, "192.0.2.1", 443, "TCP",
    )  # fmt: skip
    assert (event["alert"]["category"], event["alert"]["severity"]) == ("port_scan", 1)
    assert "netmote_event_id:00000000-0000-5000-8000-000000000004/1" in event["alert"]["metadata"]["tag"]
    assert "mitre_technique_id:T1046" in event["alert"]["metadata"]["tag"]


def test_the_end_is_told_by_its_tag() -> None:
    """Suricata knows no end of an alert."""
    event = eve_alert(committed_alert(state=AlertState.RESOLVED, resolved_at_ns=START + 90 * SECOND))
    assert "netmote_state:resolved" in event["alert"]["metadata"]["tag"]
    assert event["timestamp"] == "2023-11-14T22:14:50.000000+0000"


def test_addresses_only_where_they_are_known() -> None:
    """A host without a flow is the source; a device has none; IPv6 is spelt out; ports only where there are some."""
    assert eve_alert(committed_alert(evidence=WindowEvidence())).keys() & {"src_ip", "dest_ip", "proto"} == {"src_ip"}
    device = committed_alert(entity=Entity(EntityKind.DEVICE, "core-sw1"), evidence=WindowEvidence())
    assert not eve_alert(device).keys() & {"src_ip", "dest_ip", "proto"}
    ping = eve_alert(committed_alert(evidence=WindowEvidence((FlowEvidence("2001:db8::1", 0, "2001:db8::2", 0, 58, 1, 1, 1),))))
    assert ping["src_ip"] == "2001:0db8:0000:0000:0000:0000:0000:0001"
    assert ping["proto"] == "IPv6-ICMP"
    assert "src_port" not in ping
    assert list(SCHEMA.iter_errors(ping)) == []


def test_signature_ids_are_stable_and_local() -> None:
    """The number of a rule never changes: receivers write their own rules by it. 1000000-1999999 are for local use."""
    assert signature_id("port_scan") == 1_338_557
    assert all(1_000_000 <= signature_id(f"rule {number}") < 2_000_000 for number in range(1_000))


def test_graver_is_never_milder() -> None:
    """Suricata's 1 is the gravest."""
    found = [eve_alert(committed_alert(severity=severity))["alert"]["severity"] for severity in sorted(Severity)]
    assert found == sorted(found)
    assert set(found) == {1, 2, 3, 4}


@settings(max_examples=60, deadline=None)
@given(any_alerts)
def test_whatever_the_alert_holds_it_is_one_line_that_the_schema_knows(committed: Committed) -> None:
    """Also names of devices that are no text at all."""
    line = encode_eve_alert(committed)
    assert b"\n" not in line
    assert list(SCHEMA.iter_errors(json.loads(line.decode("utf-8")))) == []


def test_the_largest_is_bounded() -> None:
    """A reader of lines commonly takes 64 KiB."""
    assert len(encode_eve_alert(largest_alert())) < 64 * 1024
