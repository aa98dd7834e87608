"""The two doors: one where sensors post, one where people and programs look. Nothing is answered before it is durable.

| POST | answer |
| --- | --- |
| all taken, or known | 204 |
| some events cannot be taken | 207 `{"rejected": [{"id", "reason"}]}`; the others are durable |
| none can be taken | 400 `{"error", "rejected": [...]}` |
| larger than the bound | 413: the sensor halves it |
| wrong media type or encoding | 415 |
| no token, or a wrong one | 401 |
| no room, or too many sensors | 503 with Retry-After: the sensor keeps them |

| GET (loopback) | answer |
| --- | --- |
| `/` | the page of sensors |
| `/api/sensors` | the same as JSON |
| `/api/events?after=POSITION&limit=N` | stored events in the order of arrival, JSON lines `{"position", "received_at_ns", "event"}` |
| `/metrics` | Prometheus text format: who is silent, what is missing |
| `/healthz` | `{"sensors", "not_well", "expired_events"}`: 200 |
"""

import asyncio
import hmac
import json
import logging
import ssl
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from netmote import __version__
from netmote.clock import Clock
from netmote.collector.config import CollectorConfig
from netmote.collector.intake import Arrival, BadBody, Intake, read_body
from netmote.collector.ledger import CollectorLedger
from netmote.collector.metrics import exposition
from netmote.collector.pages import Page
from netmote.collector.request_body import NotDecodable, TooLarge, gunzip, read_bounded
from netmote.collector.standing import SensorStanding, standings
from netmote.collector.watch import Liveness, Watch
from netmote.config.section import SecretReference
from netmote.errors import Retryable
from netmote.web.guard import SECURITY_HEADERS, is_loopback_host

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 2**20  # a sensor's batch: at most 1,000 events of less than 64 KiB
MAX_POSTS_AT_ONCE = 8  # each holds up to two bodies in memory
_RETRY_AFTER_SECONDS = 30
_BODY_SECONDS = 30.0
_MEDIA_TYPES = ("application/cloudevents-batch+json", "application/cloudevents+json", "application/json")
_MAX_EVENTS_READ = 1_000
_LOOK_SECONDS = 1.0
_MAINTAIN_SECONDS = 60.0


class Collector:
    """One collector over one file. `open`, `run`, `close` (safe without open, safe twice)."""

    def __init__(self, config: CollectorConfig, *, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self.ledger = CollectorLedger(config.database, clock=clock, size=config.database_size, lives=config.max_sensors)
        self._watch = Watch()
        self._page = Page(__version__)
        self._token: bytes | None = None
        self._tls: ssl.SSLContext | None = None
        self._posts = asyncio.Semaphore(MAX_POSTS_AT_ONCE)
        self._runners: list[web.AppRunner] = []
        self._told: dict[str, str] = {}  # sensor -> what was last logged of it

    async def open(self) -> None:
        """Open the file and listen. Raises Retryable for credentials that are not there, OSError for an address that is taken."""
        try:
            await asyncio.to_thread(self._read_credentials)
            await self.ledger.open()
            await self._know()
            intake = web.Application(middlewares=[_sealed])
            intake.router.add_post("/", self._post)
            await self._listen(intake, self._config.address, self._config.port, tls=self._tls)
            if self._config.page_address:
                await self._listen(self._looks(), self._config.page_address, self._config.page_port, tls=None)
        except BaseException:
            await self.close()
            raise

    def _looks(self) -> web.Application:
        looks = web.Application(middlewares=[_sealed, _local_only])
        looks.add_routes(
            [
                web.get("/", self._show),
                web.get("/api/sensors", self._sensors),
                web.get("/api/events", self._events),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._health),
                web.get("/static/{name}", self._static),
            ]
        )
        return looks

    async def run(self) -> None:
        """Log who falls silent and who is back, and keep the file within its bound, until cancelled."""
        maintained_at = self._clock.monotonic()
        while True:
            for sensor, liveness in self._watch.all(self._clock.monotonic()):
                self._tell(sensor, liveness)
            if self._clock.monotonic() - maintained_at >= _MAINTAIN_SECONDS:
                maintained_at = self._clock.monotonic()
                try:
                    await self.ledger.maintain()
                except Retryable as error:  # a full disk: posts are answered with 503 until there is room
                    log.error("the database cannot be tidied: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()
        await self.ledger.close()

    def reload_certificates(self) -> None:
        """Take renewed certificates up for new connections. Raises Retryable, and the old ones go on."""
        if self._tls is not None:
            self._load_certificates(self._tls)

    @property
    def url(self) -> str:
        """Where sensors post, once open."""
        return self._url(0, "https" if self._tls else "http")

    @property
    def page_url(self) -> str:
        """Where the page is, once open with one."""
        return self._url(1, "http")

    async def standings(self) -> list[SensorStanding]:
        """Every sensor at this moment."""
        return await asyncio.to_thread(standings, await self.ledger.lives(), self._watch, self._clock.monotonic())

    def _url(self, door: int, scheme: str) -> str:
        host, port = self._runners[door].addresses[0][:2]
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"

    async def _listen(self, application: web.Application, address: str, port: int, *, tls: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, auto_decompress=False)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, address, port, ssl_context=tls).start()

    async def _know(self) -> None:
        """Sensors of before this start have as long as any other to be heard."""
        for life in await self.ledger.lives():
            if life.beat is not None:
                said = json.loads(life.beat)
                self._watch.know(
                    life.sensor,
                    life.epoch,
                    started_at=said["started_at"],
                    interval=float(said["interval_seconds"]),
                    now=self._clock.monotonic(),
                )

    def _read_credentials(self) -> None:
        if self._config.token is not None:
            self._token = SecretReference(self._config.token).reveal().strip().encode()
            if not self._token:
                raise Retryable(f"secret {self._config.token!s} is empty")
        if self._config.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._load_certificates(context)
            if self._config.client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
            self._tls = context

    def _load_certificates(self, context: ssl.SSLContext) -> None:
        assert self._config.certificate is not None
        try:
            # A password callback, because OpenSSL would otherwise ask the terminal for the passphrase of an encrypted key.
            context.load_cert_chain(self._config.certificate, self._config.key, password=lambda: "")
            if self._config.client_ca is not None:
                context.load_verify_locations(cafile=self._config.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise Retryable(f"certificates of the collector cannot be used: {error}") from error

    async def _post(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        async with self._posts:
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    body = await read_bounded(request.content, limit=MAX_BODY_BYTES)
                intake = await asyncio.to_thread(_taken_apart, body, _encoding(request), self._names(request))
            except TimeoutError:
                return web.json_response({"error": f"the body took more than {_BODY_SECONDS:g} s"}, status=408)
            except TooLarge as error:
                return web.json_response({"error": str(error)}, status=413)
            except (NotDecodable, BadBody) as error:
                return web.json_response({"error": str(error), "rejected": []}, status=400)
            return await self._commit(intake)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What is wrong before the body is looked at."""
        if not self._is_permitted(request):
            return web.json_response({"error": "no token, or a wrong one"}, status=401, headers={"WWW-Authenticate": "Bearer"})
        if request.content_type not in _MEDIA_TYPES:
            return web.json_response(
                {"error": f"media type {request.content_type!r}; allowed: {', '.join(_MEDIA_TYPES)}"}, status=415
            )
        if _encoding(request) not in ("gzip", "identity"):
            return web.json_response({"error": f"Content-Encoding {_encoding(request)!r}; allowed: gzip, identity"}, status=415)
        return None

    async def _commit(self, intake: Intake) -> web.Response:
        rejected = [{"id": event_id, "reason": reason} for event_id, reason in intake.rejected]
        if rejected and not intake.arrivals:
            return web.json_response({"error": "no event can be taken", "rejected": rejected}, status=400)
        try:
            await self.ledger.commit(intake.arrivals)
        except Retryable as error:
            log.error("nothing was taken: %s", error)
            return web.json_response({"error": str(error)}, status=503, headers={"Retry-After": str(_RETRY_AFTER_SECONDS)})
        self._note_beats(intake.arrivals)
        return web.json_response({"rejected": rejected}, status=207) if rejected else web.Response(status=204)

    def _note_beats(self, arrivals: tuple[Arrival, ...]) -> None:
        for arrival in arrivals:
            if arrival.beat is not None:
                self._watch.beat(
                    arrival.sensor,
                    arrival.epoch,
                    started_at=arrival.beat.started_at,
                    interval=arrival.beat.interval_seconds,
                    now=self._clock.monotonic(),
                )

    def _is_permitted(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        # In constant time: how long the comparison takes says nothing of the token (hmac.compare_digest).
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._token)

    def _names(self, request: web.Request) -> list[str] | None:
        """The sensors this peer may be; None: any."""
        if not self._config.match_names:
            return None
        certificate: dict[str, Any] = request.get_extra_info("peercert") or {}
        common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
        return common + [value for key, value in certificate.get("subjectAltName", ()) if key == "DNS"]

    async def _show(self, _request: web.Request) -> web.Response:
        sensors = await self.standings()
        text = await asyncio.to_thread(self._page.sensors, sensors, now_ns=self._clock.now_ns())
        return web.Response(text=text, content_type="text/html")

    async def _sensors(self, _request: web.Request) -> web.Response:
        return web.json_response({"sensors": [sensor.to_document() for sensor in await self.standings()]})

    async def _events(self, request: web.Request) -> web.Response:
        try:
            after, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "100"))
        except ValueError:
            return web.json_response({"error": "after and limit are whole numbers"}, status=400)
        if not 0 <= after < 2**63 or not 1 <= limit <= _MAX_EVENTS_READ:
            return web.json_response({"error": f"after from 0, limit from 1 to {_MAX_EVENTS_READ}"}, status=400)
        lines = [
            b'{"position":%d,"received_at_ns":%d,"event":%s}\n' % (kept.position, kept.received_at_ns, kept.body)
            for kept in await self.ledger.events_after(after, limit=limit)
        ]
        return web.Response(body=b"".join(lines), content_type="application/x-ndjson")

    async def _metrics(self, _request: web.Request) -> web.Response:
        sensors = await self.standings()
        body = await asyncio.to_thread(exposition, sensors, expired_events=self.ledger.expired)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _health(self, _request: web.Request) -> web.Response:
        sensors = await self.standings()
        not_well = [sensor.sensor for sensor in sensors if not sensor.is_well]
        return web.json_response({"sensors": len(sensors), "not_well": not_well, "expired_events": self.ledger.expired})

    async def _static(self, request: web.Request) -> web.Response:
        return self._page.static(request.match_info["name"])

    def _tell(self, sensor: str, liveness: Liveness) -> None:
        said = "silent" if liveness.state == "silent" else "two machines" if liveness.others else ""
        before = self._told.get(sensor, "")
        self._told[sensor] = said
        if said == before:
            return
        if said == "silent":
            log.error("sensor %s is silent: %d heartbeats missing", sensor, liveness.missed)
        elif said:
            log.error("two machines live as sensor %s: epochs %s", sensor, ", ".join((liveness.epoch, *liveness.others)))
        else:
            log.info("sensor %s is well again (it was: %s)", sensor, before)


def _encoding(request: web.Request) -> str:
    return request.headers.get("Content-Encoding", "identity").strip().lower()


def _taken_apart(body: bytes, encoding: str, names: list[str] | None) -> Intake:
    return read_body(gunzip(body, limit=MAX_BODY_BYTES) if encoding == "gzip" else body, speaks_for=names)


@web.middleware
async def _sealed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer carries the headers that keep a browser from being used against us."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        response = web.Response(status=refusal.status, text=f"{refusal.status} {refusal.reason}\n")
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@web.middleware
async def _local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The page has no authentication: see `web.guard` on why the Host header is looked at."""
    if not is_loopback_host(request.headers.get("Host")):
        return web.Response(status=421, text="This page answers to localhost only.\n")
    return await handler(request)
