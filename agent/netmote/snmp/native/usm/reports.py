"""What a Report-PDU means: the counter it carries names the reason (RFC 3414 section 3.2, RFC 3412 section 7.2, RFC 3413 section 3.2)."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from netmote.errors import NetmoteError
from netmote.snmp.oid import oid_text, parse_oid
from netmote.snmp.session import (
    AuthenticationFailed,
    DecryptionFailed,
    NotInTimeWindow,
    UnknownContext,
    UnknownUser,
    UnreadableAnswer,
    UnsupportedSecurityLevel,
)

NOT_IN_TIME_WINDOWS: Final = parse_oid("1.3.6.1.6.3.15.1.1.2.0")
UNKNOWN_ENGINE_IDS: Final = parse_oid("1.3.6.1.6.3.15.1.1.4.0")

_ERRORS: Final = MappingProxyType(
    {
        parse_oid("1.3.6.1.6.3.15.1.1.1.0"): (  # usmStatsUnsupportedSecLevels
            UnsupportedSecurityLevel,
            "the device does not allow this user at this security level",
        ),
        NOT_IN_TIME_WINDOWS: (NotInTimeWindow, "the device says that our requests lie outside its time window"),
        parse_oid("1.3.6.1.6.3.15.1.1.3.0"): (UnknownUser, "the device does not know this user"),
        UNKNOWN_ENGINE_IDS: (NotInTimeWindow, "the device does not settle on an engine id"),
        parse_oid("1.3.6.1.6.3.15.1.1.5.0"): (AuthenticationFailed, "wrong authentication password or protocol"),
        parse_oid("1.3.6.1.6.3.15.1.1.6.0"): (DecryptionFailed, "wrong privacy password or protocol"),
        parse_oid("1.3.6.1.6.3.11.2.1.1.0"): (UnreadableAnswer, "the device says that it does not speak USM"),
        parse_oid("1.3.6.1.6.3.11.2.1.2.0"): (UnreadableAnswer, "the device says that our message is invalid"),
        parse_oid("1.3.6.1.6.3.11.2.1.3.0"): (UnreadableAnswer, "the device has nothing at its own engine id that would answer"),
        parse_oid("1.3.6.1.6.3.12.1.4.0"): (UnknownContext, "the context is not available on the device"),
        parse_oid("1.3.6.1.6.3.12.1.5.0"): (UnknownContext, "the device has no such context"),
    }
)
_Error = Callable[[str], NetmoteError]


def reported_error(counter: bytes, *, is_authenticated: bool) -> NetmoteError:
    """The named error of a report, by the OID of its counter (content octets); says when nothing proves that the device sent it."""
    found: tuple[_Error, str] | None = _ERRORS.get(counter)
    suffix = "" if is_authenticated else " (an unauthenticated report)"
    if found is None:
        return UnreadableAnswer(f"the device reports {_text(counter)}{suffix}")
    error, sentence = found
    return error(sentence + suffix)


def _text(counter: bytes) -> str:
    try:
        return oid_text(counter)
    except ValueError:
        return counter.hex()
