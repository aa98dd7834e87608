"""The daemon's life: open downstream first, run, reload what changed, stop upstream first.

start:  store ─ delivery ─ analysis ─ ingest ─ page and control socket ─ collectors ─ READY=1
stop:   collectors ─ ingest drained ─ analysis to its checkpoint ─ delivery until the deadline ─ page ─ store
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from netmote import __version__
from netmote.alerts.alert import Committed
from netmote.analysis.assembly import assemble
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.control.protocol import socket_path
from netmote.control.server import ControlServer
from netmote.daemon.analyse import Analyse
from netmote.daemon.collectors import Collectors
from netmote.daemon.commands import commands
from netmote.daemon.components import build_sink
from netmote.daemon.config import Config, load_config
from netmote.daemon.deliver import Deliver
from netmote.daemon.ingest import Ingest
from netmote.daemon.learned import LearnedFile
from netmote.daemon.reload import changed_parts, needs_start
from netmote.daemon.service_notify import ServiceNotify
from netmote.daemon.status import Survey
from netmote.daemon.supervisor import Supervised
from netmote.errors import ConfigError
from netmote.models.registry import BundleStatus
from netmote.store.store import Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.logging_setup import set_up_logging
from netmote.telemetry.metrics import Metrics
from netmote.web.server import StatusServer

log = logging.getLogger(__name__)

_INGEST_LIMIT = 1_024
_ANALYSE_LIMIT = 256
_STOP_SECONDS = 5.0
_DELIVER_SECONDS = 3.0
_MAINTAIN_SECONDS = 60.0
_LOOP_PROBE_SECONDS = 0.1


class Daemon:
    """One daemon in one state directory. Construct, `await run()`; `request_stop` and `request_reload` come from signals."""

    def __init__(self, config: Config, *, config_path: Path | None, state_dir: Path, clock: Clock, random: Random) -> None:
        self.config, self.config_path, self.state_dir = config, config_path, state_dir
        self.sensor = config.sensor_name
        self.clock, self.random = clock, random
        self.started_at_ns = clock.now_ns()
        self.metrics = Metrics(version=__version__, sensor=self.sensor)
        self.health = Health(clock)
        self.notify = ServiceNotify()
        self.store = Store(state_dir, config.store, sensor=self.sensor, clock=clock)
        self.ingest = Ingest(
            self.store, self._hand_on, limit=_INGEST_LIMIT, clock=clock, health=self.health, metrics=self.metrics
        )
        self.bundles: tuple[BundleStatus, ...] = ()
        self.delivers: list[Deliver] = []
        self.collectors = Collectors(
            sensor=self.sensor,
            state_dir=state_dir,
            emit=self.ingest.put,
            supervise=self._supervised,
            clock=clock,
            random=random,
            health=self.health,
        )
        self.survey = Survey(self)
        self.page: StatusServer | None = None
        self._analyse: Analyse | None = None
        self._control = ControlServer(socket_path(state_dir), commands(self))
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._legs: dict[str, Supervised] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def analyse(self) -> Analyse:
        """The middle leg."""
        if self._analyse is None:
            raise RuntimeError("analysis is built by run()")
        return self._analyse

    @property
    def legs(self) -> dict[str, Supervised]:
        return dict(self._legs)

    def request_stop(self) -> None:
        """End in good order."""
        self._stop.set()

    def request_reload(self) -> None:
        """Read the configuration anew."""
        self._reload.set()

    async def run(self) -> None:
        """Run until `request_stop`. Raises what makes a start impossible; after that nothing ends it but the request."""
        await self.store.open()
        try:
            self._note_recoveries()
            self._analyse = self._build_analysis(self.config)
            await self.analyse.recover()
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._start(group)
                await self._serve_requests()
                await self._shut_down()
        finally:
            self.analyse.close()
            await self.store.close()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        await self._start_delivery(self.config)
        self._start_leg("analysis", self._run_analysis, Level.COLLECT)
        self._start_leg("ingest", self.ingest.run, Level.LEDGER)
        for name, run in (("maintenance", self._maintain), ("survey", self.survey.run), ("loop_probe", self._probe_loop)):
            self._start_leg(name, run, Level.FULL)
        await self._control.open()
        await self._open_page(self.config)
        self.collectors.start(group, self.config)
        interval = self.notify.watchdog_interval()
        if interval is not None:
            self._start_leg("watchdog", lambda: self._feed_watchdog(interval), Level.FULL)
        self.notify.ready(self.survey.headline())
        log.info("ready", extra={"sensor": self.sensor, "state_dir": str(self.state_dir), "version": __version__})

    async def _serve_requests(self) -> None:
        while not self._stop.is_set():
            waits: list[Coroutine[Any, Any, bool]] = [self._stop.wait(), self._reload.wait()]
            tasks = [self._tasks.create_task(wait) for wait in waits]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                await self.reload()

    async def reload(self) -> str:
        """Check the whole new document, then begin anew only what changed. Returns what was done, in one sentence."""
        self.notify.reloading(self.clock.monotonic())
        try:
            said = await self._reload_checked()
        except ConfigError as error:
            self.metrics.config_reloads_total.inc(outcome="refused")
            self.health.degrade("config", Level.FULL, f"reload refused, the old configuration goes on: {error.problems[0]}")
            for problem in error.problems:
                log.error("reload refused: %s", problem, extra={"component": "config"})
            raise
        finally:
            self.notify.ready(self.survey.headline())
        self.metrics.config_reloads_total.inc(outcome="applied")
        self.health.recover("config")
        log.info("reloaded: %s", said, extra={"component": "config"})
        return said

    async def _reload_checked(self) -> str:
        if self.config_path is None:
            return "there is no configuration file; built-in defaults go on"
        new = await asyncio.to_thread(load_config, self.config_path)
        old = self.config
        parts = changed_parts(old, new)
        # Rules are files of their own: they can change while the document stays as it was.
        analyse = self._build_analysis(new)
        if "analysis" in parts or analyse.analysis.rules.hash != self.analyse.analysis.rules.hash:
            await self._replace_analysis(analyse)
            parts = tuple(dict.fromkeys((*parts, "analysis")))
        else:
            analyse.close()
        self.config = new
        await self._apply(parts, new)
        waiting = needs_start(old, new)
        said = f"begun anew: {', '.join(parts)}" if parts else "nothing changed"
        return said + (f"; at the next start: {', '.join(waiting)}" if waiting else "")

    async def _apply(self, parts: tuple[str, ...], new: Config) -> None:
        if "log" in parts:
            set_up_logging(new.log)
        if "sinks" in parts:
            await self._stop_delivery(deadline=_DELIVER_SECONDS)
            await self._start_delivery(new)
        if "web" in parts:
            await self._close_page()
            await self._open_page(new)
        await self.collectors.apply(self._tasks, new, parts)

    async def _replace_analysis(self, new: Analyse) -> None:
        old = self.analyse
        await self._legs.pop("analysis").stop(_STOP_SECONDS)
        await old.finish()
        old.close()
        self._analyse = new
        await new.recover()
        self._start_leg("analysis", self._run_analysis, Level.COLLECT)

    async def _shut_down(self) -> None:
        self.notify.stopping()
        await self.collectors.stop(_STOP_SECONDS)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.ingest.drain()
        except TimeoutError:
            log.error("records were still waiting for the store when it stopped", extra={"component": "ingest"})
        for name in ("ingest", "analysis"):
            await self._legs.pop(name).stop(_STOP_SECONDS)
        await self.analyse.finish()
        await self._stop_delivery(deadline=_DELIVER_SECONDS, drain=True)
        for leg in self._legs.values():
            await leg.stop(_STOP_SECONDS)
        await self._control.close()
        await self._close_page()
        log.info("stopped", extra={"sensor": self.sensor})

    @property
    def _tasks(self) -> asyncio.TaskGroup:
        if self._group is None:
            raise RuntimeError("no task group before run()")
        return self._group

    def _build_analysis(self, config: Config) -> Analyse:
        assembled = assemble(config, sensor=self.sensor)
        self.bundles = assembled.bundles
        active = [bundle for bundle in assembled.bundles if bundle.state == "active"]
        refused = [
            f"{bundle.name} {bundle.version}: {bundle.reason} {bundle.detail}".rstrip()
            for bundle in assembled.bundles
            if bundle.state == "refused"
        ]
        if not active:
            self.health.degrade("models", Level.RULES, "no usable model" + "".join(f"; {text}" for text in refused))
        elif refused:
            self.health.degrade("models", Level.FULL, "; ".join(refused))
        else:
            self.health.recover("models")
        return Analyse(
            assembled.analysis,
            self.store,
            learned=LearnedFile(self.state_dir / "learned.bin"),
            lateness_ns=round(config.windows.lateness * NANOSECONDS_PER_SECOND),
            committed=self._committed,
            ingest_is_empty=lambda: self.ingest.is_empty,
            limit=_ANALYSE_LIMIT,
            clock=self.clock,
            health=self.health,
            metrics=self.metrics,
        )

    async def _run_analysis(self) -> None:
        await self.analyse.run()

    def _hand_on(self, observed: Any) -> None:
        self.survey.note(observed.batches)
        self.analyse.put(observed)

    def _committed(self, rows: list[Committed]) -> None:
        for deliver in self.delivers:
            deliver.wake()
        self.survey.note_alerts(rows)

    async def _start_delivery(self, config: Config) -> None:
        for sink in config.sinks:
            # Before anything can be committed: a sink's books begin at the ledger's tail.
            await self.store.register_sink(sink.name)
        names = {sink.name for sink in config.sinks}
        for books in await self.store.outbox():
            if books.sink not in names and books.queued:
                log.warning(
                    "%d alerts wait for a sink that is not configured", books.queued, extra={"component": f"sink:{books.sink}"}
                )
        self.delivers = [
            Deliver(
                build_sink(sink),
                self.store,
                batch_limit=sink.batch_size,
                clock=self.clock,
                random=self.random,
                health=self.health,
                metrics=self.metrics,
            )
            for sink in config.sinks
        ]
        for deliver in self.delivers:
            self._start_leg(deliver.component, deliver.run, Level.FULL)

    async def _stop_delivery(self, *, deadline: float, drain: bool = False) -> None:
        for deliver in self.delivers:
            await self._legs.pop(deliver.component).stop(deadline)
            self.health.recover(deliver.component)
        if drain:
            await asyncio.gather(*(deliver.drain(deadline) for deliver in self.delivers))

    async def _open_page(self, config: Config) -> None:
        if not config.web.address:
            return
        page = StatusServer(config.web, snapshot=self.survey.snapshot, alert=self.store.alert, metrics=self.metrics)
        try:
            await page.open()
        except OSError as error:
            self.health.degrade("web", Level.FULL, f"no status page on {config.web.address}:{config.web.port}: {error.strerror}")
            log.warning("no status page: %s", error, extra={"component": "web"})
            return
        self.page = page
        self.health.recover("web")
        log.info("status page: %s", page.url, extra={"component": "web"})

    async def _close_page(self) -> None:
        page, self.page = self.page, None
        if page is not None:
            await page.close()

    def _supervised(self, name: str, run: Callable[[], Coroutine[Any, Any, None]], level: Level = Level.FULL) -> Supervised:
        return Supervised(name, run, health=self.health, metrics=self.metrics, clock=self.clock, random=self.random, level=level)

    def _start_leg(self, name: str, run: Callable[[], Coroutine[Any, Any, None]], level: Level) -> None:
        leg = self._supervised(name, run, level)
        self._legs[name] = leg
        leg.start(self._tasks)

    async def _maintain(self) -> None:
        """Retention and the disk, once a minute."""
        while True:
            self.survey.note_store(await self.store.maintain())
            await asyncio.sleep(_MAINTAIN_SECONDS)

    async def _probe_loop(self) -> None:
        """How late the event loop is: no callback should hold it for more than 10 ms."""
        while True:
            due = self.clock.monotonic() + _LOOP_PROBE_SECONDS
            await asyncio.sleep(_LOOP_PROBE_SECONDS)
            self.metrics.observe_loop_lag(max(0.0, self.clock.monotonic() - due))

    async def _feed_watchdog(self, interval: float) -> None:
        """Fed by progress, not by a timer: only when the legs have turned since the last time."""
        seen = -1
        while True:
            if self.analyse.progress != seen:
                seen = self.analyse.progress
                self.notify.watchdog()
            await asyncio.sleep(interval)

    def _note_recoveries(self) -> None:
        for recovery in self.store.recoveries:
            log.error("store: %s", recovery, extra={"component": "store"})
