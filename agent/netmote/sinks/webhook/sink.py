"""The webhook sink: one POST a batch over one kept connection. Knows HTTP and TLS; what an answer means stands in `answer`."""

import asyncio
import gzip
import ssl
from collections.abc import Mapping, Sequence

import aiohttp

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.config.section import SecretReference
from netmote.errors import Retryable
from netmote.sinks.alert_document import encode
from netmote.sinks.webhook.answer import judge
from netmote.sinks.webhook.cloudevents import BATCH_MEDIA_TYPE, encode_event, heartbeat_event, join_batch
from netmote.sinks.webhook.config import WebhookConfig
from netmote.telemetry.heartbeat import Heartbeat

_COMPRESS_ABOVE_BYTES = 1_000
_MAX_ANSWER_BYTES = 64 * 1024
_SYSTEM_CLOCK = SystemClock()


class WebhookSink:
    """Posts batches of CloudEvents. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: WebhookConfig, *, clock: Clock = _SYSTEM_CLOCK, user_agent: str = "netmote") -> None:
        self.name = config.name
        self._config = config
        self._clock = clock
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Read token and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        if self._session is None:
            headers, context = await asyncio.to_thread(self._credentials)
            # A second open may have been quicker than this one's thread.
            if self._session is None:
                self._session = self._connect(headers, context)

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        await self.open()
        body, encoding = await self._encode(batch)
        await self._offer(body, encoding, [committed.alert.event_id for committed in batch])

    async def beat(self, heartbeat: Heartbeat) -> None:
        await self.open()
        event = heartbeat_event(heartbeat)
        await self._offer(join_batch([encode(event)]), {}, [event["id"]])

    async def _offer(self, body: bytes, encoding: dict[str, str], ids: list[str]) -> None:
        status, headers, answer = await self._post(body, encoding)
        error = judge(status, headers, answer, ids=ids, now_ns=self._clock.now_ns())
        if status in (401, 403):
            await self.close()  # the next try reads the token and the certificates anew
        if error is not None:
            raise error

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, body: bytes, encoding: dict[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        assert self._session is not None
        try:
            async with self._session.post(self._config.url, data=body, headers=encoding, allow_redirects=False) as response:
                return response.status, response.headers, await _read_limited(response.content)
        except TimeoutError as error:
            raise Retryable(f"{self._config.url} has not answered within {self._config.timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            if self._config.url.startswith("https:"):
                await self.close()  # perhaps a renewed certificate or authority lies in the files by now
            raise Retryable(f"{self._config.url}: {error or type(error).__name__}") from error

    def _connect(self, headers: dict[str, str], context: ssl.SSLContext | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # One batch is under way at a time; without a context, aiohttp would verify by its own default.
            connector=aiohttp.TCPConnector(limit=1, ssl=context if context is not None else True),
            headers={
                "User-Agent": self._user_agent,
                "Content-Type": BATCH_MEDIA_TYPE,
                "Accept-Encoding": "identity",  # an answer is short; nothing shall unfold here
                **headers,
            },
            timeout=aiohttp.ClientTimeout(total=self._config.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    def _credentials(self) -> tuple[dict[str, str], ssl.SSLContext | None]:
        """Headers and TLS context out of the files the configuration names. Blocks: runs in a thread."""
        headers = {}
        if self._config.token is not None:
            token = SecretReference(self._config.token).reveal().strip()
            # RFC 6750 section 2.1 is narrower; this keeps a damaged file out of the request line.
            if not token or not (token.isascii() and token.isprintable()):
                raise Retryable(f"secret {self._config.token!s} is not a token: empty, or with characters no header carries")
            headers["Authorization"] = f"Bearer {token}"
        if not self._config.url.startswith("https:"):
            return headers, None
        try:
            context = ssl.create_default_context(cafile=self._config.ca_file)
            if self._config.client_certificate is not None:
                # A password callback, because OpenSSL would otherwise ask the terminal for the passphrase of an encrypted key.
                context.load_cert_chain(self._config.client_certificate, self._config.client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise Retryable(f"certificates of sink {self.name} cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return headers, context

    async def _encode(self, batch: Sequence[Committed]) -> tuple[bytes, dict[str, str]]:
        """Body and its encoding header. The loop gets its turn after each event; zlib works without the interpreter's lock."""
        events = []
        for committed in batch:
            events.append(encode_event(committed))
            await asyncio.sleep(0)
        body = join_batch(events)
        if self._config.compression == "gzip" and len(body) > _COMPRESS_ABOVE_BYTES:
            return await asyncio.to_thread(gzip.compress, body, 3, mtime=0), {"Content-Encoding": "gzip"}
        return body, {}


async def _read_limited(content: aiohttp.StreamReader) -> bytes:
    """The answer's body up to a limit; nobody needs the rest."""
    body = b""
    while len(body) < _MAX_ANSWER_BYTES and (part := await content.read(_MAX_ANSWER_BYTES - len(body))):
        body += part
    return body
