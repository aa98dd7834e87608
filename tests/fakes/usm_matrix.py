"""What can happen to a device that speaks USM, and how polling it must end: the matrix of the evidence, for every back end."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from usm_engine import LONGEST_BOOTS, UsmEngine
from usm_exchange import USER

from netmote.errors import NetmoteError
from netmote.snmp.credentials import UsmUser
from netmote.snmp.session import (
    AuthenticationFailed,
    DecryptionFailed,
    NotInTimeWindow,
    RequestTimedOut,
    UndecodableAnswer,
    UnknownContext,
    UnknownUser,
    UnreadableAnswer,
    UnsupportedSecurityLevel,
)

VALUE = 4_386
AUTH_ONLY = replace(USER, priv_protocol="none", priv_password=None)
NOBODY = replace(AUTH_ONLY, auth_protocol="none", auth_password=None)

Outcome = int | type[NetmoteError]
"""The value read, or the error."""


def zero_digest(message: bytes) -> bytes:
    at = message.index(b"\x04\x0c") + 2
    return message[:at] + bytes(12) + message[at + 12 :]


@dataclass(frozen=True)
class Row:
    """An event in the life of a device that answered before: what the next two polls give, and what the first of them costs."""

    event: str
    happens: Callable[[UsmEngine], object]
    first: Outcome
    messages: int
    then: Outcome = VALUE
    learnt: str = ""
    ignored: str = ""


def clock(seconds: float) -> Callable[[UsmEngine], None]:
    return lambda engine: setattr(engine, "clock_offset", engine.clock_offset + seconds)


def becomes(**changes: object) -> Callable[[UsmEngine], None]:
    def happens(engine: UsmEngine) -> None:
        for name, value in changes.items():
            setattr(engine, name, value)

    return happens


def begins_anew(**changes: object) -> Callable[[UsmEngine], None]:
    """Boots 1 and ten seconds old, beside other changes."""

    def happens(engine: UsmEngine) -> None:
        becomes(boots=1, clock_offset=10.0 - engine.now(), **changes)(engine)

    return happens


MATRIX = [
    Row("reboot, boots + 1", UsmEngine.reboot, VALUE, 2, learnt="forward"),
    Row("clock + 10,000 s", clock(10_000), VALUE, 2, learnt="forward"),
    Row("clock + 100 s, within the window", clock(100), VALUE, 1),
    Row("clock - 100 s, within the window", clock(-100), VALUE, 1),
    Row("clock - 2,000 s", clock(-2_000), VALUE, 2, learnt="clock_back"),
    Row("boots back", becomes(boots=1), VALUE, 2, learnt="boots_back"),
    Row("boots and clock back", begins_anew(), VALUE, 2, learnt="boots_back"),
    Row("boots at their maximum", becomes(boots=LONGEST_BOOTS), NotInTimeWindow, 1, NotInTimeWindow),
    Row("engine id replaced", becomes(engine_id=b"\x80\0\x1f\x88\x04NEWENG"), VALUE, 2, learnt="engine_replaced"),
    Row(
        "engine id, boots and clock replaced",
        begins_anew(engine_id=b"\x80\0\x1f\x88\x04NEWENG"),
        VALUE,
        2,
        learnt="engine_replaced",
    ),
    Row("authentication password changed", becomes(user=replace(USER, auth_password="changed-it")), AuthenticationFailed, 1, AuthenticationFailed, ignored="unproven_report"),
    Row("user removed", becomes(user=replace(USER, security_name="other")), UnknownUser, 1, UnknownUser, ignored="unproven_report"),
    Row("user without privacy", becomes(user=AUTH_ONLY), UnsupportedSecurityLevel, 1, UnsupportedSecurityLevel, ignored="unproven_report"),
    Row("privacy password changed, silently", becomes(user=replace(USER, priv_password="changed-it")), RequestTimedOut, 1, RequestTimedOut),
    Row("privacy password changed, reported", becomes(user=replace(USER, priv_password="changed-it"), answers_undecryptable=True), DecryptionFailed, 1, DecryptionFailed, ignored="unproven_report"),
    Row("context removed", becomes(contexts=frozenset({b"other"})), UnknownContext, 1, UnknownContext),
    Row("tampered response", becomes(tamper=lambda m: m[:-1] + bytes([m[-1] ^ 1])), UnreadableAnswer, 1, UnreadableAnswer, ignored="wrong_digest"),
    Row("digest zeroed", becomes(tamper=zero_digest), UnreadableAnswer, 1, UnreadableAnswer, ignored="wrong_digest"),
    Row("plaintext noAuth reply to authPriv request", becomes(response_flags=0), UnreadableAnswer, 1, UnreadableAnswer, ignored="security_level"),
    Row("authNoPriv reply to authPriv request", becomes(response_flags=1), UnreadableAnswer, 1, UnreadableAnswer, ignored="security_level"),
    Row("reply from another context engine", becomes(speaks_as=b"\x80\0\0\0\x04other"), UnreadableAnswer, 1, UnreadableAnswer, ignored="another_context"),
    Row("a message that is none", becomes(tamper=lambda m: m.replace(b"\2\1\3\4", b"\2\1\2\4", 1)), UndecodableAnswer, 1, UndecodableAnswer, ignored="malformed"),
    Row("octets that are nothing", becomes(tamper=lambda _: b""), RequestTimedOut, 1, RequestTimedOut, ignored="malformed"),
]  # fmt: skip


@dataclass(frozen=True)
class Misconfigured:
    """What differs between us and a device that never answered, and what the first two polls give."""

    what: str
    ours: UsmUser
    theirs: UsmUser
    first: Outcome
    second: Outcome


MISCONFIGURED = [
    Misconfigured("authentication password", replace(USER, auth_password="not-the-one"), USER, AuthenticationFailed, AuthenticationFailed),
    Misconfigured("authentication protocol", replace(USER, auth_protocol="sha256"), USER, AuthenticationFailed, AuthenticationFailed),
    Misconfigured("user", replace(USER, security_name="stranger"), USER, UnknownUser, UnknownUser),
    Misconfigured("no privacy", USER, AUTH_ONLY, UnsupportedSecurityLevel, UnsupportedSecurityLevel),
    Misconfigured("no authentication", USER, NOBODY, UnsupportedSecurityLevel, UnsupportedSecurityLevel),
    Misconfigured("privacy password", replace(USER, priv_password="not-the-one"), USER, RequestTimedOut, DecryptionFailed),
    Misconfigured("privacy protocol", replace(USER, priv_protocol="des"), USER, RequestTimedOut, DecryptionFailed),
    Misconfigured("dialect of key extension", replace(USER, priv_protocol="aes256"), replace(USER, priv_protocol="aes256c"), RequestTimedOut, DecryptionFailed),
    Misconfigured("context", replace(USER, context_name="vlan-7"), USER, UnknownContext, UnknownContext),
    Misconfigured("user, without security", NOBODY, replace(NOBODY, security_name="other"), UnknownUser, UnknownUser),
]  # fmt: skip
