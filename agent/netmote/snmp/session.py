"""The seam of SNMP back ends: one PDU exchanged with one device. Walking, retries, pacing and rates live above it.

Owns the protocol, the reply and the named errors. Refuses: knowing how bytes travel. A back end raises only errors named
here, by what the caller may do: Retryable ones may pass by themselves, Permanent ones need another configuration.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from netmote.errors import Permanent, Retryable


class Varbind(NamedTuple):
    """One variable binding as it came: OID content bytes, tag, value content bytes (RFC 3416 section 3)."""

    oid: bytes
    tag: int
    value: bytes


class Reply(NamedTuple):
    """One Response-PDU."""

    error_status: int
    error_index: int
    varbinds: list[Varbind]
    round_trip_seconds: float


class Question(NamedTuple):
    """One GETBULK."""

    non_repeaters: tuple[bytes, ...]
    columns: tuple[bytes, ...]
    max_repetitions: int


class UnreadReply(NamedTuple):
    """One Response-PDU whose variables nobody has looked at."""

    error_status: int
    error_index: int
    octets: bytes  # content of the VarBindList
    round_trip_seconds: float
    arrived_at: float  # seconds, by the clock of who asked


@runtime_checkable
class AsksTogether(Protocol):
    """What a session may have besides: several questions sent at once, whose answers come unread. Cheaper, and means the same."""

    async def bulk_together(
        self, questions: Sequence[Question], monotonic: Callable[[], float]
    ) -> Sequence[UnreadReply | Exception] | None:
        """What became of each, in order: errors are those of `SnmpSession.bulk`. None: it cannot now, ask one by one.
        `monotonic` is read when an answer comes.
        """
        ...


@runtime_checkable
class WaitsAsTold(Protocol):
    """What a session may have besides: a timeout that may be set anew at any time."""

    timeout: float  # seconds; of requests sent from now on


class SnmpSession(Protocol):
    """One device's PDU exchanges. Each call sends one request and waits at most the session's timeout for its answer.

    Safe to cancel at any point; calls may run concurrently. `close` is safe twice; after it every call raises SessionClosed.
    """

    @property
    def backend(self) -> str:
        """The name of the back end that carries the exchanges now."""
        ...

    @property
    def fallback_reason(self) -> str:
        """Why it is not the first choice; "" where it is."""
        ...

    async def get(self, oids: Sequence[bytes]) -> Reply:
        """GET of exact instances. Raises the errors below."""
        ...

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        """GETBULK (RFC 3416 section 4.2.3). Raises the errors below."""
        ...

    async def close(self) -> None: ...


class RequestTimedOut(Retryable):
    """No answer in time. A wrong community looks the same: agents drop it in silence (RFC 3584 section 5.2.1)."""


class AddressUnknown(Retryable):
    """The host name has no address now."""


class NetworkUnreachable(Retryable):
    """This machine cannot send there: no route, interface down, refused by the local firewall."""


class AgentNotListening(NetworkUnreachable):
    """The host is there and says that nobody listens on the agent's port (ICMP port unreachable)."""


class NotInTimeWindow(Retryable):
    """USM: the device's clock and ours could not be brought together (RFC 3414 section 3.2.7)."""


class UnreadableAnswer(Retryable):
    """The device answered, and what it sent cannot be decoded or does not belong to the question."""


class UndecodableAnswer(UnreadableAnswer):
    """The device answered, and this back end cannot decode what it sent; another one may."""


class SessionClosed(Retryable):
    """The session was closed while or before the request ran."""


class AgentError(Retryable):
    """The device answered with an error-status for the whole request."""


class WalkLooped(Retryable):
    """The device's table does not end: OIDs that do not increase, or more rows than the limit."""


class WalkUnordered(WalkLooped):
    """A row of the device's table came after one that it should precede."""


class AuthenticationFailed(Permanent):
    """USM: the device refuses our digest: wrong authentication password or protocol (usmStatsWrongDigests)."""


class DecryptionFailed(Permanent):
    """USM: wrong privacy password or protocol (usmStatsDecryptionErrors)."""


class UnknownUser(Permanent):
    """USM: the device has no such user (usmStatsUnknownUserNames)."""


class UnsupportedSecurityLevel(Permanent):
    """USM: the user is not allowed, or not able, to use this level (usmStatsUnsupportedSecLevels)."""


class UnknownContext(Permanent):
    """The device has no such context (snmpUnknownContexts)."""


class AccessDenied(Permanent):
    """The device's access control refuses (authorizationError, RFC 3415)."""


CREDENTIAL_ERRORS: tuple[type[Permanent], ...] = (
    AuthenticationFailed,
    DecryptionFailed,
    UnknownUser,
    UnsupportedSecurityLevel,
    AccessDenied,
)
