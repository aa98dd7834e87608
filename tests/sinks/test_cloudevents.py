"""The envelope: what the official library and the specification's naming rules accept."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hostile_alerts import largest_alert
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState
from netmote.sinks.cloudevents import cloud_event, encode_event, join_batch


def test_the_official_library_reads_each_event() -> None:
    """Attributes and extensions survive the reference implementation's parser, which checks them."""
    (raw,) = json.loads(join_batch([encode_event(committed_alert(7))]))
    event = JSONFormat().read(CloudEvent, json.dumps(raw))
    assert event.get_id() == "00000000-0000-5000-8000-000000000007/1"
    assert event.get_source() == "netmote://branch-7/3f2a9c"
    assert event.get_type() == "io.netmote.alert.firing.v1"
    assert event.get_subject() == "host:192.0.2.7"
    assert event.get_specversion() == "1.0"
    assert event.get_time() == datetime(2023, 11, 14, 22, 13, 40, tzinfo=UTC)
    assert [event.get_extension(name) for name in ("sensor", "ledgerepoch", "seq", "severity")] == [
        "branch-7",
        "3f2a9c",
        7,
        "critical",
    ]
    assert event.get_data()["finding_info"]["title"].startswith("192.0.2.7 tried 412 ports")


def test_attribute_names_obey_the_specification() -> None:
    """CloudEvents 1.0, "Naming Conventions": lower-case letters and digits, at most 20."""
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in cloud_event(committed_alert()))


def test_a_resend_is_the_same_event() -> None:
    """`source` and `id` do not change, so a receiver drops the duplicate; a new revision has a new id."""
    first, again, next_revision = (cloud_event(committed_alert(2, revision=n)) for n in (1, 1, 2))
    assert first == again
    assert (first["source"], first["id"]) != (next_revision["source"], next_revision["id"])


def test_resolved_is_a_type_of_its_own_at_its_own_time() -> None:
    """The event of a resolution happened when it resolved."""
    event = cloud_event(committed_alert(state=AlertState.RESOLVED, resolved_at_ns=START + 90 * SECOND))
    assert event["type"] == "io.netmote.alert.resolved.v1"
    assert event["time"] == "2023-11-14T22:14:50.000000Z"


def test_every_event_stays_below_64_kib() -> None:
    """CloudEvents 1.0, "Size Limits"."""
    event = encode_event(committed_alert(title="\x01" * 9_999, check="\x01" * 9_999, group="\x01" * 9_999))
    assert len(event) < 64 * 1024
    assert json.loads(event)["data"]["unmapped"]["omitted"] == []


def test_the_largest_event_of_the_strangest_sensor() -> None:
    """A host name that is no UTF-8 and everything beyond its limit: still an event that the library reads."""
    event = encode_event(replace(largest_alert(), sensor="\ud800 sensor", ledger_epoch="\ud800"))
    assert len(event) < 64 * 1024
    read = JSONFormat().read(CloudEvent, event)
    assert read.get_source() == "netmote://%3F%20sensor/%3F"
    assert read.get_extension("sensor") == "? sensor"
