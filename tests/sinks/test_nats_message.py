"""What is published to NATS, and what its answers mean."""

import json

import pytest
from heartbeats import sample_heartbeat
from sink_alerts import committed_alert

from netmote.errors import Permanent, Retryable
from netmote.sinks.nats.message import alert_message, heartbeat_message, judge, token


def test_an_alert_as_a_message() -> None:
    """The event's id is what JetStream drops repetitions by; subscribers can choose by sensor and severity."""
    message = alert_message(committed_alert(3), subject="netmote.alerts", stream="ALERTS")
    event = json.loads(message.payload)
    assert message.subject == "netmote.alerts.branch-7.critical"
    assert event["id"] == committed_alert(3).alert.event_id
    assert message.headers == {
        "Nats-Msg-Id": event["id"],
        "Content-Type": "application/cloudevents+json",
        "Nats-Expected-Stream": "ALERTS",
    }


def test_a_heartbeat_as_a_message() -> None:
    """On a subject of its own, so that the stream of alerts need not keep it."""
    message = heartbeat_message(sample_heartbeat(number=4), subject="netmote.heartbeats")
    event = json.loads(message.payload)
    assert message.subject.startswith("netmote.heartbeats.")
    assert event["type"] == "io.netmote.heartbeat.v1"
    assert message.headers["Nats-Msg-Id"] == event["id"]


@pytest.mark.parametrize(
    ("name", "word"),
    [("branch-7", "branch-7"), ("a.b.example", "a_b_example"), ("*", "_"), (">x y", "_x_y"), ("ø", "_"), ("", "_")],
)
def test_a_sensor_is_one_word_of_the_subject(name: str, word: str) -> None:
    """No name can add words, or become a wildcard."""
    assert token(name) == word


@pytest.mark.parametrize("answer", [{"stream": "A", "seq": 7}, {"stream": "A", "seq": 7, "duplicate": True, "domain": "hub"}])
def test_stored(answer: dict[str, object]) -> None:
    """Stored now, or stored before."""
    assert judge(json.dumps(answer).encode(), None, subject="s") is None


@pytest.mark.parametrize("code", [10054, 10097])
def test_refused_for_ever(code: int) -> None:
    """Only a message that is too large never fits."""
    body = json.dumps({"error": {"code": 400, "err_code": code, "description": "too much"}}).encode()
    verdict = judge(body, None, subject="s")
    assert isinstance(verdict, Permanent)
    assert "too much" in str(verdict)


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", "503", "no JetStream stream stores alerts.x"),
        (b'{"error": {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}}', None, "maximum messages"),
        (
            b'{"error": {"code": 400, "err_code": 10060, "description": "expected stream does not match"}}',
            None,
            "expected stream",
        ),
        (b"", None, "no acknowledgement"),
        (b"[]", None, "no acknowledgement"),
        (b'{"stream": "A"}', None, "no acknowledgement"),
        (b'{"stream": 5, "seq": 7}', None, "no acknowledgement"),
        (b'{"error": "oops"}', None, "no acknowledgement"),
        (b"\xff\xfe", None, "no acknowledgement"),
    ],
)
def test_try_again(body: bytes, status: str | None, word: str) -> None:
    """Everything that can be mended upstream, and whatever is not understood."""
    verdict = judge(body, status, subject="alerts.x")
    assert isinstance(verdict, Retryable)
    assert word in str(verdict)
