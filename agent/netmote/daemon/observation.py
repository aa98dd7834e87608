"""One Observation Point: the thread that reads a ring, meters its packets and hands the panes on.

    ring ─► packet columns ─► flow meter ─► FlowBatch ─► (event loop) ingest

An interface that vanishes is a fact; it is opened again by name when it is back, and the gap is recorded.
"""

import asyncio
import threading
from collections.abc import Callable

from netmote.capture.config import CaptureConfig
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.ring import InterfaceGone, Ring
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.errors import Unavailable
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_meter import FlowMeter
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch

# A block of the ring is handed over at most this long after its first packet; an idle pane closes only after it.
IDLE_MARGIN_NS = NANOSECONDS_PER_SECOND
_READ_SECONDS = 0.25
_REOPEN_SECONDS = 2.0


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
        noted: Callable[[str], object],
    ) -> None:
        self.interface = interface
        self.source = f"capture:{interface}"
        self._capture, self._metering = capture, metering
        self._clock, self._emit, self._noted = clock, emit, noted
        self._entity = Entity(EntityKind.INTERFACE, f"{sensor}/{interface}")
        self._stop = threading.Event()
        self.meter: FlowMeter | None = None
        self.ring_bytes = 0
        self.has_ring = False

    async def run(self) -> None:
        """Capture until cancelled. Raises Unavailable when this process may not capture here at all."""
        loop = asyncio.get_running_loop()
        self._stop.clear()
        failure: asyncio.Future[None] = loop.create_future()

        def finished(error: BaseException | None) -> None:
            if not failure.done():
                failure.set_result(None) if error is None else failure.set_exception(error)

        def hand_over(batch: Batch) -> None:
            loop.call_soon_threadsafe(self._emit, batch)

        def work() -> None:
            error: BaseException | None = None
            try:
                self._work(hand_over, loop)
            except Exception as raised:  # noqa: BLE001 (handed to the supervisor, which logs and restarts)
                error = raised
            loop.call_soon_threadsafe(finished, error)

        thread = threading.Thread(target=work, name=self.source, daemon=True)
        thread.start()
        try:
            await asyncio.shield(failure)
        finally:
            self._stop.set()
            # The last pane is flushed by the thread; it ends within one read.
            await asyncio.to_thread(thread.join, 5 * _READ_SECONDS + 1.0)

    def _work(self, emit: Callable[[Batch], None], loop: asyncio.AbstractEventLoop) -> None:
        is_gone = False
        while not self._stop.is_set():
            try:
                ring = self._open_ring()
            except InterfaceGone:
                if not is_gone:
                    is_gone = True
                    emit(self._fact(1.0))
                self._stop.wait(_REOPEN_SECONDS)
                continue
            if is_gone:
                is_gone = False
                emit(self._fact(0.0))
            loop.call_soon_threadsafe(self._noted, self.interface)
            try:
                self._meter_ring(ring, emit)
            except InterfaceGone:
                is_gone = True
                emit(self._fact(1.0))
            finally:
                self.has_ring = False
                ring.close()

    def _open_ring(self) -> Ring:
        ring = Ring(self.interface, ring_size=self._capture.ring_size, promiscuous=self._capture.promiscuous)
        if self._capture.tee_dir is not None:
            self._capture.tee_dir.mkdir(parents=True, exist_ok=True)
            path = self._capture.tee_dir / f"{self.interface}-{self._clock.now_ns()}.pcapng"
            limit = self._capture.tee_size
            ring.tee = PcapngWriter(path, interface=self.interface, link_type=ring.link_type, limit_bytes=limit)
        return ring

    def _meter_ring(self, ring: Ring, emit: Callable[[Batch], None]) -> None:
        meter = FlowMeter(
            source=self.source,
            interface=self.interface,
            max_flows=self._metering.max_flows,
            active_timeout_ns=round(self._metering.active_timeout * NANOSECONDS_PER_SECOND),
            idle_timeout_ns=round(self._metering.idle_timeout * NANOSECONDS_PER_SECOND),
            when_full=self._metering.when_full,
        )
        self.meter, self.ring_bytes, self.has_ring = meter, ring.ring_bytes, True
        try:
            while not self._stop.is_set():
                packets = ring.read(_READ_SECONDS)
                if packets is None:
                    closed = meter.advance(self._clock.now_ns() - IDLE_MARGIN_NS)
                else:
                    closed = meter.meter(packets, dropped=ring.take_dropped())
                for batch in closed:
                    emit(batch)
        finally:
            for batch in meter.flush():
                emit(batch)

    def _fact(self, value: float) -> FactBatch:
        now = self._clock.now_ns()
        return FactBatch(self.source, now, now, (Fact(self._entity, "capture_interface_gone", now, value),))


def refuse_if_unavailable(interface: str, capture: CaptureConfig) -> None:
    """Open and close a ring at once. Raises Unavailable with the reason; an interface that is not there yet is no reason."""
    try:
        Ring(interface, ring_size=capture.ring_size, promiscuous=False).close()
    except InterfaceGone:
        return
