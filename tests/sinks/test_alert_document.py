"""The alert as a JSON document: complete, bounded, and valid whatever the alert holds."""

import json
import math
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor
from netmote.sinks.alert_document import MAX_DOCUMENT_BYTES, alert_document, encode, rfc3339
from netmote.windows.vector import FlowEvidence, Quality, WindowEvidence


def test_document_is_complete() -> None:
    """Each part of the alert is there, with units and instants in RFC 3339."""
    document = alert_document(
        committed_alert(3, state=AlertState.RESOLVED, resolved_at_ns=START + 60 * SECOND, quality=Quality.LOSS | Quality.LATE)
    )
    assert document["alert_id"].endswith("3")
    assert document["entity"] == {"kind": "host", "name": "192.0.2.7"}
    assert (document["severity"], document["severity_id"]) == ("critical", 2)
    assert document["resolved_at"] == "2023-11-14T22:14:20.000000Z"
    assert document["quality"]["flags"] == ["loss", "late"]
    assert document["contributors"][0] == {
        "feature": "max_ports_per_dst", "unit": "1", "value": 412.0, "baseline": 3.0, "sigma": 38.5, "threshold": 100.0,
    }  # fmt: skip
    assert document["evidence"]["top_ports"][0] == {"responder_port": 443, "flow_slices": 4}
    assert (document["sensor"], document["ledger_epoch"], document["seq"]) == ("branch-7", "3f2a9c", 3)
    assert document["omitted"] == []
    assert json.loads(encode(document)) == document


def test_numbers_that_json_lacks_become_null() -> None:
    """NaN and infinity never reach the wire (RFC 8259 section 6)."""
    document = alert_document(committed_alert(contributors=(Contributor("syn_ps", "1/s", math.inf, baseline=math.nan),)))
    assert document["contributors"][0]["value"] is None
    assert document["contributors"][0]["baseline"] is None
    assert "Infinity" not in encode(document).decode()


def test_instants_far_off() -> None:
    """A clock at 1970 and the last nanosecond of int64 are still RFC 3339."""
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(2**63 - 1) == "2262-04-11T23:47:16.854775Z"


def test_the_largest_alert_stays_small_and_says_what_it_left_out() -> None:
    """Everything at its limit and of the dearest characters still fits under 64 KiB."""
    wide = "\U0001f4a5" * 5_000
    document = alert_document(
        committed_alert(
            title=wide,
            check="\x01" * 5_000,
            entity=Entity(EntityKind.INTERFACE, "\x02" * 5_000),
            contributors=tuple(Contributor("\x03" * 500, "\x04" * 500, 1.0) for _ in range(500)),
            labels=MappingProxyType({f"{number}{wide}": "\x05" * 5_000 for number in range(200)}),
            evidence=WindowEvidence(
                top_flows=(FlowEvidence("\x06" * 999, 1, "\x07" * 999, 2, 6, 2**63, 2**63, 1),) * 500,
                top_peers=(("\x0e" * 999, 1),) * 500,
                top_ports=((1, 1),) * 500,
            ),
        )
    )
    assert len(encode(document)) <= MAX_DOCUMENT_BYTES
    assert set(document["omitted"]) == {
        "contributors",
        "evidence.top_flows",
        "evidence.top_peers",
        "evidence.top_ports",
        "labels",
    }
    assert document["contributors"], "the explanation itself is kept"


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(), max_size=300) | st.just("\ud800 lone surrogate"),
    number=st.floats(),
    labels=st.dictionaries(st.text(), st.text()),
)
def test_any_text_and_number_encodes(text: str, number: float, labels: dict[str, str]) -> None:
    """Names come from devices: whatever they are, the document is UTF-8 JSON that reads back."""
    document = alert_document(
        committed_alert(
            title=text,
            entity=Entity(EntityKind.DEVICE, text or "x"),
            contributors=(Contributor(text, text, number),),
            labels=MappingProxyType(labels),
        )
    )
    assert json.loads(encode(document).decode("utf-8")) == document
