"""Equal alerts have equal bytes, every alert comes back equal, and no document of another kind passes for one."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import alert

from netmote.alerts.alert import Alert, AlertState
from netmote.alerts.encoding import decode_alert, encode_alert, to_document
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Severity
from netmote.windows.vector import FlowEvidence, Quality, WindowEvidence

NS = st.integers(0, 2**63 - 1)
REAL = st.floats(allow_nan=False)
PORT = st.integers(0, 65535)
TEXT = st.text(st.characters(codec=None), max_size=20)  # lone surrogates too: a device may send anything

alerts = st.builds(
    Alert,
    alert_id=TEXT,
    revision=st.integers(1, 2**31),
    fingerprint=TEXT,
    state=st.sampled_from([AlertState.FIRING, AlertState.RESOLVED]),
    group=TEXT,
    detector=TEXT,
    entity=st.builds(Entity, st.sampled_from(EntityKind), TEXT),
    severity=st.sampled_from(Severity),
    title=TEXT,
    score=REAL,
    surprise=REAL,
    started_at_ns=NS,
    fired_at_ns=NS,
    last_seen_ns=NS,
    resolved_at_ns=st.none() | NS,
    count=st.integers(0, 2**40),
    window_start_ns=NS,
    window_end_ns=NS,
    contributors=st.lists(
        st.builds(Contributor, TEXT, TEXT, REAL, st.none() | REAL, st.none() | REAL, st.none() | REAL), max_size=3
    ).map(tuple),
    technique=st.none() | TEXT,
    check=TEXT,
    quality=st.integers(0, 31).map(Quality),
    coverage=REAL,
    loss_ratio=REAL,
    evidence=st.builds(
        WindowEvidence,
        st.lists(st.builds(FlowEvidence, TEXT, PORT, TEXT, PORT, st.integers(0, 255), NS, NS, NS), max_size=2).map(tuple),
        st.lists(st.tuples(TEXT, NS), max_size=2).map(tuple),
        st.lists(st.tuples(PORT, NS), max_size=2).map(tuple),
    ),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    is_silenced=st.booleans(),
)


@given(alerts)
def test_round_trip(original):
    """Decoding gives an equal alert, and encoding that the same bytes."""
    body = encode_alert(original)
    assert decode_alert(body) == original
    assert encode_alert(decode_alert(body)) == body


@given(alerts)
def test_the_bytes_are_canonical_json(original):
    """ASCII, sorted keys, no blanks, and valid for a strict parser that knows no NaN."""
    body = encode_alert(original)

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(body, parse_constant=refuse)
    assert json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii") == body


def test_every_field_is_present():
    """A field added to Alert and forgotten here would be lost in the ledger."""
    document = to_document(alert())
    assert set(document) == {*Alert.__slots__, "encoding_version"}
    assert set(document["contributors"][0]) == set(Contributor.__slots__)
    assert set(document["evidence"]) == set(WindowEvidence.__slots__)
    assert set(document["evidence"]["top_flows"][0]) == set(FlowEvidence.__slots__)


def test_equal_numbers_have_equal_bytes():
    """An integer where a float belongs, or numpy's numbers, change nothing."""
    assert encode_alert(replace(alert(), score=1)) == encode_alert(replace(alert(), score=1.0))
    assert encode_alert(replace(alert(), score=np.float64(0.5), count=np.int64(3))) == encode_alert(
        replace(alert(), score=0.5, count=3)
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not(value):
    """They are strings on the wire and the same numbers again after it."""
    body = encode_alert(replace(alert(), surprise=value))
    back = decode_alert(body).surprise
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_a_later_version_may_add_and_an_earlier_lack():
    """Unknown keys are ignored, absent ones are the defaults of Alert."""
    document = to_document(alert())
    document["added_later"] = {"x": 1}
    assert decode_alert(json.dumps(document).encode()) == alert()
    for name in ("technique", "check", "quality", "coverage", "loss_ratio", "evidence", "labels", "is_silenced"):
        del document[name]
    decoded = decode_alert(json.dumps(document).encode())
    assert (decoded.technique, decoded.quality, decoded.coverage, dict(decoded.labels)) == (None, Quality.GOOD, 1.0, {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"alert"',
        b"\xff",
        b"{}",
        b'{"encoding_version":1}',
        b'{"encoding_version":99}',
        json.dumps({**to_document(alert()), "entity": 5}).encode(),
        json.dumps({**to_document(alert()), "state": "open"}).encode(),
        json.dumps({**to_document(alert()), "severity": "grave"}).encode(),
        json.dumps({**to_document(alert()), "contributors": [1]}).encode(),
        json.dumps({**to_document(alert()), "evidence": {"top_ports": [1]}}).encode(),
    ],
)
def test_what_is_no_alert_is_refused(body):
    """Always ValueError, whatever is wrong."""
    with pytest.raises(ValueError):
        decode_alert(body)
