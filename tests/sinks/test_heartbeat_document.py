"""The heartbeat as a document: whole where it is usual, bounded and UTF-8 whatever it holds, in every format."""

import json

from heartbeats import sample_heartbeat
from hostile_alerts import largest_heartbeat
from sink_alerts import START

from netmote.sinks.alert_document import encode
from netmote.sinks.alertmanager import posted_alert
from netmote.sinks.cloudevents import encode_heartbeat
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.sinks.otlp_log import heartbeat_record
from netmote.sinks.syslog_message import heartbeat_message


def test_what_it_says() -> None:
    """Level and reasons, versions and hashes, the books, the clock, drops; nothing is cut."""
    document = heartbeat_document(sample_heartbeat())
    assert document["reasons"] == [
        {"component": "models", "text": "no usable model", "since": "2023-11-14T22:13:20.000000Z", "level": "rules"}
    ]
    assert (document["last_seq"], document["settled_seq"], document["queued"]) == (41, 40, 1)
    assert document["withheld"] == [{"first": 7, "last": 9, "reason": "silenced"}]
    assert document["clock"] == {"offset_seconds": 0.002, "is_synchronised": True}
    assert document["drops"] == {"capture:kernel": 3}
    assert document["omitted"] == []


def test_the_largest_says_what_is_cut_and_keeps_the_books_whole() -> None:
    """Below 64 KiB; a receiver that missed a run of withheld numbers would take them for gaps."""
    event = encode_heartbeat(largest_heartbeat())
    assert len(event) < 64 * 1024
    data = json.loads(event)["data"]
    assert data["omitted"] == ["reasons", "models", "drops"]
    assert len(data["withheld"]) == 100


def test_no_format_fails_over_a_name() -> None:
    """A host name that is no UTF-8 must not keep the sensor from saying that it lives."""
    beat = largest_heartbeat()
    assert json.loads(encode_heartbeat(beat))["source"] == "netmote://%3Fsensor/3f2a9c"
    assert json.loads(encode([posted_alert.heartbeat(beat, now_ns=START)]))[0]["labels"]["sensor"] == "?sensor"
    assert heartbeat_record(beat).body.encode()
    line = heartbeat_message(beat)
    assert b"\n" not in line
    assert len(line) < 8_192
