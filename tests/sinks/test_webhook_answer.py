"""What each HTTP answer means for the batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.webhook.answer import judge

NOW_NS = 1_700_000_000_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT


def verdict(status: int, body: bytes = b"", **headers: str):
    return judge(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body, ids=["a/1", "b/1"], now_ns=NOW_NS
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_accepted(status: int) -> None:
    """Any success but 207 accepts the whole batch."""
    assert verdict(status) is None


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_for_ever(status: int) -> None:
    """These say that the content is wrong: delivery looks for the row."""
    assert isinstance(verdict(status, b"no"), Permanent)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507])
def test_later(status: int) -> None:
    """These say that it may work later, and when."""
    error = verdict(status, Retry_After="7")
    assert isinstance(error, Retryable)
    assert error.after == 7.0


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (401, "token"),
        (403, "rights"),
        (404, "path"),
        (405, "path"),
        (415, "compression"),
        (302, "redirects"),
        (418, "unexpected"),
    ],
)
def test_a_fault_of_the_configuration_loses_nothing(status: int, word: str) -> None:
    """Everything else is tried again, and the reason says what to mend."""
    error = verdict(status, Location="https://elsewhere.example/")
    assert isinstance(error, Retryable)
    assert word in str(error)


@given(
    st.integers(100, 999),
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["Retry-After", "Location"]), st.text(max_size=40)),
)
def test_no_answer_loses_a_batch_by_accident(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Whatever a receiver sends, only 2xx accepts and only 400, 413, 422 and a 207 that names rows refuse."""
    error = judge(status, headers, body, ids=["a/1"], now_ns=NOW_NS)
    if error is None:
        assert 200 <= status < 300
    elif isinstance(error, Permanent):
        assert status in (400, 413, 422)
    else:
        assert isinstance(error, Retryable | PartialDelivery)
        assert "\n" not in str(error)


def test_partial() -> None:
    """A 207 names the refused rows by event id."""
    error = verdict(207, b'{"rejected": [{"id": "b/1", "reason": "too\\nold"}]}')
    assert isinstance(error, PartialDelivery)
    assert error.rejected == {1: "too old"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"rejected": []}', b'{"rejected": [{"id": "z/9"}]}', b'{"rejected": [3]}', b"\xff"]
)
def test_a_partial_answer_that_is_not_understood_accepts_nothing(body: bytes) -> None:
    """Better a duplicate than a loss."""
    assert isinstance(verdict(207, body), Retryable)
