"""One connection to a NATS server: the only door to nats-py. It never reconnects by itself; what is broken is replaced.

nats-py's own `publish_async` loses error answers (2.16.0: they are raised in its callback and the future never ends), so the
answers are read here, from an inbox of our own.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import nkeys
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from netmote.errors import NetmoteError, Permanent, Retryable
from netmote.sinks.nats.message import Message, judge

_CLOSE_SECONDS = 1.0
# After a TLS handshake that failed, nats-py waits for ever for an end that has come: there is nothing to wait for.
_NEVER_OPENED_CLOSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Access:
    """How this sensor shows who it is. Never printed."""

    user: str | None = None
    password: str | None = None
    nkey_seed: str | None = None
    context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return "Access(REDACTED)"


def checked_seed(seed: str) -> str:
    """An NKey seed that can sign. Raises Retryable, without a word of it: it may be mended later."""
    try:
        nkeys.from_seed(bytearray(seed.encode())).sign(b"")
    except (nkeys.NkeysError, ValueError, UnicodeEncodeError) as error:
        raise Retryable(f"nkey_seed is not the seed of an NKey ({type(error).__name__})") from None
    return seed


class _Client(Client):
    """nats-py sends its credentials in plain text when a server does not ask for TLS, also for tls:// addresses; this one does not."""

    requires_tls = False

    def _connect_command(self) -> bytes:
        if self.requires_tls and not self._server_info.get("tls_required"):
            raise Retryable("the server offers no TLS: check servers, or somebody is in between")
        return super()._connect_command()


class Connection:
    """Publishes messages and waits for their acknowledgements, on one connection."""

    def __init__(self) -> None:
        self._client = _Client()
        self._inbox = ""
        self._serial = 0
        self._subjects: dict[str, str] = {}  # reply subject -> subject of the message that waits for its answer
        self._verdicts: dict[str, NetmoteError | None] = {}
        self._trouble: str | None = None
        self._changed = asyncio.Event()

    @property
    def is_usable(self) -> bool:
        """Whether it was opened and nothing went wrong since."""
        return self._inbox != "" and self._trouble is None and self._client.is_connected

    async def open(self, server: str, access: Access, *, name: str, within: float) -> None:
        """Connect within so many seconds. Raises NatsError, OSError or Retryable; call `close` in any case."""
        self._client.requires_tls = access.context is not None
        try:
            async with asyncio.timeout(within):
                await self._client.connect(
                    [server],
                    name=name,
                    user=access.user,
                    password=access.password,
                    nkeys_seed_str=access.nkey_seed,
                    tls=access.context,
                    connect_timeout=within,  # type: ignore[arg-type] # handed to asyncio.wait_for as it is
                    allow_reconnect=False,
                    # nats-py tries anew inside `connect` all the same: as little and as soon as it lets itself be told.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    ping_interval=20,
                    max_outstanding_pings=2,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                )
        except NoServersError as error:
            raise Retryable(self._trouble or str(error)) from error
        inbox = self._client.new_inbox()
        await self._client.subscribe(f"{inbox}.*", cb=self._on_answer)
        self._inbox = inbox

    async def publish(self, messages: Sequence[Message]) -> list[NetmoteError | None]:
        """A verdict for each message, in order. Raises Retryable when the connection is lost before all are there."""
        self._subjects.clear()
        self._verdicts.clear()
        replies = []
        for message in messages:
            self._serial += 1
            reply = f"{self._inbox}.{self._serial}"
            replies.append(reply)
            size = len(message.payload) + sum(len(name) + len(value) + 8 for name, value in message.headers.items())
            if size > self._client.max_payload:
                self._verdicts[reply] = Permanent(f"{size} bytes, and the server takes {self._client.max_payload} (max_payload)")
                continue
            self._subjects[reply] = message.subject
            await self._client.publish(message.subject, message.payload, reply=reply, headers=dict(message.headers))
        while self._subjects:
            if self._trouble is not None:
                raise Retryable(self._trouble)
            self._changed.clear()
            await self._changed.wait()
        return [self._verdicts[reply] for reply in replies]

    async def announce(self, message: Message, *, within: float) -> None:
        """Publish without an acknowledgement; on return the server has read it."""
        await self._client.publish(message.subject, message.payload, headers=dict(message.headers))
        await self._client.flush(timeout=max(1, round(within)))
        if self._trouble is not None:
            raise Retryable(self._trouble)

    async def close(self) -> None:
        """Within a second, whatever the server does."""
        with contextlib.suppress(TimeoutError, NatsError, OSError):
            async with asyncio.timeout(_CLOSE_SECONDS if self._inbox else _NEVER_OPENED_CLOSE_SECONDS):
                await self._client.close()

    async def _on_answer(self, answer: Msg) -> None:
        subject = self._subjects.pop(answer.subject, None)
        if subject is None:
            return  # the answer to a batch that was given up
        self._verdicts[answer.subject] = judge(answer.data, (answer.headers or {}).get("Status"), subject=subject)
        self._changed.set()

    async def _on_error(self, error: Exception) -> None:
        self._failed(str(error) or type(error).__name__)

    async def _on_closed(self) -> None:
        self._failed("the connection was closed")

    def _failed(self, text: str) -> None:
        self._trouble = self._trouble or text  # the first says why
        self._changed.set()
