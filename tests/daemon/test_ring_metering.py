"""Reading a ring over and over: panes by packets or by the clock, losses told of the pane they fall into, gaps without panes."""

from dataclasses import replace

import numpy as np
import pytest
from frames_in_memory import decode_frames
from manual_clock import ManualClock
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from netmote.capture.packets import PacketColumns
from netmote.capture.ring import InterfaceGone
from netmote.daemon.ring_metering import RingMetering
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import PANE_NS, FlowBatch

SECOND = 1_000_000_000
ORIGIN = 1_700_000_000 * SECOND  # the beginning of a pane
FRAME = bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2))


class ScriptedRing:
    """Gives what it is told to, one a read: seconds after the origin of a packet, or None for silence."""

    interface = "x"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.next: float | None = None
        self.dropped = 0

    def read(self, timeout: float) -> PacketColumns | None:
        self.clock.advance(timeout)
        if self.next is None:
            return None
        return replace(decode_frames([FRAME]), timestamp_ns=np.array([ORIGIN + round(self.next * SECOND)]))

    def take_dropped(self) -> int:
        dropped, self.dropped = self.dropped, 0
        return dropped


class ScriptedLink:
    is_there = True
    up = True

    def is_up(self) -> bool:
        if not self.is_there:
            raise InterfaceGone("there is no interface x")
        return self.up


class ScriptedDrops:
    def __init__(self) -> None:
        self.lost: dict[str, int] = {}

    def take(self) -> dict[str, int]:
        lost, self.lost = self.lost, {}
        return lost


class Stand:
    """One metering with everything around it scripted; `step` moves the clock by a second."""

    def __init__(self) -> None:
        self.clock = ManualClock(ORIGIN)
        self.ring, self.link, self.drops = ScriptedRing(self.clock), ScriptedLink(), ScriptedDrops()
        self.metering = RingMetering(self.ring, self._meter, clock=self.clock, link=self.link, drops=self.drops)

    def step(self, packet: float | None = None) -> list[FlowBatch]:
        self.ring.next = packet
        return self.metering.step(1.0)

    @staticmethod
    def _meter() -> FlowMeter:
        return FlowMeter(
            source="capture:x",
            interface="x",
            max_flows=1024,
            active_timeout_ns=300 * SECOND,
            idle_timeout_ns=30 * SECOND,
            when_full="evict",
        )


@pytest.fixture
def stand() -> Stand:
    return Stand()


def numbers(batches: list[FlowBatch]) -> list[int]:
    return [(batch.start_ns - ORIGIN) // PANE_NS for batch in batches]


def test_the_clock_closes_panes_after_the_first_packet(stand: Stand) -> None:
    """Before it there is no observation; afterwards a silent wire makes empty panes, a second after they end."""
    assert [stand.step() for _ in range(20)] == [[]] * 20
    assert stand.step(20.5) == []
    told = [numbers(stand.step()) for _ in range(6)]
    assert [each for each in told if each] == [[4]]
    assert told.index([4]) == 4  # 26 s: a second after 25


def test_losses_are_told_once_of_the_open_pane(stand: Stand) -> None:
    """Those of the ring and those before it, with packets and without; what was lost before the first packet is not forgotten."""
    stand.drops.lost = {"softnet": 3}
    stand.ring.dropped = 2
    stand.step()
    stand.step(2.0)
    stand.drops.lost = {"interface": 5}
    batches = [batch for _ in range(10) for batch in stand.step()]
    assert numbers(batches) == [0, 1][: len(batches)]
    assert batches[0].loss.dropped_by == (("interface", 5), ("ring", 2), ("softnet", 3))
    assert sum(batch.loss.dropped for batch in batches) == 10
    stand.ring.dropped = 4
    stand.step()
    stand.drops.lost = {"softnet": 1}
    (last,) = stand.metering.flush()
    assert last.loss.dropped_by == (("ring", 4), ("softnet", 1))


def test_a_link_that_is_down_makes_no_panes(stand: Stand) -> None:
    """What was open ends with it; time without a link is missing; with the next packet an observation begins anew."""
    stand.step(0.5)
    stand.link.up = False
    assert numbers(stand.step()) == [0]
    assert not stand.metering.is_up
    assert [stand.step() for _ in range(30)] == [[]] * 30
    stand.link.up = True
    assert stand.step() == []
    assert stand.metering.is_up
    assert stand.step(34.0) == []
    assert numbers([batch for _ in range(4) for batch in stand.step()]) == [6]


def test_an_interface_that_is_gone_is_said(stand: Stand) -> None:
    """Also while packets come, as they do under another name: it is asked for once a second."""
    stand.step(0.5)
    stand.link.is_there = False
    with pytest.raises(InterfaceGone):
        stand.step(1.5)
    assert numbers(stand.metering.flush()) == [0]


def test_a_clock_set_back_begins_time_anew(stand: Stand) -> None:
    """More than a minute: the open pane ends and earlier ones follow. Less is disorder, which the open pane takes."""
    stand.step(1000.0)
    assert stand.step(950.0) == []
    assert stand.metering.clock_set_back == 0
    assert numbers(stand.step(10.0)) == [200]
    assert stand.metering.clock_set_back == 1
    assert numbers(stand.metering.flush()) == [2]
