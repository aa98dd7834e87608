"""The Detection Finding: what the official schema accepts, complete, bounded, and nothing in it twice."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema
import pytest
from hostile_alerts import any_alerts, largest_alert
from hypothesis import given, settings
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Severity
from netmote.sinks.alert_document import alert_document, encode
from netmote.sinks.ocsf import OCSF_VERSION, SEVERITY_ID, detection_finding
from netmote.windows.vector import WindowEvidence

RESOLVED = {"state": AlertState.RESOLVED, "resolved_at_ns": START + 90 * SECOND, "revision": 3}
EXAMPLES = {
    "rule": committed_alert(),
    "update": committed_alert(revision=2),
    "end": committed_alert(**RESOLVED),
    "model": committed_alert(detector="traffic", technique=None, check="", evidence=WindowEvidence()),
    "device": committed_alert(entity=Entity(EntityKind.DEVICE, "core-sw1")),
    "silenced": committed_alert(is_silenced=True),
    "largest": largest_alert(),
}


@cache
def validator(version: str) -> jsonschema.Draft202012Validator:
    """The schema of the class as OCSF publishes it; what it does not know is an error."""
    return jsonschema.Draft202012Validator(OcsfJsonSchemaEmbedded(get_ocsf_schema(version)).get_class_schema("detection_finding"))


@pytest.mark.parametrize("version", ["1.4.0", "1.5.0", OCSF_VERSION])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_official_schema_accepts_it(example: str, version: str) -> None:
    """Every kind of alert, by the version it claims and by those that receivers have."""
    finding = detection_finding(EXAMPLES[example])
    finding["metadata"]["version"] = version
    errors = [error.message for error in validator(version).iter_errors(json.loads(encode(finding)))]
    assert errors == []


def test_the_schema_would_object() -> None:
    """It is closed: a word of ours outside `unmapped` is an error, and so is a number it does not know."""
    finding = detection_finding(committed_alert())
    assert list(validator(OCSF_VERSION).iter_errors({**finding, "fingerprint": "x"}))
    assert list(validator(OCSF_VERSION).iter_errors({**finding, "severity_id": 7}))


@settings(max_examples=60, deadline=None)
@given(any_alerts)
def test_whatever_the_alert_holds_it_is_json_that_the_schema_accepts(committed: Committed) -> None:
    """Names come from devices, numbers from anywhere, times from clocks that were never set."""
    finding = detection_finding(committed)
    assert json.loads(encode(finding).decode("utf-8")) == finding
    assert list(validator(OCSF_VERSION).iter_errors(finding)) == []


def test_life() -> None:
    """Created, updated and closed are one finding; each announcement has an id of its own."""
    created, updated, closed = (detection_finding(EXAMPLES[name]) for name in ("rule", "update", "end"))
    assert [each["activity_id"] for each in (created, updated, closed)] == [1, 2, 3]
    assert [each["type_uid"] for each in (created, updated, closed)] == [200401, 200402, 200403]
    assert [each["status_id"] for each in (created, updated, closed)] == [1, 1, 4]
    assert len({each["finding_info"]["uid"] for each in (created, updated, closed)}) == 1
    assert len({each["metadata"]["uid"] for each in (created, updated, closed)}) == 3
    assert closed["time"] == closed["end_time"] == (START + 90 * SECOND) // 1_000_000
    assert detection_finding(EXAMPLES["silenced"])["status_id"] == 3


def test_what_has_a_place_in_ocsf_stands_there() -> None:
    """And what has none is unmapped, in our words."""
    finding = detection_finding(replace(committed_alert(5), is_clock_synchronised=False))
    assert finding["severity_id"] == SEVERITY_ID[Severity.CRITICAL] == 5
    assert finding["finding_info"]["attacks"] == [{"technique": {"uid": "T1046"}}]
    assert finding["finding_info"]["analytic"] == {"type_id": 1, "uid": "port_scan", "name": "rule"}
    assert finding["metadata"]["sequence"] == 5
    assert finding["device"]["name"] == "branch-7"
    assert finding["resources"] == [{"type": "host", "name": "192.0.2.7"}]
    assert finding["observables"] == [{"type_id": 2, "name": "resources.name", "value": "192.0.2.7"}]
    assert finding["evidences"][0]["dst_endpoint"] == {"ip": "192.0.2.1", "port": 443}
    assert finding["unmapped"]["contributors"][0]["value"] == 412.0
    assert finding["unmapped"]["is_clock_synchronised"] is False
    assert detection_finding(EXAMPLES["model"])["finding_info"]["analytic"]["type_id"] == 4


def test_nothing_of_the_alert_is_left_out() -> None:
    """Every value of the alert document is somewhere in the finding, in its words or in ours."""
    committed = replace(committed_alert(7, **RESOLVED), is_clock_synchronised=True)
    document = alert_document(committed)
    # Said by activity, status and class; instants are numbers there; the rest of the flow is checked above.
    elsewhere = {"schema_version", "state", "severity_id", "is_silenced", "started_at", "fired_at", "last_seen_at", "resolved_at"}
    elsewhere |= {"committed_at"}
    found = list(_leaves(detection_finding(committed)))
    for name, value in document.items():
        if name not in elsewhere:
            assert all(leaf in found for leaf in _leaves(value)), name


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return [leaf for each in value for leaf in _leaves(each)] if isinstance(value, list) else [value]
