"""The daemon's life: open downstream first, run, reload what changed, stop upstream first.

start:  store ─ delivery and flow export ─ analysis ─ ingest ─ page and control socket ─ collectors ─ READY=1
stop:   collectors ─ ingest drained ─ analysis to its checkpoint ─ delivery and flow export until the deadline ─ page ─ store
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from netmote import __version__
from netmote.alerts.alert import Committed
from netmote.analysis.analysis import Analysis
from netmote.analysis.assembly import Assembled, assemble
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.control.protocol import socket_path
from netmote.control.server import ControlServer
from netmote.daemon.analyse import Analyse
from netmote.daemon.analysis_view import AnalysisView
from netmote.daemon.collectors import Collectors
from netmote.daemon.commands import commands
from netmote.daemon.concealing_sink import concealing
from netmote.daemon.config import Config
from netmote.daemon.degradation import LevelWatch
from netmote.daemon.deliver import Deliver
from netmote.daemon.deliveries import Deliveries
from netmote.daemon.discards import Discards
from netmote.daemon.flow_exports import FlowExports
from netmote.daemon.heartbeat import Heartbeats
from netmote.daemon.ingest import Ingest, Observed
from netmote.daemon.kernel_clock import read_kernel_clock
from netmote.daemon.learned import LearnedFile
from netmote.daemon.live import Live
from netmote.daemon.maintenance import Maintenance
from netmote.daemon.memory import settle
from netmote.daemon.model_changes import ModelChanges
from netmote.daemon.model_choice import ChangeRefused, ModelChoice
from netmote.daemon.model_health import are_same_bundles, judge_models
from netmote.daemon.orphans import orphan_facts
from netmote.daemon.page import Page
from netmote.daemon.privacy import Privacy
from netmote.daemon.reload import ReloadRefused, changed_parts, needs_start, refuse_parts, without_start_only
from netmote.daemon.service_notify import ServiceNotify
from netmote.daemon.status import Survey
from netmote.daemon.supervisor import Supervised
from netmote.daemon.watchdog import Turn, Watchdog
from netmote.errors import ConfigError, NetmoteError
from netmote.models.registry import BundleStatus
from netmote.models.selection import Selection
from netmote.store.store import Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.logging_setup import set_up_logging
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_INGEST_LIMIT = 1_024
_ANALYSE_LIMIT = 256
_STOP_SECONDS = 5.0
_DELIVER_SECONDS = 3.0
_LEVEL_SECONDS = 2.0
_LOOP_PROBE_SECONDS = 0.1


T = TypeVar("T")


async def _nothing(_analysis: Analysis) -> Any:
    return None


class Daemon:
    """One daemon in one state directory. Construct, `await run()`; `request_stop` and `request_reload` come from signals."""

    def __init__(
        self,
        config: Config,
        *,
        load: Callable[[], Config] | None,
        state_dir: Path,
        clock: Clock,
        random: Random,
    ) -> None:
        """`load` reads the configuration anew for a reload (raises ConfigError); None: there is no document to read."""
        self.config, self.state_dir = config, state_dir
        self.sensor = config.sensor_name
        self.clock, self.random = clock, random
        self.started_at_ns = clock.now_ns()
        self.metrics = Metrics(version=__version__, sensor=self.sensor)
        self.health = Health(clock)
        self.discards = Discards(self.metrics)
        self.notify = ServiceNotify()
        self.store = Store(
            state_dir,
            config.store,
            sensor=self.sensor,
            clock=clock,
            is_clock_synchronised=lambda: read_kernel_clock().is_synchronised,
        )
        self.privacy = Privacy(config, state_dir)
        self.ingest = Ingest(
            self.store,
            self._hand_on,
            conceal=self.privacy.conceal if self.privacy.is_hiding_at_rest else None,
            limit=_INGEST_LIMIT,
            clock=clock,
            health=self.health,
            metrics=self.metrics,
            discards=self.discards,
        )
        self.bundles: tuple[BundleStatus, ...] = ()
        self.models = ModelChoice(state_dir, health=self.health)
        self.model_changes = ModelChanges(self.models, self._swap_models)
        self.deliveries = Deliveries(
            self.store,
            supervise=self._supervised,
            clock=clock,
            random=random,
            health=self.health,
            metrics=self.metrics,
            conceal=lambda sink: concealing(sink, self.privacy.of_sink(sink.name)),
        )
        self.flow_exports = FlowExports(
            state_dir=state_dir,
            free_space_floor=config.store.free_space_floor,
            supervise=self._supervised,
            clock=clock,
            health=self.health,
            metrics=self.metrics,
            discards=self.discards,
        )
        self.collectors = Collectors(
            sensor=self.sensor,
            state_dir=state_dir,
            emit=self.ingest.put,
            supervise=self._supervised,
            clock=clock,
            random=random,
            health=self.health,
            metrics=self.metrics,
        )
        self.survey = Survey(self)
        self.page = Page(self)
        self._load = load
        self._analyse: Analyse | None = None
        self.live = Live(self.metrics)
        self._control = ControlServer(socket_path(state_dir), commands(self), streams={"tail": self.live.follow})
        self._requested = asyncio.Event()
        self._is_stopping = self._is_reload_wanted = False
        self._reloading = asyncio.Lock()
        self._legs: dict[str, Supervised] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def analyse(self) -> Analyse:
        """The middle leg."""
        if self._analyse is None:
            raise RuntimeError("analysis is built by run()")
        return self._analyse

    @property
    def delivers(self) -> list[Deliver]:
        """The third leg, one a sink."""
        return self.deliveries.delivers

    @property
    def legs(self) -> dict[str, Supervised]:
        return dict(self._legs)

    def request_stop(self) -> None:
        """End in good order."""
        self._is_stopping = True
        self._requested.set()

    def request_reload(self) -> None:
        """Read the configuration anew."""
        self._is_reload_wanted = True
        self._requested.set()

    async def run(self) -> None:
        """Run until `request_stop`. Raises what makes a start impossible; after that nothing ends it but the request."""
        await self.store.open()
        try:
            self._note_recoveries()
            await asyncio.to_thread(self.privacy.open)
            self.models.load()
            assembled = await self._assemble(self.config, self.models.selection)
            self.models.note_loaded(assembled.bundles)
            self._analyse = self._build_analysis(assembled, self.config)
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._start(group)
                await self._serve_requests()
                await self._shut_down()
        except BaseExceptionGroup as errors:
            expected, bugs = errors.split(NetmoteError)
            if expected is not None and bugs is None:
                raise _first(expected) from errors
            raise
        finally:
            if self._analyse is not None:
                self._analyse.close()
            await self.store.close()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        # Before anything waits for the loop: a full collection over what was imported takes longer than anything may hold it.
        settle()
        await self.deliveries.apply(group, self.config.sinks, deadline=_DELIVER_SECONDS)
        await self._apply_exports(self.config)
        self._start_leg("analysis", self._run_analysis, Level.COLLECT)
        self._start_leg("ingest", self.ingest.run, Level.LEDGER)
        for name, run in (
            ("maintenance", Maintenance(self.store, told=self.survey.note_store, health=self.health).run),
            ("survey", self.survey.run),
            ("heartbeat", Heartbeats(self).run),
            ("loop_probe", self._probe_loop),
            ("level", self._tell_level),
        ):
            self._start_leg(name, run, Level.FULL)
        await self._open_control()
        await self.page.open(self.config.web)
        self.collectors.start(group, self.config)
        await self._end_orphans(self.config)
        interval = self.notify.watchdog_interval()
        if interval is not None:
            watchdog = Watchdog(self.notify, {"ingest": self._ingest_turn, "analysis": self._analysis_turn})
            self._start_leg("watchdog", lambda: watchdog.run(interval), Level.FULL)
        self.notify.ready(self.survey.headline())
        log.info("ready", extra={"sensor": self.sensor, "state_dir": str(self.state_dir), "version": __version__})

    async def _serve_requests(self) -> None:
        while not self._is_stopping:
            await self._requested.wait()
            self._requested.clear()
            if self._is_reload_wanted and not self._is_stopping:
                self._is_reload_wanted = False
                try:
                    await self.reload()
                except ReloadRefused:
                    continue  # said where it happened; the old configuration goes on

    async def reload(self) -> str:
        """Check the whole new document, then begin anew only what changed. Returns what was done, in one sentence.

        Raises ReloadRefused, whatever the trouble: a reload never ends the daemon.
        """
        async with self._reloading:
            if self._is_stopping:
                raise ReloadRefused("the daemon is stopping")
            self.notify.reloading(self.clock.monotonic())
            try:
                said = await self._reload_checked()
            except ConfigError as error:
                self.metrics.config_reloads_total.inc(outcome="refused")
                reason = f"reload refused, the old configuration goes on: {error.problems[0]}"
                self.health.degrade("config", Level.FULL, reason)
                for problem in error.problems:
                    log.error("reload refused: %s", problem, extra={"component": "config"})
                raise ReloadRefused(str(error)) from error
            except Exception as error:
                self.metrics.config_reloads_total.inc(outcome="failed")
                self.health.degrade("config", Level.FULL, f"reload failed, it may be half applied: {error}")
                log.exception("reload failed, it may be half applied", extra={"component": "config"})
                raise ReloadRefused(f"reload failed, it may be half applied: {error}") from error
            finally:
                self.notify.ready(self.survey.headline())
            self.metrics.config_reloads_total.inc(outcome="applied")
            self.health.recover("config")
            log.info("reloaded: %s", said, extra={"component": "config"})
            return said

    async def _reload_checked(self) -> str:
        if self._load is None:
            return "there is no configuration file; built-in defaults go on"
        loaded, old = await asyncio.to_thread(self._load), self.config
        refuse_parts(old, loaded)
        waiting = needs_start(old, loaded)
        new = without_start_only(old, loaded)
        parts = changed_parts(old, new)
        # Rules and bundles are files of their own: they can change while the document stays as it was.
        assembled = await self._assemble(new, self.models.selection)
        self.models.note_loaded(assembled.bundles)
        if (
            "analysis" in parts
            or assembled.analysis.rules.hash != self.analyse.analysis.rules.hash
            or not are_same_bundles(assembled.bundles, self.bundles)
        ):
            await self._replace_analysis(assembled, new)
            parts = tuple(dict.fromkeys((*parts, "analysis")))
        await self._apply(parts, new)
        self.config = new
        await self._end_orphans(new)
        said = f"begun anew: {', '.join(parts)}" if parts else "nothing changed"
        return said + (f"; at the next start: {', '.join(waiting)}" if waiting else "")

    async def _apply(self, parts: tuple[str, ...], new: Config) -> None:
        if "log" in parts:
            set_up_logging(new.log, on_held_back=self.metrics.log_lines_held_back_total.inc)
        if "sinks" in parts:
            await self.deliveries.apply(self._tasks, new.sinks, deadline=_DELIVER_SECONDS)
        if "flow_export" in parts or "capture" in parts:
            await self._apply_exports(new)
        if "web" in parts:
            await self.page.close()
            await self.page.open(new.web)
        # Captures are also looked at anew when nothing was written: permission or interfaces may have come.
        await self.collectors.apply(self._tasks, new, (*parts, "capture"))

    async def _apply_exports(self, config: Config) -> None:
        await self.flow_exports.apply(
            self._tasks,
            config.flow_export,
            metering=config.metering,
            workers=config.capture.workers,
            deadline=_DELIVER_SECONDS,
        )

    async def _swap_models(self, change: Callable[[], Selection]) -> Selection:
        async with self._reloading:
            if self._is_stopping:
                raise ChangeRefused("the daemon is stopping")
            selection = change()
            assembled = await self._assemble(self.config, selection)
            self.models.accept(selection, assembled)
            await self._replace_analysis(assembled, self.config)
        return selection

    async def _assemble(self, config: Config, selection: Selection) -> Assembled:
        return await asyncio.to_thread(assemble, config, sensor=self.sensor, selection=selection)

    async def with_analysis_paused(self, work: Callable[[Analysis], Awaitable[T]]) -> T:
        """Do some work on what is stored while no analysis runs; a new one begins from what is stored then. Raises ReloadRefused."""
        async with self._reloading:
            if self._is_stopping:
                raise ReloadRefused("the daemon is stopping")
            assembled = await self._assemble(self.config, self.models.selection)
            self.health.degrade("analysis_paused", Level.COLLECT, "analysis pauses for work on what is stored")
            try:
                return await self._replace_analysis(assembled, self.config, between=work)
            finally:
                self.health.recover("analysis_paused")

    async def _replace_analysis(
        self, assembled: Assembled, config: Config, *, between: Callable[[Analysis], Awaitable[T]] = _nothing
    ) -> T:
        """`between` is given the old analysis, once it is written down and before it is closed."""
        old = self.analyse
        await self._legs.pop("analysis").stop(_STOP_SECONDS)
        try:
            await old.finish(_STOP_SECONDS)
            return await between(old.analysis)
        finally:
            old.close()
            self._analyse = self._build_analysis(assembled, config)
            self._start_leg("analysis", self._run_analysis, Level.COLLECT)

    async def _shut_down(self) -> None:
        self.notify.stopping()
        async with self._reloading:  # one that is under way ends first
            pass
        await self.collectors.stop(_STOP_SECONDS)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.ingest.drain()
        except TimeoutError:
            log.error("records were still waiting for the store when it stopped", extra={"component": "ingest"})
        for name in ("ingest", "analysis"):
            await self._legs.pop(name).stop(_STOP_SECONDS)
        try:
            await self.analyse.finish(_STOP_SECONDS)
        except Exception:
            log.exception("failed while stopping; the next start goes on from the checkpoint", extra={"component": "analysis"})
        await asyncio.gather(self.deliveries.stop(deadline=_DELIVER_SECONDS), self.flow_exports.stop(deadline=_DELIVER_SECONDS))
        await self._control.close()
        await self.page.close()
        await asyncio.gather(*(leg.stop(_STOP_SECONDS) for leg in self._legs.values()))
        log.info("stopped", extra={"sensor": self.sensor})

    @property
    def _tasks(self) -> asyncio.TaskGroup:
        if self._group is None:
            raise RuntimeError("no task group before run()")
        return self._group

    def _build_analysis(self, assembled: Assembled, config: Config) -> Analyse:
        self.bundles = assembled.bundles
        judge_models(self.health, self.bundles, {})
        return Analyse(
            assembled.analysis,
            self.store,
            learned=LearnedFile(self.state_dir / "learned.bin", free_space_floor=self.config.store.free_space_floor),
            lateness_ns=round(config.windows.lateness * NANOSECONDS_PER_SECOND),
            committed=self._committed,
            looked=self._looked,
            scored=self.live.note_scores,
            ingest_is_empty=lambda: self.ingest.is_empty,
            limit=_ANALYSE_LIMIT,
            clock=self.clock,
            health=self.health,
            metrics=self.metrics,
            discards=self.discards,
        )

    async def _run_analysis(self) -> None:
        await self.analyse.run()

    def _hand_on(self, observed: Observed) -> None:
        self.survey.note(observed.batches)
        self.flow_exports.note(observed.batches)
        self.live.note_records(observed.batches)
        self.analyse.put(observed)

    def _committed(self, rows: list[Committed]) -> None:
        self.deliveries.wake()
        self.survey.note_alerts(rows)
        self.collectors.note_alerts(rows)
        self.live.note_alerts(rows)

    def _looked(self, view: AnalysisView) -> None:
        if judge_models(self.health, self.bundles, view.failures):
            for name, reason in view.failures.items():
                log.error("model out of use: %s", reason, extra={"component": "models", "model": name})
        if not self._is_stopping:
            self.model_changes.consider(self._tasks, view, self.analyse.analysis.detectors, self.config.models)

    async def _end_orphans(self, config: Config) -> None:
        """Alerts of devices and interfaces that are no longer observed would fire for ever."""
        batch = orphan_facts(
            await self.store.active_alerts(),
            sensor=self.sensor,
            devices={target.name for target in config.snmp.targets},
            captured={observation.interface for observation in self.collectors.observations},
            now_ns=self.clock.now_ns(),
        )
        if batch is not None:
            self.ingest.put(batch)

    async def _open_control(self) -> None:
        try:
            await self._control.open()
        except OSError as error:
            # Such as a path longer than a socket's name may be (unix(7): 108 bytes): the work goes on, but nobody can ask.
            self.health.degrade("control", Level.FULL, f"no control socket: {error}")
            log.error("no control socket: %s", error, extra={"component": "control"})

    def _supervised(self, name: str, run: Callable[[], Awaitable[None]], level: Level = Level.FULL) -> Supervised:
        return Supervised(name, run, health=self.health, metrics=self.metrics, clock=self.clock, random=self.random, level=level)

    def _start_leg(self, name: str, run: Callable[[], Awaitable[None]], level: Level) -> None:
        leg = self._supervised(name, run, level)
        self._legs[name] = leg
        leg.start(self._tasks)

    async def _tell_level(self) -> None:
        """Changes of the level go through ingest like what any collector observes, and so upstream."""
        watch = LevelWatch(sensor=self.sensor)
        while True:
            batch = watch.facts(self.health.level, self.health.reasons, self.clock.now_ns())
            if batch is not None:
                self.ingest.put(batch)
            await asyncio.sleep(_LEVEL_SECONDS)

    async def _probe_loop(self) -> None:
        """How late the event loop is: no callback should hold it for more than 10 ms."""
        while True:
            due = self.clock.monotonic() + _LOOP_PROBE_SECONDS
            await asyncio.sleep(_LOOP_PROBE_SECONDS)
            self.metrics.observe_loop_lag(max(0.0, self.clock.monotonic() - due))

    def _ingest_turn(self) -> Turn:
        leg = self._legs.get("ingest")
        return Turn(self.ingest.batches, self.ingest.is_empty or leg is None or leg.is_waiting)

    def _analysis_turn(self) -> Turn:
        leg = self._legs.get("analysis")
        return Turn(self.analyse.progress, leg is None or leg.is_waiting)

    def _note_recoveries(self) -> None:
        for recovery in self.store.recoveries:
            log.error("store: %s", recovery, extra={"component": "store"})
        if self.store.epoch_renewal:
            log.warning("the ledger has a new epoch: %s", self.store.epoch_renewal, extra={"component": "store"})


def _first(errors: BaseExceptionGroup[NetmoteError]) -> NetmoteError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
