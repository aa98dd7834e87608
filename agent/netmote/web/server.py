"""The HTTP server: routes to pages, metrics, health and JSON. Read-only, on one loopback address, on a Unix socket, or both.

| path | answer |
| --- | --- |
| `/` | the status page |
| `/alerts/ID` | the explanation of an alert |
| `/metrics` | Prometheus text format |
| `/healthz` | `{"level", "is_degraded", "reasons", "legs"}`: 200 while every leg is alive (degraded too), else 503 |
| `/api/snapshot` | everything the page shows (`telemetry.snapshot`) |
| `/api/alerts/ID` | the alert document (`sinks.alert_document`) |
"""

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler

from netmote import __version__
from netmote.alerts.alert import Committed
from netmote.sinks.alert_document import alert_document, encode
from netmote.telemetry.metrics import Metrics
from netmote.telemetry.snapshot import Snapshot
from netmote.web.config import WebConfig
from netmote.web.guard import SECURITY_HEADERS, is_loopback_host

if TYPE_CHECKING:
    from netmote.web.pages import Pages

_STATIC = {"netmote.css": "text/css", "live.js": "text/javascript", "netmote.svg": "image/svg+xml"}
_ALERT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

# Pages are rendered in worker threads; more readers than this wait their turn.
_RENDERS_AT_ONCE = 2


class StatusServer:
    """Serves what the daemon hands it: `snapshot` and `metrics.refresh` are called on the loop, rendering is done in threads."""

    def __init__(
        self,
        config: WebConfig,
        *,
        snapshot: Callable[[], Snapshot],
        alert: Callable[[str], Awaitable[Committed | None]],
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._snapshot, self._alert, self._metrics = snapshot, alert, metrics
        self._turn = asyncio.Semaphore(_RENDERS_AT_ONCE)
        self._pages: Pages | None = None
        self._first = threading.Lock()
        self._static: dict[str, bytes] = {}
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen. Raises OSError when the address or the socket cannot be had."""
        self._static = await asyncio.to_thread(_read_static)
        application = web.Application(middlewares=[_guarded])
        application.add_routes(
            [
                web.get("/", self._status_page),
                web.get("/alerts/{alert_id}", self._alert_page),
                web.get("/metrics", self._metrics_text),
                web.get("/healthz", self._health),
                web.get("/api/snapshot", self._snapshot_json),
                web.get("/api/alerts/{alert_id}", self._alert_json),
                web.get("/static/{name}", self._static_file),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            if self._config.address:
                await web.TCPSite(runner, self._config.address, self._config.port).start()
            if self._config.socket is not None:
                await _listen(runner, self._config.socket)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def close(self) -> None:
        """Stop listening; safe without open, safe twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
            if self._config.socket is not None:
                await asyncio.to_thread(self._config.socket.unlink, missing_ok=True)

    @property
    def url(self) -> str:
        """Where the page is, once open: the address, else the socket's path."""
        assert self._runner is not None, "open() first"
        for address in self._runner.addresses:
            if not isinstance(address, str):
                host, port = address[:2]
                return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        return str(self._config.socket)

    async def _status_page(self, _request: web.Request) -> web.Response:
        snapshot = self._snapshot()
        return _html(await self._rendered(lambda pages: pages.status(snapshot)))

    async def _alert_page(self, request: web.Request) -> web.Response:
        committed = await self._find(request)
        if committed is None:
            return _html(await self._rendered(lambda pages: pages.missing("alert")), status=404)
        now_ns = self._snapshot().taken_at_ns
        return _html(await self._rendered(lambda pages: pages.alert(committed, now_ns=now_ns)))

    async def _rendered(self, render: Callable[["Pages"], str]) -> str:
        """In a worker thread, a few at once."""
        async with self._turn:
            return await asyncio.to_thread(lambda: render(self._ready_pages()))

    def _ready_pages(self) -> "Pages":
        """Templates are brought in for the first reader: a sensor that is only scraped needs neither them nor jinja2."""
        with self._first:
            if self._pages is None:
                from netmote.web.pages import Pages  # noqa: PLC0415

                self._pages = Pages(__version__)
            return self._pages

    async def _metrics_text(self, _request: web.Request) -> web.Response:
        self._metrics.refresh()
        self._metrics.event_loop_tasks.set(len(asyncio.all_tasks()))
        async with self._turn:
            body = await asyncio.to_thread(self._metrics.exposition)
        return web.Response(body=body, headers={"Content-Type": self._metrics.content_type})

    async def _health(self, _request: web.Request) -> web.Response:
        snapshot = self._snapshot()
        body = {
            "level": snapshot.level.value,
            "is_degraded": snapshot.is_degraded,
            "reasons": [{"component": reason.component, "text": reason.text} for reason in snapshot.reasons],
            "legs": {leg.name: "alive" if leg.is_alive else "dead" for leg in snapshot.legs},
        }
        return web.json_response(body, status=200 if snapshot.is_alive else 503)

    async def _snapshot_json(self, _request: web.Request) -> web.Response:
        snapshot = self._snapshot()
        async with self._turn:
            body = await asyncio.to_thread(snapshot.to_json)
        return web.Response(body=body, content_type="application/json")

    async def _alert_json(self, request: web.Request) -> web.Response:
        committed = await self._find(request)
        if committed is None:
            return web.json_response({"error": "no such alert"}, status=404)
        return web.Response(body=encode(alert_document(committed)), content_type="application/json")

    async def _static_file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._static:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "max-age=86400"}  # the address carries the version
        return web.Response(body=self._static[name], content_type=_STATIC[name], charset="utf-8", headers=headers)

    async def _find(self, request: web.Request) -> Committed | None:
        alert_id = request.match_info["alert_id"]
        return await self._alert(alert_id) if _ALERT_ID.fullmatch(alert_id) else None


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    # Whoever comes by the Unix socket may open it, so no web site leads there; a proxy passes on the name it is known by.
    if not _came_by_unix_socket(request) and not is_loopback_host(request.headers.get("Host")):
        response: web.StreamResponse = web.Response(status=421, text="This page answers to localhost only.\n")
    else:
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            response = web.Response(status=refusal.status, text=f"{refusal.status} {refusal.reason}\n")
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _came_by_unix_socket(request: web.Request) -> bool:
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


async def _listen(runner: web.AppRunner, path: Path) -> None:
    """On a socket for this user and its group. One left by a killed daemon is replaced, another kind of file is not."""

    def clear() -> None:
        if path.is_socket():
            path.unlink()

    await asyncio.to_thread(clear)
    await web.UnixSite(runner, str(path)).start()
    await asyncio.to_thread(path.chmod, 0o660)


def _html(page: str, *, status: int = 200) -> web.Response:
    return web.Response(text=page, content_type="text/html", status=status)


def _read_static() -> dict[str, bytes]:
    folder = files("netmote.web") / "static"
    return {name: (folder / name).read_bytes() for name in _STATIC}
