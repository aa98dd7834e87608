"""The log record: the data model's fields, the finding as its body, severity as the model maps syslog's."""

import json

from heartbeats import sample_heartbeat
from hostile_alerts import any_alerts
from hypothesis import given, settings
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.scoring.finding import Severity
from netmote.sinks.ocsf import detection_finding
from netmote.sinks.otlp_log import SEVERITY_NUMBER, alert_record, heartbeat_record, resource_attributes


def test_an_alert() -> None:
    """Event time and commit time, the finding in the body, and what to filter by beside it."""
    committed = committed_alert(4)
    record = alert_record(committed)
    assert record.time_unix_nano == committed.alert.last_seen_ns
    assert record.observed_time_unix_nano == committed.committed_at_ns
    assert (record.severity_number, record.severity_text) == (18, "critical")
    assert record.event_name == "io.netmote.alert.firing"
    assert json.loads(record.body) == detection_finding(committed)
    assert record.attributes["event.id"] == committed.alert.event_id
    assert record.attributes["destination.port"] == 443


def test_the_end_is_no_error() -> None:
    """A resolved alert is at most a notice: INFO2."""
    record = alert_record(committed_alert(state=AlertState.RESOLVED, resolved_at_ns=START + 90 * SECOND))
    assert (record.severity_number, record.time_unix_nano) == (10, START + 90 * SECOND)


def test_severity_grows_with_gravity() -> None:
    """Logs data model: larger is graver, 1 to 24."""
    numbers = [SEVERITY_NUMBER[severity] for severity in sorted(Severity, reverse=True)]
    assert numbers == sorted(set(numbers))
    assert 1 <= numbers[0] <= numbers[-1] <= 24


def test_a_heartbeat() -> None:
    """Of severity debug, whole in its body."""
    record = heartbeat_record(sample_heartbeat(number=9))
    assert (record.severity_number, record.event_name) == (5, "io.netmote.heartbeat")
    assert json.loads(record.body)["number"] == 9
    assert resource_attributes("branch-7", "3f2a9c")["service.instance.id"] == "branch-7"


@settings(max_examples=60, deadline=None)
@given(any_alerts)
def test_whatever_the_alert_holds_protobuf_can_carry_it(committed: Committed) -> None:
    """Every text is UTF-8, every number a 64-bit one."""
    record = alert_record(committed)
    for text in (record.body, *(value for value in record.attributes.values() if isinstance(value, str))):
        assert text.encode()
    assert 0 <= record.time_unix_nano < 2**63
