"""From poll to poll: records and facts of one device."""

import numpy as np
from manual_clock import ManualClock
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.snmp import mib
from netmote.snmp.history import DeviceHistory
from netmote.snmp.reading import DeviceReader

IN_OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")
CARRIER = INTERFACE_COUNTERS.index("carrier_transitions")
UP, DOWN, LOWER_LAYER_DOWN, DORMANT = 1, 2, 7, 5


class Bench:
    """A device polled into a history."""

    def __init__(self) -> None:
        self.device, self.clock, self.history = ScriptedDevice(), ManualClock(), DeviceHistory("sw")
        self.reader = DeviceReader(clock=self.clock, max_repetitions=20)
        self.ticks, self.hr_ticks = 1_000_000, 50_000_000
        self.device.boot(up_time=self.ticks, hr_uptime=self.hr_ticks)
        self.octets = 0
        for index in (1, 2):
            self.device.port(index, f"eth{index}")

    def pass_time(self, seconds: float = 10.0) -> None:
        self.clock.advance(seconds)
        self.ticks += round(seconds * 100)
        self.hr_ticks += round(seconds * 100)
        self.device.boot(up_time=self.ticks, hr_uptime=self.hr_ticks)

    async def poll(self) -> tuple[InterfaceBatch, tuple[Fact, ...]]:
        return self.history.observe(await self.reader.read(ScriptedSession(self.device)))

    async def names(self) -> list[tuple[str, str, float]]:
        _, facts = await self.poll()
        return [(str(fact.entity), fact.name, fact.value) for fact in facts]


async def test_the_first_poll_has_no_differences() -> None:
    """Everything is FIRST, nothing is 0 traffic; ports that are up end what an earlier process may have announced."""
    bench = Bench()
    batch, facts = await bench.poll()
    assert batch.source == "snmp:sw"
    assert batch.interfaces == (Entity(EntityKind.INTERFACE, "sw/eth1"), Entity(EntityKind.INTERFACE, "sw/eth2"))
    assert (batch.invalid[:, IN_OCTETS] == InvalidReason.FIRST).all()
    assert (batch.invalid[:, CARRIER] == InvalidReason.ABSENT).all()
    assert batch.start_ns == batch.end_ns
    assert [(fact.name, fact.value) for fact in facts] == [("interface_down", 0.0)] * 2


async def test_the_second_poll_has() -> None:
    """What the counters grew by, over the agent's own seconds, between our own instants."""
    bench = Bench()
    before, _ = await bench.poll()
    bench.pass_time(10)
    bench.device.count(1, 5_000)
    batch, facts = await bench.poll()
    assert batch.deltas[:, IN_OCTETS].tolist() == [5_000, 0]
    assert (batch.invalid[:, :13] == InvalidReason.VALID).all()
    assert (batch.start_ns, batch.end_ns) == (before.end_ns, bench.clock.now_ns())
    assert batch.duration_ns == 10_000_000_000
    assert [(fact.name, fact.value) for fact in facts] == [("counters_stuck", 0.0)], "ends what an earlier process may have begun"


async def test_lost_polls_are_said_and_the_gap_is_whole_afterwards() -> None:
    """Each lost poll is a batch of LOST_POLL; the next answer gives the traffic of the whole gap."""
    bench = Bench()
    assert bench.history.lost(bench.clock.now_ns()) is None, "nothing is known yet"
    first, _ = await bench.poll()
    ends = [first.end_ns]
    for _ in range(2):
        bench.pass_time(10)
        lost = bench.history.lost(bench.clock.now_ns())
        assert lost is not None
        assert (lost.start_ns, lost.end_ns) == (ends[-1], bench.clock.now_ns())
        assert (lost.invalid[:, IN_OCTETS] == InvalidReason.LOST_POLL).all()
        assert (lost.invalid[:, CARRIER] == InvalidReason.ABSENT).all()
        assert not lost.if_oper_status.any(), "the state of a port is not known while the device is silent"
        ends.append(lost.end_ns)
    bench.pass_time(10)
    bench.device.count(2, 9_000)
    batch, _ = await bench.poll()
    assert batch.deltas[:, IN_OCTETS].tolist() == [0, 9_000]
    assert batch.duration_ns == 30_000_000_000
    assert batch.start_ns == first.end_ns


async def test_a_reboot_is_a_fact_and_no_difference() -> None:
    """The device restarted: its uptime is told, and every counter begins anew."""
    bench = Bench()
    await bench.poll()
    bench.pass_time(10)
    bench.ticks, bench.hr_ticks = 300, 300
    bench.pass_time(0)
    batch, facts = await bench.poll()
    assert (batch.invalid[:, IN_OCTETS] == InvalidReason.RESTART).all()
    assert [(fact.name, fact.value) for fact in facts] == [("device_restarted", 3.0)]
    bench.pass_time(10)
    batch, _ = await bench.poll()
    assert (batch.invalid[:, IN_OCTETS] == InvalidReason.VALID).all()


async def test_an_agent_restart_keeps_the_counters() -> None:
    """Only snmpd was restarted: hrSystemUptime went on, and so did the kernel's counters."""
    bench = Bench()
    await bench.poll()
    bench.pass_time(10)
    bench.ticks = 300
    bench.pass_time(0)
    bench.device.count(1, 700)
    batch, facts = await bench.poll()
    assert batch.deltas[0, IN_OCTETS] == 700
    assert [(fact.name, fact.value) for fact in facts] == [("agent_restarted", 3.0)]


async def test_renumbering_keeps_the_port() -> None:
    """After a reboot the ports have swapped their indexes: names stay, the move is told, no traffic is invented."""
    bench = Bench()
    bench.device.count(1, 1_000)
    await bench.poll()
    bench.pass_time(10)
    bench.ticks = 500
    bench.pass_time(0)
    bench.device.port(1, "eth2", octets=10)
    bench.device.port(2, "eth1", octets=2_000)
    batch, facts = await bench.poll()
    assert [entity.name for entity in batch.interfaces] == ["sw/eth1", "sw/eth2"]
    assert batch.if_index.tolist() == [2, 1]
    moves = {str(fact.entity): fact.value for fact in facts if fact.name == "interface_renumbered"}
    assert moves == {"interface:sw/eth1": 2.0, "interface:sw/eth2": 1.0}


async def test_a_port_that_moves_within_one_life_begins_anew() -> None:
    """The interface was deleted and made again: other counters under the same name are never subtracted."""
    bench = Bench()
    bench.device.port(3, "tun", octets=10)
    await bench.poll()
    bench.pass_time(10)
    bench.device.remove_row(3)
    bench.device.port(4, "tun", octets=900)
    batch, facts = await bench.poll()
    row = [entity.name for entity in batch.interfaces].index("sw/tun")
    assert batch.invalid[row, IN_OCTETS] == InvalidReason.DISCONTINUITY
    assert batch.deltas[row].sum() == 0
    assert batch.invalid[row, CARRIER] == InvalidReason.ABSENT
    assert "interface_renumbered" in [fact.name for fact in facts]
    assert (batch.invalid[:2, IN_OCTETS] == InvalidReason.VALID).all(), "the other ports are not concerned"


async def test_ports_come_and_go() -> None:
    """A port that appears is FIRST; one that vanishes leaves the batch; both are told."""
    bench = Bench()
    await bench.poll()
    bench.pass_time(10)
    bench.device.remove_row(2)
    bench.device.port(3, "eth3", octets=99)
    batch, facts = await bench.poll()
    assert [entity.name for entity in batch.interfaces] == ["sw/eth1", "sw/eth3"]
    assert batch.invalid[:, IN_OCTETS].tolist() == [InvalidReason.VALID, InvalidReason.FIRST]
    told = {(fact.name, fact.entity.name) for fact in facts}
    assert {("interface_appeared", "sw/eth3"), ("interface_vanished", "sw/eth2")} <= told


async def test_a_discontinuity_is_told_with_its_counters() -> None:
    """The agent says that counters began anew, or one went back without a word."""
    bench = Bench()
    bench.device.count(1, 5_000)
    bench.device.count(2, 5_000)
    await bench.poll()
    bench.pass_time(10)
    bench.device.count(1, 9_000)
    bench.device.put_cell("ifCounterDiscontinuityTime", 1, mib.TIME_TICKS, 77)
    bench.device.put_cell("ifHCOutOctets", 2, mib.COUNTER64, 1)
    batch, facts = await bench.poll()
    assert (batch.invalid[0, :13] == InvalidReason.DISCONTINUITY).all()
    facts = tuple(fact for fact in facts if fact.name != "counters_stuck")
    assert [(fact.name, fact.entity.name, fact.annotations["reason"]) for fact in facts] == [
        ("counter_discontinuity", "sw/eth1", "discontinuity"),
        ("counter_discontinuity", "sw/eth2", "decreased"),
    ]
    assert facts[1].annotations["counters"] == "if_hc_out_octets"


async def test_a_link_that_goes_down_is_told_once_and_its_return_too() -> None:
    """Seen up, then down with ifAdminStatus up: one fact; up again: one fact."""
    bench = Bench()
    await bench.poll()
    states = []
    for oper in (LOWER_LAYER_DOWN, DOWN, UP, UP, DOWN):
        bench.pass_time(10)
        bench.device.put_cell("ifOperStatus", 1, mib.INTEGER, oper)
        states.append(await bench.names())
    down, up = [("interface:sw/eth1", "interface_down", 1.0)], [("interface:sw/eth1", "interface_down", 0.0)]
    assert states == [down, [], up, [], down]


async def test_a_port_that_was_never_up_is_no_fault() -> None:
    """Unused ports are down from the first poll on, and stay silent until they have been up."""
    bench = Bench()
    bench.device.port(1, "eth1", oper=DOWN)
    assert await bench.names() == [("interface:sw/eth2", "interface_down", 0.0)]
    bench.pass_time(10)
    assert await bench.names() == []


async def test_switching_a_port_off_ends_the_condition() -> None:
    """IfAdminStatus down is a decision, no fault; dormant neither begins nor ends anything."""
    bench = Bench()
    await bench.poll()
    bench.device.put_cell("ifOperStatus", 1, mib.INTEGER, DORMANT)
    bench.pass_time(10)
    assert await bench.names() == []
    bench.device.put_cell("ifOperStatus", 1, mib.INTEGER, DOWN)
    bench.pass_time(10)
    assert await bench.names() == [("interface:sw/eth1", "interface_down", 1.0)]
    bench.device.put_cell("ifAdminStatus", 1, mib.INTEGER, DOWN)
    bench.pass_time(10)
    assert await bench.names() == [("interface:sw/eth1", "interface_down", 0.0)]


async def test_a_port_that_vanishes_while_down_ends_the_condition() -> None:
    """Nobody could end it later."""
    bench = Bench()
    await bench.poll()
    bench.device.put_cell("ifOperStatus", 1, mib.INTEGER, DOWN)
    bench.pass_time(10)
    await bench.poll()
    bench.device.remove_row(1)
    bench.pass_time(10)
    assert await bench.names() == [
        ("interface:sw/eth1", "interface_down", 0.0),
        ("interface:sw/eth1", "interface_vanished", 1.0),
    ]


async def test_a_step_of_our_wall_clock_moves_no_traffic() -> None:
    """The interval is as long as the monotonic clock says, and ends now."""
    bench = Bench()
    await bench.poll()
    bench.pass_time(10)
    bench.clock.step(-3_600)
    bench.device.count(1, 800)
    batch, _ = await bench.poll()
    assert batch.deltas[0, IN_OCTETS] == 800
    assert batch.end_ns - batch.start_ns == 10_000_000_000
    assert batch.end_ns == bench.clock.now_ns()


async def test_stale_rows_are_counted() -> None:
    """The dead row beside its successor carries no port, and status can say so."""
    bench = Bench()
    bench.device.port(7, "eth1", descr="port 1", octets=1)
    bench.device.put_cell("ifOperStatus", 1, mib.INTEGER, DOWN)
    await bench.poll()
    bench.pass_time(10)
    bench.device.count(7, 500)
    batch, _ = await bench.poll()
    assert bench.history.stale_rows == (1,)
    assert dict(zip([entity.name for entity in batch.interfaces], batch.if_index.tolist(), strict=True)) == {
        "sw/eth1": 7,
        "sw/eth2": 2,
    }


async def test_order_is_canonical() -> None:
    """Ports stand in the order of their names, whatever their indexes."""
    bench = Bench()
    bench.device.port(0x7FFFFFFF, "Agg1")
    batch, _ = await bench.poll()
    assert list(batch.interfaces) == sorted(batch.interfaces)
    assert batch.deltas.dtype == np.int64
    assert batch.invalid.dtype == np.uint8
    assert batch.if_oper_status.dtype == np.uint8


async def test_an_agent_that_reads_its_counters_every_three_seconds_gives_steady_rates() -> None:
    """As net-snmp does, asked every second: after the period is learnt no poll reads 0 and none reads three times the rate."""
    bench = Bench()
    seen: list[tuple[int, float]] = []
    withheld = 0
    for second in range(150):
        bench.device.count(1, 1_000 * (second - second % 3))
        batch, _ = await bench.poll()
        if bench.history.refresh_period is not None:
            reason = batch.invalid[0, IN_OCTETS]
            withheld += reason == InvalidReason.NOT_REFRESHED
            if reason == InvalidReason.VALID:
                seen.append((int(batch.deltas[0, IN_OCTETS]), batch.duration_ns / 1e9))
        bench.pass_time(1.0)
    assert abs(bench.history.refresh_period - 3.0) < 0.03
    rates = [delta / seconds for delta, seconds in seen[1:]]
    assert len(rates) > 20
    assert all(abs(rate - 1_000) < 20 for rate in rates)
    assert abs(withheld - 2 * len(rates)) <= 2, "of three polls two say nothing"


async def test_a_row_that_lags_behind_its_neighbours_makes_no_claim() -> None:
    """The agent was read in the middle of a refresh: the row that was not refreshed yet is not called idle."""
    bench = Bench()
    for second in range(150):
        behind = 3 if second == 120 else 0
        for index in (1, 2):
            bench.device.count(index, 1_000 * (second - second % 3 - (behind if index == 2 else 0)))
        batch, _ = await bench.poll()
        if second == 120:
            assert batch.deltas[0, IN_OCTETS] == 3_000
            assert batch.invalid[1, IN_OCTETS] == InvalidReason.NOT_REFRESHED
        if second > 120:
            valid = batch.invalid[:, IN_OCTETS] == InvalidReason.VALID
            assert not (batch.deltas[valid, IN_OCTETS] == 0).any()
        bench.pass_time(1.0)
    assert batch.deltas[:, IN_OCTETS].max() <= 3_000


async def test_a_table_that_stands_still_is_told() -> None:
    """Counters moved at every poll, then none does for ten times as long, though the agent's clock goes on: a fact, and no 0 traffic."""
    bench = Bench()
    told = []
    for number in range(40):
        bench.device.count(1, 1_000 * min(number, 20))
        batch, facts = await bench.poll()
        told += [(number, fact.value) for fact in facts if fact.name == "counters_stuck"]
        bench.pass_time(10)
    assert told == [(1, 0.0), (31, 1.0)]
    assert (batch.invalid[:, IN_OCTETS] == InvalidReason.NOT_REFRESHED).all()
    bench.device.count(1, 30_000)
    _, facts = await bench.poll()
    assert [(fact.name, fact.value) for fact in facts] == [("counters_stuck", 0.0)]
