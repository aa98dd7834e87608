"""POST over one kept connection, for every sink that speaks HTTP: token, TLS, gzip, limits. What an answer means is the sink's to say.

Cookies, proxies of the environment and redirects are not followed: alerts and token go where the configuration says and nowhere else.
"""

import asyncio
import gzip
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from netmote.clock import Clock
from netmote.config.section import SecretReference
from netmote.errors import Retryable
from netmote.sinks.http_config import HttpConfig
from netmote.sinks.tls import ClientTls, explained

_COMPRESS_ABOVE_BYTES = 1_000
_MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers and the first 64 KiB of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpPost:
    """One receiver. `open` and `close` may be repeated; cancellation at any await leaves it usable."""

    def __init__(self, config: HttpConfig, *, sink: str, clock: Clock, user_agent: str, content_type: str) -> None:
        self._config, self._sink, self._clock = config, sink, clock
        self._headers = {
            "User-Agent": user_agent,
            "Content-Type": content_type,
            "Accept-Encoding": "identity",  # an answer is short; nothing shall unfold here
        }
        self.tls = ClientTls(config, sink=sink) if config.is_encrypted else None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Read token and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        if self._session is not None and self.tls is not None and self.tls.is_changed():
            await self.close()
        if self._session is None:
            headers, context = await asyncio.to_thread(self._credentials)
            # A second open may have been quicker than this one's thread.
            if self._session is None:
                self._session = self._connect(headers, context)

    async def post(self, body: bytes, *, compress: bool = False, url: str | None = None) -> HttpAnswer:
        """POST to the configured address (or `url`, of the same receiver). Raises Retryable when no answer comes in time."""
        await self.open()
        encoding = {}
        if compress and len(body) > _COMPRESS_ABOVE_BYTES:
            # zlib works without the interpreter's lock.
            body = await asyncio.to_thread(gzip.compress, body, 3, mtime=0)
            encoding = {"Content-Encoding": "gzip"}
        answer = await self._post(url or self._config.url, body, encoding)
        if answer.status in (401, 403):
            await self.close()  # the next try reads the token and the certificates anew
        return answer

    async def close(self) -> None:
        """Give the connection up. Safe without `open`, safe twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, url: str, body: bytes, encoding: dict[str, str]) -> HttpAnswer:
        session = self._session
        if session is None:  # closed by another task since it was opened
            raise Retryable(f"{url}: closed")
        try:
            async with session.post(url, data=body, headers=encoding, allow_redirects=False) as response:
                return HttpAnswer(response.status, response.headers, await _read_limited(response.content))
        except TimeoutError as error:
            raise Retryable(f"{url} has not answered within {self._config.timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Retryable(f"{url}: {explained(error, self._clock.now_ns())}") from error

    def _connect(self, headers: dict[str, str], context: ssl.SSLContext | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # One batch is under way at a time; without a context, aiohttp would verify by its own default.
            connector=aiohttp.TCPConnector(limit=1, ssl=context if context is not None else True),
            headers={**self._headers, **headers},
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
        return headers, None if self.tls is None else self.tls.context()


async def _read_limited(content: aiohttp.StreamReader) -> bytes:
    """The answer's body up to a limit; nobody needs the rest."""
    body = b""
    while len(body) < _MAX_ANSWER_BYTES and (part := await content.read(_MAX_ANSWER_BYTES - len(body))):
        body += part
    return body
