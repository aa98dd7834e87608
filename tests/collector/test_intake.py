"""Bodies taken apart: what the sensors send passes, whatever else is refused with a reason for each event."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.collector.intake import MAX_EVENTS, BadBody, read_body

SOURCE = "netmote://branch-7/3f2a"


def alert(seq: int = 1, **changes: object) -> dict[str, object]:
    event = {
        "specversion": "1.0",
        "id": f"a/{seq}",
        "source": SOURCE,
        "type": "io.netmote.alert.firing.v1",
        "seq": seq,
        "data": {},
    }
    return {**event, **changes}


def beat(**changes: object) -> dict[str, object]:
    data = {
        "number": 3,
        "interval_seconds": 60.0,
        "started_at": "2026-11-22T10:00:00.000000Z",
        "last_seq": 9,
        "settled_seq": 7,
        "withheld": [{"first": 2, "last": 3, "reason": "silenced"}],
        "withheld_from": 0,
        **changes,
    }
    return {"specversion": "1.0", "id": "heartbeat/1/3", "source": SOURCE, "type": "io.netmote.heartbeat.v1", "data": data}


def body(*events: object) -> bytes:
    return json.dumps(list(events)).encode()


def test_alerts_and_heartbeats_are_taken() -> None:
    """Sensor and epoch come from the source, the number from the envelope, the books from a heartbeat."""
    intake = read_body(body(alert(5), beat()))
    first, second = intake.arrivals
    assert (first.sensor, first.epoch, first.event_id, first.seq, first.beat) == ("branch-7", "3f2a", "a/5", 5, None)
    assert second.beat is not None
    assert (second.beat.settled_seq, second.beat.withheld, second.seq) == (7, ((2, 3),), None)
    assert not intake.rejected


def test_one_event_may_come_alone() -> None:
    """The media type application/cloudevents+json is one object."""
    assert len(read_body(json.dumps(alert()).encode()).arrivals) == 1


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (alert(specversion="0.3"), "specversion"),
        (alert(source="https://elsewhere/"), "netmote://SENSOR/EPOCH"),
        (alert(source="netmote://only-a-sensor"), "netmote://SENSOR/EPOCH"),
        (alert(type=""), "type is a text"),
        (alert(seq=0), "seq is a whole number"),
        (alert(seq=True), "seq is a whole number"),
        (alert(seq=2**70), "seq is a whole number"),
        ({key: value for key, value in alert().items() if key != "seq"}, "seq is missing"),
        (beat(interval_seconds=0), "interval_seconds"),
        (beat(withheld=[{"first": 1}]), "last is missing"),
        (beat(settled_seq="7"), "settled_seq"),
        (alert(source="netmote://a%0Ab/1"), "printable"),
        (alert(type="io.netmote.\ud800"), "surrogates"),
    ],
)
def test_a_bad_event_is_refused_alone(event: dict[str, object], reason: str) -> None:
    """Each with its own reason; the sound one beside it is taken."""
    intake = read_body(body(alert(99), event))
    assert [arrival.seq for arrival in intake.arrivals] == [99]
    ((event_id, said),) = intake.rejected
    assert event_id == event["id"]
    assert reason in said


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[1]",
        b'[{"id": ""}]',
        b'[{"id": "\\ud800"}]',
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"id": "1", "specversion": NaN}',
        body(*({"id": "x"} for _ in range(MAX_EVENTS + 1))),
    ],
)
def test_a_bad_body_is_refused_whole(octets: bytes) -> None:
    """What cannot be taken apart into events that have an id has no reasons for each."""
    with pytest.raises(BadBody):
        read_body(octets)


def test_a_certificate_speaks_for_its_own_sensor_only() -> None:
    """Another sensor's name is refused."""
    assert read_body(body(alert()), speaks_for=["branch-7"]).arrivals
    assert "does not speak for" in read_body(body(alert()), speaks_for=["branch-8"]).rejected[0][1]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["id", "specversion", "source", "type", "seq", "data"]), _JSON) | _JSON)
def test_whatever_comes_is_taken_or_refused(event: object) -> None:
    """No body makes it fail otherwise."""
    try:
        intake = read_body(json.dumps([event]).encode())
    except BadBody:
        return
    assert len(intake.arrivals) + len(intake.rejected) == 1
