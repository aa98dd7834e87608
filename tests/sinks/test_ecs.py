"""The ECS event: fields that the schema lists, with the types it gives them; ours below our own name."""

import ipaddress
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hostile_alerts import any_alerts, largest_alert
from hypothesis import given, settings
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.sinks.ecs import ecs_document, encode_ecs
from netmote.windows.vector import WindowEvidence

FIELDS = json.loads((Path(__file__).parent / "ecs_fields.json").read_text())
CHECKS = {
    "date": lambda value: datetime.fromisoformat(value).tzinfo is not None,
    "keyword": lambda value: isinstance(value, str),
    "match_only_text": lambda value: isinstance(value, str),
    "long": lambda value: isinstance(value, int) and -(2**63) <= value < 2**63,
    "ip": lambda value: bool(ipaddress.ip_address(value)),
}


def fields(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and their values; lists are values of one field."""
    for name, value in document.items():
        if isinstance(value, dict) and f"{prefix}{name}" != "labels":
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@pytest.mark.parametrize(
    "committed",
    [
        committed_alert(),
        committed_alert(state=AlertState.RESOLVED, resolved_at_ns=START + 90 * SECOND, technique=None),
        committed_alert(entity=Entity(EntityKind.DEVICE, "core-sw1"), evidence=WindowEvidence()),
    ],
)
def test_every_field_is_listed_with_its_type(committed: Committed) -> None:
    """Outside `netmote.` nothing that the schema does not have."""
    for name, value in fields(ecs_document(committed)):
        if name.startswith("netmote."):
            continue
        assert name in FIELDS
        if name == "labels":
            assert all(isinstance(each, str) for each in value.values())
        else:
            assert all(CHECKS[FIELDS[name]](each) for each in (value if isinstance(value, list) else [value])), name


def test_life() -> None:
    """Categories allow these types: allowed values of event.type for network and intrusion_detection."""
    start, again, end = (
        ecs_document(committed_alert(**changes))["event"]
        for changes in ({}, {"revision": 2}, {"state": AlertState.RESOLVED, "resolved_at_ns": START + 90 * SECOND, "revision": 3})
    )
    assert [each["type"] for each in (start, again, end)] == [["info", "start"], ["info"], ["info", "end"]]
    assert start["kind"] == "alert"
    assert end["end"] == "2023-11-14T22:14:50.000000Z"
    assert len({each["id"] for each in (start, again, end)}) == 3


@settings(max_examples=60, deadline=None)
@given(any_alerts)
def test_whatever_the_alert_holds_it_is_one_line(committed: Committed) -> None:
    """JSON in UTF-8 that reads back."""
    line = encode_ecs(committed)
    assert b"\n" not in line
    assert json.loads(line.decode("utf-8")) == ecs_document(committed)


def test_the_largest_is_bounded() -> None:
    """As the document it is made of."""
    assert len(encode_ecs(largest_alert())) < 64 * 1024
