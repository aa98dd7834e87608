"""One kept connection: credentials loaded anew without a restart, and secrets that stay secret."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sink_certificates import Authority

from netmote.clock import SystemClock
from netmote.sinks.http_config import HttpConfig
from netmote.sinks.http_post import HttpPost


class Server:
    """Notes of each POST who sent it, over which connection, and its headers."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self.seen: list[tuple[str | None, int, Any]] = []

    async def start(self) -> None:
        application = web.Application()
        application.add_routes([web.post("/", self._post)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        scheme = "https" if self._context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert")
        name = dict(pair[0] for pair in certificate["subject"])["commonName"] if certificate else None
        self.seen.append((name, id(request.transport), request.headers))
        return web.Response(text="taken")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[Server]:
    server = Server(authority.server_context(wants_client=True))
    await server.start()
    yield server
    await server.stop()


def post_to(url: str, **fields: object) -> HttpPost:
    config = HttpConfig(url=url, timeout=3.0, **fields)
    return HttpPost(config, sink="upstream", clock=SystemClock(), user_agent="netmote", content_type="application/json")


async def test_a_renewed_client_certificate_is_shown_without_a_restart(secure: Server, authority: Authority) -> None:
    """The connection is kept while nothing changes, and made anew with the new certificate when the files do."""
    pair, renewed = authority.issue("sensor"), authority.issue("renewed sensor")
    http = post_to(secure.url, ca_file=authority.file, client_certificate=pair.certificate, client_key=pair.key)
    await http.post(b"{}")
    await http.post(b"{}")
    renewed.certificate.replace(pair.certificate)
    await http.post(b"{}")
    renewed.key.replace(pair.key)
    await http.post(b"{}")
    await http.close()
    assert [name for name, _, _ in secure.seen] == ["sensor", "sensor", "sensor", "renewed sensor"]
    connections = [connection for _, connection, _ in secure.seen]
    assert connections[0] == connections[1] != connections[3]


async def test_no_secret_in_the_log(
    secure: Server, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the finest level, with a token, a key and a failure of each kind: neither is in a record or an error."""
    caplog.set_level(logging.DEBUG)
    token, pair = tmp_path / "token", authority.issue("sensor")
    token.write_text("very-secret-token")
    fields = {"token": f"file:{token}", "client_certificate": pair.certificate, "client_key": pair.key}
    errors = []
    for url, ca_file in ((secure.url, authority.file), (secure.url, None), ("https://127.0.0.1:9/", authority.file)):
        http = post_to(url, ca_file=ca_file, **fields)
        try:
            assert (await http.post(b"{}")).body == b"taken"
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors.append(repr(error) + str(error) + repr(error.__cause__))
        await http.close()
    assert len(errors) == 2
    assert secure.seen[0][2]["Authorization"] == "Bearer very-secret-token"
    said = "".join(errors) + caplog.text + repr(http._config)
    assert "very-secret-token" not in said
    assert pair.key.read_text().splitlines()[1] not in said


async def test_small_bodies_are_not_compressed() -> None:
    """Below 1 kB gzip gains nothing."""
    server = Server(None)
    await server.start()
    http = post_to(server.url)
    await http.post(b"x" * 1_000, compress=True)
    await http.post(b"x" * 1_001, compress=True)
    await http.post(b"x" * 1_001)
    await http.close()
    await server.stop()
    assert ["Content-Encoding" in headers for _, _, headers in server.seen] == [False, True, False]


async def test_closed_from_beside_while_it_works() -> None:
    """`close` of one task never makes another one fail with anything but Retryable or success."""
    server = Server(None)
    await server.start()
    http = post_to(server.url)
    results = await asyncio.gather(
        *(http.post(b"{}") for _ in range(5)),
        *(http.close() for _ in range(3)),
        *(http.post(b"{}") for _ in range(5)),
        return_exceptions=True,
    )
    await http.close()
    await server.stop()
    unexpected = [each for each in results if isinstance(each, BaseException) and type(each).__name__ != "Retryable"]
    assert unexpected == []
