"""Devices polled together: what is told of them is what each poll by itself would tell; and everything odd sends them back to that."""

import asyncio
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from manual_clock import ManualClock
from scripted_line import ScriptedLine, ScriptedSeat
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.records.fact import Fact
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.snmp import mib
from netmote.snmp.history import DeviceHistory
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.passenger import Alighted, Passenger, Ridden
from netmote.snmp.reading import DeviceReader
from netmote.snmp.steady_train import SteadyTrain

PORTS = 9
IN_FLIGHT = 4
OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")


class Ride:
    """Some devices, each polled once by itself, then together; and a twin history of each that is always told by single polls."""

    def __init__(self, devices: int = 2, *, window: int = 50) -> None:
        self.clock = ManualClock()
        self.line, self.window = ScriptedLine(self.clock), SendWindow(window)
        self.train = SteadyTrain(self.window, clock=self.clock)
        self.devices = [ScriptedDevice() for _ in range(devices)]
        self.readers = [DeviceReader(clock=self.clock, max_repetitions=20) for _ in self.devices]
        self.histories = [DeviceHistory(f"d{number}") for number in range(devices)]
        self.told: list[list[Ridden]] = [[] for _ in self.devices]
        self.ticks = 1_000_000
        for number, device in enumerate(self.devices):
            for port in range(PORTS):
                device.port(10_101 + port, f"eth{port}", octets=1_000_000 * (number + 1))
            device.put(mib.IF_NUMBER, mib.INTEGER, PORTS)
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.ticks += round(seconds * 100)
        for device in self.devices:
            device.boot(up_time=self.ticks, hr_uptime=self.ticks + 5_000)

    def count(self, octets: int) -> None:
        self.octets = octets
        for number, device in enumerate(self.devices):
            for port in range(PORTS):
                device.count(10_101 + port, 1_000_000 * (number + 1) + octets * (port + 1))

    async def board(self, number: int = 0, *, until: float = 1e9) -> Passenger | None:
        reading = await self.readers[number].read(ScriptedSession(self.devices[number]))
        self.histories[number].observe(reading)
        steady = self.readers[number].steady_rows()
        assert steady is not None
        return self.train.board(
            device=f"d{number}",
            history=self.histories[number],
            steady=steady,
            seat=ScriptedSeat.of(self.line, self.devices[number]),
            interval=10.0,
            timeout=1.0,
            slot=self.clock.monotonic() + 10.0,
            until=until,
            tell=self.told[number].append,
        )

    async def board_all(self) -> list[Passenger]:
        boarded = [await self.board(number) for number in range(len(self.devices))]
        passengers = [passenger for passenger in boarded if passenger is not None]
        assert len(passengers) == len(self.devices)
        return passengers

    def turn(self, turns: int = 12) -> None:
        for _ in range(turns):
            self.train.advance()

    def check_nothing_is_left(self) -> None:
        """Slots of the window, places, questions, seats: all given back."""
        assert self.window.take(1_000) == 50
        self.window.give_back(50)
        assert not self.line.waiting
        assert not any(self.line.users.values())
        assert len(self.train._free) == len(self.train._owners)
        assert len(self.train._names) == 0


async def twin_poll(ride: Ride, number: int, twin: tuple[DeviceReader, DeviceHistory]) -> tuple[InterfaceBatch, tuple[Fact, ...]]:
    reader, history = twin
    return history.observe(await reader.read(ScriptedSession(ride.devices[number])))


def check_same(one: InterfaceBatch, other: InterfaceBatch) -> None:
    for field in fields(InterfaceBatch):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert np.array_equal(mine, theirs), field.name
            assert mine.dtype == theirs.dtype, field.name
        else:
            assert mine == theirs, field.name


def steps() -> list[tuple[str, Callable[[Ride], None]]]:
    def put(column: str, tag: int, value: int) -> Callable[[Ride], None]:
        def change(ride: Ride) -> None:
            for device in ride.devices:
                device.put_cell(column, 10_103, tag, value)

        return change

    return [
        ("it counts", lambda ride: ride.count(3_000)),
        ("nothing moves", lambda ride: None),
        ("values grow by an octet", lambda ride: ride.count(90_000_000)),
        ("a port goes down", put("ifOperStatus", mib.INTEGER, 2)),
        ("it is still down", lambda ride: None),
        ("it is up again", put("ifOperStatus", mib.INTEGER, 1)),
        ("a counter goes back", put("ifHCInOctets", mib.COUNTER64, 5)),
        ("a counter is above line rate", put("ifHCOutOctets", mib.COUNTER64, 10**14)),
        ("errors wrap", put("ifInErrors", mib.COUNTER32, 3)),
        ("the counters of a port began anew", put("ifCounterDiscontinuityTime", mib.TIME_TICKS, 77)),
        ("all is well", lambda ride: ride.count(95_000_000)),
    ]


async def test_all_that_is_told_is_what_single_polls_tell() -> None:
    """Batches, facts and what is known afterwards are equal to the last bit, over everything that happens within one life of the rows."""
    ride = Ride()
    twins = [(DeviceReader(clock=ride.clock, max_repetitions=20), DeviceHistory(f"d{number}")) for number in range(2)]
    for number, twin in enumerate(twins):
        await twin_poll(ride, number, twin)
    await ride.board_all()
    for story, change in steps():
        ride.pass_time(10.0)
        change(ride)
        expected = [await twin_poll(ride, number, twin) for number, twin in enumerate(twins)]
        ride.turn()
        for told, (batch, facts), history, twin in zip(ride.told, expected, ride.histories, twins, strict=True):
            check_same(told[-1].batch, batch)
            assert told[-1].facts == facts, story
            assert history.refresh_period == twin[1].refresh_period
            mine, theirs = history.last_reading, twin[1].last_reading
            assert mine is not None
            assert theirs is not None
            assert np.array_equal(mine.counters.values, theirs.counters.values)
            assert mine.instant.sys_up_time == theirs.instant.sys_up_time
            assert mine.instant.hr_system_uptime == theirs.instant.hr_system_uptime
    assert [len(told) for told in ride.told] == [len(steps())] * 2
    lost = [history.lost(ride.clock.now_ns() + 10**9) for history in (ride.histories[0], twins[0][1])]
    assert lost[0] is not None
    assert lost[1] is not None
    check_same(lost[0], lost[1])


async def test_questions_stay_few_at_a_time_and_within_the_window() -> None:
    """No more than IN_FLIGHT to one device, and no more than the window's to all."""
    ride = Ride(3, window=6)
    await ride.board_all()
    ride.pass_time(10.0)
    for device in ride.devices:
        device.is_silent = True
    ride.turn(3)
    assert len(ride.line.waiting) == 6
    assert max(sum(device is each for device, _ in ride.line.waiting.values()) for each in ride.devices) <= IN_FLIGHT
    ride.clock.advance(0.25)  # what was sent a moment ago holds no slot any more
    ride.turn(3)
    assert len(ride.line.waiting) > 6


def gone(ride: Ride) -> None:
    ride.devices[0].remove_row(10_105)


def renumbered(ride: Ride) -> None:
    ride.devices[0].remove_row(10_105)
    ride.devices[0].port(10_205, "eth4")


def restarted(ride: Ride) -> None:
    ride.devices[0].put(mib.IF_NUMBER, mib.INTEGER, PORTS + 1)


def retyped(ride: Ride) -> None:
    ride.devices[0].put_cell("ifHCInOctets", 10_105, mib.COUNTER32, 7)


def refused(ride: Ride) -> None:
    ride.devices[0].refuse = lambda _: (5, 1)


def silent(ride: Ride) -> None:
    ride.devices[0].is_silent = True


@pytest.mark.parametrize("change", [gone, renumbered, restarted, retyped, refused, silent])
async def test_whoever_is_not_as_it_was_alights_and_nobody_else(change: Callable[[Ride], None]) -> None:
    """With a reason, and what was asked for nothing; the other device is told of as ever, and nothing is left in flight."""
    ride = Ride()
    first, second = await ride.board_all()
    for _ in range(2):
        ride.pass_time(10.0)
        ride.turn()
    change(ride)
    ride.pass_time(10.0)
    ride.turn()
    ride.clock.advance(1.2)
    ride.turn(2)
    alighted = first.alighted.result()
    assert alighted.reason
    assert alighted.polls == 2
    assert (alighted.timeouts > 0) == (change is silent)
    assert not second.alighted.done()
    assert [len(told) for told in ride.told] == [2, 3]
    assert len(ride.train) == 1
    ride.train.alight(second)
    ride.check_nothing_is_left()


async def test_a_passenger_gets_off_when_it_wants_to() -> None:
    """At its time, between two polls, and at once when it is told to, also in the middle of a poll."""
    ride = Ride()
    first = await ride.board(0, until=ride.clock.monotonic() + 25.0)
    second = await ride.board(1)
    assert first is not None
    assert second is not None
    for _ in range(3):
        ride.pass_time(10.0)
        ride.turn()
    assert first.alighted.result() == Alighted("", 2, 30.0)
    ride.devices[1].is_silent = True
    ride.pass_time(10.0)
    ride.turn(1)
    assert ride.line.waiting
    ride.train.alight(second)
    ride.train.alight(second)
    assert second.alighted.result().polls == 3
    ride.check_nothing_is_left()


async def test_a_device_of_other_kinds_of_counters_is_not_taken() -> None:
    """A port without 64-bit counters has its own way of being read; the seat is given back."""
    ride = Ride(1)
    for source in mib.COUNTER_SOURCES:
        if source.wide:
            ride.devices[0].objects = {
                oid: value for oid, value in ride.devices[0].objects.items() if oid[-1] != 10_103 or source.narrow is None
            }
    ride.devices[0].port(10_103, "eth2")
    ride.devices[0].put_cell("ifHCInOctets", 10_103, mib.COUNTER32, 9)
    reading = await ride.readers[0].read(ScriptedSession(ride.devices[0]))
    ride.histories[0].observe(reading)
    seat = ScriptedSeat.of(ride.line, ride.devices[0])
    steady = ride.readers[0].steady_rows()
    if steady is not None:
        passenger = ride.train.board(
            device="d0", history=ride.histories[0], steady=steady, seat=seat, interval=10.0, timeout=1.0, slot=10.0, until=1e9,
            tell=ride.told[0].append,
        )  # fmt: skip
        assert passenger is None
        assert seat.is_left
    ride.check_nothing_is_left()


async def test_the_end_of_the_train_is_the_end_of_every_ride() -> None:
    """Cancelled, it lets everybody off: no task of a device waits for ever."""
    ride = Ride()
    passengers = await ride.board_all()
    running = asyncio.ensure_future(ride.train.run())
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert all(passenger.alighted.done() for passenger in passengers)
    ride.check_nothing_is_left()


@pytest.mark.parametrize(
    ("interval", "devices", "tick"),
    [
        (10.0, 1, 0.5),
        (10.0, 1_000, 10 / 31),
        (10.0, 10_000, 0.05),
        (1.0, 1, 0.05),
        (1.0, 5_000, 0.05),
        (60.0, 10, 0.5),
        (300.0, 9_600, 0.5),
    ],
)
def test_departures_divide_the_interval(interval: float, devices: int, tick: float) -> None:
    """Few devices wait a little for each other, never more than a twentieth of the interval; many leave twenty times a second."""
    train = SteadyTrain(SendWindow(1), clock=ManualClock())
    train._intervals[interval] = devices
    train._passengers = set(range(devices))
    assert train.tick_seconds == pytest.approx(tick)
    assert interval / train.tick_seconds == pytest.approx(round(interval / train.tick_seconds))
    assert train.tick_seconds <= interval / 20


async def test_differences_over_a_ride_have_no_gap() -> None:
    """The first poll on the train is compared with the one before it."""
    ride = Ride(1)
    ride.count(0)
    await ride.board_all()
    ride.pass_time(10.0)
    ride.count(700)
    ride.turn()
    batch = ride.told[0][0].batch
    assert batch.deltas[:, OCTETS].tolist() == [700 * (port + 1) for port in range(PORTS)]
    assert (batch.invalid[:, OCTETS] == InvalidReason.VALID).all()
    assert batch.duration_ns == 10 * 10**9
