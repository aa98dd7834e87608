"""Whatever a receiver answers, a sink makes one of its three errors of it, or accepts: no answer is a bug."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.errors import Permanent, Retryable
from netmote.sinks.mqtt import message as mqtt
from netmote.sinks.nats import message as nats
from netmote.sinks.otlp import answer as otlp

WORDS = [
    "stream",
    "seq",
    "error",
    "err_code",
    "code",
    "description",
    "duplicate",
    "partialSuccess",
    "rejectedLogRecords",
    "errorMessage",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode())
DEEP = b"[" * 100_000


@given(BODIES, st.none() | st.sampled_from(["503", "100", "", "x"]))
def test_nats(body: bytes, status: str | None) -> None:
    """Accepted only with the name of a stream and a number."""
    verdict = nats.judge(body, status, subject="s")
    assert verdict is None or isinstance(verdict, (Permanent, Retryable))
    if verdict is None:
        assert {"stream", "seq"} <= json.loads(body).keys()


@given(st.integers(200, 299), st.sampled_from(["application/x-protobuf", "application/json", "text/html", ""]), BODIES)
def test_otlp(status: int, kind: str, body: bytes) -> None:
    """Accepted only when it can be read as an answer of OTLP."""
    verdict = otlp.judge(status, {"Content-Type": kind}, body, now_ns=0)
    assert verdict is None or isinstance(verdict, (Permanent, Retryable))


@given(st.integers(0, 255))
def test_mqtt(reason: int) -> None:
    """Accepted only with success."""
    assert (mqtt.judge(reason, topic="t") is None) == (reason == 0)


def test_an_answer_that_is_nested_too_deep() -> None:
    """Python's parser gives up with an error of its own kind."""
    assert isinstance(nats.judge(DEEP, None, subject="s"), Retryable)
    assert isinstance(otlp.judge(200, {"Content-Type": "application/json"}, DEEP, now_ns=0), Retryable)


@pytest.mark.parametrize("count", ["1e400", "NaN", "-1", '"many"', "null"])
def test_a_count_that_is_none(count: str) -> None:
    """Neither a crash nor, when it is no count of rejected rows, a loss."""
    body = b'{"partialSuccess": {"rejectedLogRecords": %s}}' % count.encode()
    verdict = otlp.judge(200, {"Content-Type": "application/json"}, body, now_ns=0)
    assert verdict is None or isinstance(verdict, Retryable)
