"""One Observation Point: the thread that reads a ring, meters its packets and hands the panes on.

    ring ─► packet columns ─► flow meter ─► FlowBatch ─► (event loop) ingest

With several workers the thread reads no ring: it listens to the processes that do (`capture_workers`). An interface that vanishes is a fact; it is opened again by name when it is back, and the gap is recorded.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import cast

from netmote.capture.config import CaptureConfig
from netmote.capture.drop_counters import DropCounters
from netmote.capture.link_state import LinkState
from netmote.capture.packet_filter import packet_filter
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.recent_headers import HeaderFollowers, RecentHeaders
from netmote.capture.ring import InterfaceGone, Ring, packet_socket
from netmote.clock import Clock
from netmote.daemon.capture_workers import STOP_SECONDS, CaptureWorkers
from netmote.daemon.ring_metering import READ_SECONDS, RingMetering
from netmote.daemon.supervisor import WELL_SECONDS
from netmote.daemon.worker_headers import WorkerHeaders
from netmote.errors import Unavailable
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_meter import FlowMeter
from netmote.metering.neighbours import Neighbours
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import FlowBatch
from netmote.telemetry.health import Health, Level

log = logging.getLogger(__name__)

_REOPEN_SECONDS = 2.0


def _ignore(_: str) -> None:
    return


class Observation:
    """Capture and metering of one interface in a thread of its own. `emit` is called on the event loop's thread."""

    def __init__(
        self,
        interface: str,
        capture: CaptureConfig,
        metering: MeteringConfig,
        *,
        sensor: str,
        clock: Clock,
        emit: Callable[[Batch], None],
        health: Health,
        on_worker_death: Callable[[str], None] = _ignore,
    ) -> None:
        """`on_worker_death` is told the worker's name, in the capture thread."""
        self.interface = interface
        self.source = f"capture:{interface}"
        self._capture, self._metering = capture, metering
        self._clock, self._emit, self._health = clock, emit, health
        self._on_worker_death = on_worker_death
        self._workers: CaptureWorkers | None = None
        self._worker_died_at: float | None = None
        self._entity = Entity(EntityKind.INTERFACE, f"{sensor}/{interface}")
        self.meter: FlowMeter | None = None
        self.neighbours = Neighbours(source=self.source)
        self.recent: RecentHeaders | WorkerHeaders | None = None
        """The newest packets, once there was a ring; it stays when the interface goes. None: no evidence is wanted."""
        self.ring_bytes = 0
        """Memory of the ring and of the recent headers."""
        self.has_ring = False
        """Whether packets are read; with workers: each of them has begun."""
        self.gone_since: float | None = None
        """Monotonic seconds since when there is no such interface; None while there is."""
        self._is_unavailable = False
        self._is_link_down = False

    async def run(self) -> None:
        """Capture until cancelled. Raises Unavailable when this process may not capture here at all."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()  # one a run: a thread that outlived its run must not be taken for the next one's
        failure: asyncio.Future[None] = loop.create_future()

        def finished(error: BaseException | None) -> None:
            if not failure.done():
                failure.set_result(None) if error is None else failure.set_exception(error)

        def on_loop(function: Callable[..., object], *arguments: object) -> None:
            # A thread that did not end in time may still be flushing when the loop is closed: there is nobody left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(function, *arguments)

        def work() -> None:
            error: BaseException | None = None
            try:
                self._work(lambda batch: on_loop(self._emit, batch), stop)
            except Exception as raised:  # noqa: BLE001 (handed to the supervisor, which logs and restarts)
                error = raised
            on_loop(finished, error)

        thread = threading.Thread(target=work, name=self.source, daemon=True)
        thread.start()
        try:
            await asyncio.shield(failure)
        except Unavailable as error:
            if not self._is_unavailable:
                self._is_unavailable = True
                self._emit(self._fact("capture_unavailable", 1.0, reason=str(error)))
            raise
        finally:
            stop.set()
            # The last pane is flushed by the thread; it ends within one read, or when the workers have.
            patience = 5 * READ_SECONDS if self._capture.workers == 1 else STOP_SECONDS
            await asyncio.to_thread(thread.join, patience + 1.0)

    def _work(self, emit: Callable[[Batch], None], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                opened = self._open_ring() if self._capture.workers == 1 else self._open_workers(emit)
            except InterfaceGone as error:
                self._note_gone(emit, error)
                stop.wait(_REOPEN_SECONDS)
                continue
            # Said at each opening, not only after a loss: an alert of before a restart ends with it.
            self.gone_since, self._is_unavailable, self._is_link_down = None, False, False
            self._health.recover(self.source)
            self._note_version(opened.version)
            for condition in ("capture_interface_gone", "capture_unavailable", "capture_link_down"):
                emit(self._fact(condition, 0.0))
            try:
                if isinstance(opened, CaptureWorkers):
                    self._follow_workers(opened, emit, stop)
                else:
                    self._meter_ring(opened, emit, stop)
            except InterfaceGone as error:
                self._note_gone(emit, error)
            finally:
                self.has_ring, self._workers = False, None
                opened.close()
                if isinstance(opened, Ring) and opened.tee is not None:
                    opened.tee.close()

    def _note_gone(self, emit: Callable[[Batch], None], error: InterfaceGone) -> None:
        if self.gone_since is None:
            self.gone_since = self._clock.monotonic()
            self._health.degrade(self.source, Level.FULL, f"{error}; captured again when it is back")
            log.warning("%s", error, extra={"component": self.source})
            emit(self._fact("capture_interface_gone", 1.0, reason=str(error)))

    def _note_version(self, version: str) -> None:
        """The ring that was not asked for by name is said, once."""
        if self._capture.ring != "auto" or version == "v3":
            self._health.recover(f"ring:{self.interface}")
            return
        text = f"the kernel refuses TPACKET_V3; TPACKET_{version.upper()} costs it more, and holds fewer packets"
        if self._health.degrade(f"ring:{self.interface}", Level.FULL, text):
            log.warning("%s", text, extra={"component": self.source})

    def _open_ring(self) -> Ring:
        ring = Ring(
            self.interface,
            ring_size=self._capture.ring_size,
            promiscuous=self._capture.promiscuous,
            version=self._capture.ring,
            packet_filter=packet_filter(self._capture.filter),
            tunnels=self._capture.tunnels,
        )
        tee = None if self._capture.tee_dir is None else self._begin_tee(ring, self._capture.tee_dir)
        followers = [each for each in (tee, self._recent_of(ring)) if each is not None]
        if followers:
            # A tee is told of frames and closed; a ring asks no more of it.
            ring.tee = cast("PcapngWriter", followers[0] if len(followers) == 1 else HeaderFollowers(*followers))
        return ring

    def _recent_of(self, ring: Ring) -> RecentHeaders | None:
        """Kept over a gap, unless what comes back is another kind of link."""
        kept = self.recent
        if not self._capture.evidence_size:
            return None
        if not isinstance(kept, RecentHeaders) or kept.link_type != ring.link_type:
            self.recent = kept = RecentHeaders(
                interface=self.interface,
                link_type=ring.link_type,
                size_bytes=self._capture.evidence_size,
                random=SystemRandom(),
                tunnels=self._capture.tunnels,
            )
        return kept

    def _begin_tee(self, ring: Ring, directory: Path) -> PcapngWriter | None:
        path = directory / f"{self.interface}-{self._clock.now_ns()}.pcapng"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tee = PcapngWriter(path, interface=self.interface, link_type=ring.link_type, limit_bytes=self._capture.tee_size)
        except OSError as error:
            # The copy is for later questions; capture itself goes on without it.
            self._health.degrade(f"tee:{self.interface}", Level.FULL, f"captured headers are not written: {error}")
            log.warning("captured headers are not written: %s", error, extra={"component": self.source})
            return None
        self._health.recover(f"tee:{self.interface}")
        return tee

    def _meter_ring(self, ring: Ring, emit: Callable[[Batch], None], stop: threading.Event) -> None:
        with contextlib.closing(LinkState(self.interface)) as link:
            metering = RingMetering(
                ring,
                self._new_meter,
                clock=self._clock,
                link=link,
                drops=DropCounters(self.interface),
                neighbours=self.neighbours,
            )
            recent_bytes = self.recent.memory_bytes if isinstance(self.recent, RecentHeaders) else 0
            self.ring_bytes, self.has_ring = ring.ring_bytes + recent_bytes, True
            try:
                while not stop.is_set():
                    self.meter = metering.meter
                    _emit_all(metering.step(), emit)
                    for told in metering.take_facts():
                        emit(told)
                    self._note_link(emit, is_up=metering.is_up)
            finally:
                _emit_all(metering.flush(), emit)

    def _open_workers(self, emit: Callable[[Batch], None]) -> CaptureWorkers:
        def died(number: int, how: str) -> None:
            self._worker_died_at = self._clock.monotonic()
            reason = f"worker {number} of {self.interface} is started again: {how}"
            self._health.degrade(self._workers_component, Level.FULL, reason)
            log.error("%s", reason, extra={"component": self.source})
            self._on_worker_death(f"{self.source}:{number}")
            emit(self._fact("capture_worker_restarted", float(number), reason=how))

        def tee_failed(text: str) -> None:
            self._health.degrade(f"tee:{self.interface}", Level.FULL, text)
            log.warning("%s", text, extra={"component": self.source})

        self._health.recover(f"tee:{self.interface}")
        headers = None
        if self._capture.evidence_size:
            headers = (
                self.recent if isinstance(self.recent, WorkerHeaders) else WorkerHeaders(self.interface, self._capture.tunnels)
            )
        self.recent = headers
        return CaptureWorkers(
            self.interface,
            self._capture,
            self._metering,
            source=self.source,
            clock=self._clock,
            random=SystemRandom(),
            on_death=died,
            on_tee_failure=tee_failed,
            tee_name=f"{self.interface}-{self._clock.now_ns()}",
            headers=headers,
            neighbours=self.neighbours,
        )

    def _follow_workers(self, workers: CaptureWorkers, emit: Callable[[Batch], None], stop: threading.Event) -> None:
        def each_step() -> None:
            self.has_ring = self.has_ring or workers.are_reading
            self._note_link(emit, is_up=workers.is_up)
            for told in workers.take_facts():
                emit(told)
            died_at = self._worker_died_at
            if died_at is not None and self._clock.monotonic() - died_at > WELL_SECONDS:
                self._worker_died_at = None
                self._health.recover(self._workers_component)

        self._workers, self.ring_bytes = workers, workers.ring_bytes
        try:
            workers.follow(emit, stop, each_step)
        finally:
            self._health.recover(self._workers_component)

    @property
    def _workers_component(self) -> str:
        return f"{self.source}:workers"

    @property
    def worker_processes(self) -> list[int]:
        """Ids of the processes that read this interface; none where it is a thread of this one."""
        workers = self._workers
        return [] if workers is None else workers.processes

    @property
    def flows_held(self) -> int:
        """In all flow tables of this interface."""
        workers, meter = self._workers, self.meter
        if workers is not None:
            return workers.flows_held
        return 0 if meter is None else meter.flows_held

    def _note_link(self, emit: Callable[[Batch], None], *, is_up: bool) -> None:
        """A link that is down is not a silent one: windows are told, and do not count that time as observed."""
        if is_up == (not self._is_link_down):
            return
        self._is_link_down = not is_up
        if is_up:
            self._health.recover(self.source)
            emit(self._fact("capture_link_down", 0.0))
            return
        reason = f"the link of {self.interface} is down: nothing is observed"
        self._health.degrade(self.source, Level.FULL, reason)
        log.warning("%s", reason, extra={"component": self.source})
        emit(self._fact("capture_link_down", 1.0, reason=reason))

    def _new_meter(self) -> FlowMeter:
        return FlowMeter.configured(self._metering, source=self.source, interface=self.interface)

    def _fact(self, name: str, value: float, **annotations: str) -> FactBatch:
        now = self._clock.now_ns()
        return FactBatch(self.source, now, now, (Fact(self._entity, name, now, value, annotations),))


def _emit_all(batches: list[FlowBatch], emit: Callable[[Batch], None]) -> None:
    for batch in batches:
        emit(batch)


def refuse_if_not_permitted() -> None:
    """Raises Unavailable when this process may not capture on any interface."""
    try:
        packet_socket("capturing packets").close()
    except OSError as error:
        raise Unavailable(f"this system lets nobody capture packets: {error.strerror}") from error
