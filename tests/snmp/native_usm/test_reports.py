"""What reports mean: each counter its named error."""

import pytest
from usm_engine import COUNTERS

from netmote.errors import NetmoteError
from netmote.snmp.native.usm.reports import NOT_IN_TIME_WINDOWS, UNKNOWN_ENGINE_IDS, reported_error
from netmote.snmp.oid import encode_oid
from netmote.snmp.session import (
    AuthenticationFailed,
    DecryptionFailed,
    NotInTimeWindow,
    UnknownContext,
    UnknownUser,
    UnreadableAnswer,
    UnsupportedSecurityLevel,
)

MEANINGS = {
    "unsupportedSecLevels": UnsupportedSecurityLevel,
    "notInTimeWindows": NotInTimeWindow,
    "unknownUserNames": UnknownUser,
    "unknownEngineIDs": NotInTimeWindow,
    "wrongDigests": AuthenticationFailed,
    "decryptionErrors": DecryptionFailed,
    "unknownContexts": UnknownContext,
    "unknownPDUHandlers": UnreadableAnswer,
}


@pytest.mark.parametrize(("kind", "error"), MEANINGS.items())
def test_each_counter_has_its_error(kind: str, error: type[NetmoteError]) -> None:
    """By the OIDs of the MIBs; and the sentence says when nothing proves who wrote it."""
    counter = encode_oid(COUNTERS[kind])
    assert type(reported_error(counter, is_authenticated=True)) is error
    assert "unauthenticated" not in str(reported_error(counter, is_authenticated=True))
    assert "unauthenticated" in str(reported_error(counter, is_authenticated=False))


def test_the_counters_that_are_acted_on() -> None:
    """Those of RFC 3414 section 5: usmStatsNotInTimeWindows and usmStatsUnknownEngineIDs."""
    assert encode_oid(COUNTERS["notInTimeWindows"]) == NOT_IN_TIME_WINDOWS
    assert encode_oid(COUNTERS["unknownEngineIDs"]) == UNKNOWN_ENGINE_IDS


@pytest.mark.parametrize(
    ("counter", "text"), [(encode_oid((1, 3, 6, 1, 4, 1, 9)), "1.3.6.1.4.1.9"), (b"", ""), (b"\x2b\x86", "2b86")]
)
def test_others_are_named_by_their_oid(counter: bytes, text: str) -> None:
    """A report nobody has heard of, and one whose OID is none."""
    error = reported_error(counter, is_authenticated=True)
    assert isinstance(error, UnreadableAnswer)
    assert str(error).endswith(text)
