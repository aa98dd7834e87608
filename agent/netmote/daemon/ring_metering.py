"""What a thread or a process that owns a ring does over and over: read it, meter what came, and say what was lost.

    ring ─► packet columns ─┐
    drop counters ──────────┴─► flow meter ─► panes     (claims ─► neighbours ─► facts)

It is called step by step, so that its caller decides when to stop and where the panes go. When no packet comes, the clock closes
panes; not while the link is down, for then nothing is observed, and an empty pane would say that nothing was sent.
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from netmote.capture.link_state import LinkState
from netmote.capture.packets import ClaimColumns, PacketColumns
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.metering.flow_meter import FlowMeter
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch

# A block of the ring is handed over at most this long after its first packet; an idle pane closes only after it.
IDLE_MARGIN_NS = NANOSECONDS_PER_SECOND
READ_SECONDS = 0.25
# Counters of the interface and its state: some drivers ask their device for them.
_LOOK_SECONDS = 1.0
# Packets this far before the open pane mean a clock set back; less is reordering, which the open pane takes.
_CLOCK_WENT_BACK_NS = 60 * NANOSECONDS_PER_SECOND


class PacketSource(Protocol):
    """What is read: a Ring."""

    interface: str

    def read(self, timeout: float) -> PacketColumns | None: ...

    def take_dropped(self) -> int: ...


class DropSource(Protocol):
    """Where losses before the ring are counted: DropCounters."""

    def take(self) -> dict[str, int]: ...


class ClaimObserver(Protocol):
    """Who hears the claims of addresses: Neighbours, or a worker that passes them on."""

    def observe(self, claims: ClaimColumns) -> list[FactBatch]: ...

    def begin_anew(self) -> None: ...


class RingMetering:
    """One ring and its meter. Not thread-safe."""

    def __init__(
        self,
        ring: PacketSource,
        new_meter: Callable[[], FlowMeter],
        *,
        clock: Clock,
        link: LinkState,
        drops: DropSource | None = None,
        neighbours: ClaimObserver | None = None,
    ) -> None:
        """`drops` only where this is the interface's one ring: what it lost is told once. `neighbours` hear who claims which address."""
        self.meter = new_meter()
        self.is_up = True
        """Whether the link was up when last looked at."""
        self.is_idle = True
        """Whether the last look found no packet."""
        self.clock_set_back = 0
        """Times the wall clock was set back by more than a minute: what was open ended, and time began anew."""
        self._ring, self._new_meter, self._clock = ring, new_meter, clock
        self._link, self._drops, self._neighbours = link, drops, neighbours
        self._told: list[FactBatch] = []
        self._lost: Counter[str] = Counter()  # not told of a pane yet
        self._looked = clock.monotonic()  # a link that just came up may take a second to say so (linkwatch)

    def step(self, timeout: float = READ_SECONDS) -> list[FlowBatch]:
        """Wait for packets at most `timeout` seconds; the panes that closed. Raises InterfaceGone."""
        packets = self._ring.read(timeout)
        self.is_idle = packets is None
        self._lost["ring"] += self._ring.take_dropped()
        batches = self._look()
        begun = self.meter.open_pane_start_ns
        if packets is not None:
            if begun is not None and _ends_before(packets, begun - _CLOCK_WENT_BACK_NS):
                batches += self._begin_anew()
                self.clock_set_back += 1
                if self._neighbours is not None:
                    self._neighbours.begin_anew()
            self.is_up = True
            if self._neighbours is not None:
                self._told += self._neighbours.observe(packets.claims)
            return batches + self.meter.meter(packets, dropped_by=self._take_lost())
        if begun is None or not self.is_up:
            # An observation begins with its first packet, live as in replay; from then on the clock closes idle panes.
            return batches
        self._tell_lost()
        return batches + self.meter.advance(self._clock.now_ns() - IDLE_MARGIN_NS)

    def take_facts(self) -> list[FactBatch]:
        """What the neighbours told in the last step. Take them after each one."""
        told, self._told = self._told, []
        return told

    def flush(self) -> list[FlowBatch]:
        """The end: the open pane, all flows ended."""
        if self._drops is not None:
            self._lost.update(self._drops.take())
        if self.meter.open_pane_start_ns is not None:
            self._tell_lost()
        return self.meter.flush()

    def _look(self) -> list[FlowBatch]:
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        was_up, self.is_up = self.is_up, self._link.is_up()
        if self._drops is not None:
            self._lost.update(self._drops.take())
        # What was open ends with the link: the panes until it is back are not empty, they are missing.
        return self._begin_anew() if was_up and not self.is_up else []

    def _begin_anew(self) -> list[FlowBatch]:
        batches = self.flush()
        self.meter = self._new_meter()
        return batches

    def _tell_lost(self) -> None:
        lost = self._take_lost()
        if any(lost.values()):
            self.meter.meter(PacketColumns.empty(self._ring.interface), dropped_by=lost)

    def _take_lost(self) -> Counter[str]:
        lost, self._lost = self._lost, Counter()
        return lost


def _ends_before(packets: PacketColumns, time_ns: int) -> bool:
    return len(packets) > 0 and int(packets.timestamp_ns.max()) < time_ns
