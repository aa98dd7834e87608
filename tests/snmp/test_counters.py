"""Differences of counters: a table of what happens to real devices, and properties that hold for everything else."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.records.interface import INTERFACE_COUNTERS, InvalidReason
from netmote.snmp.counters import (
    MALFORMED_BITS,
    NARROW,
    WIDE,
    CounterSample,
    Epoch,
    Instant,
    classify,
    differences,
    high_speed,
    ticks_between,
)

OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")
PACKETS = INTERFACE_COUNTERS.index("if_hc_in_ucast_pkts")
ERRORS = INTERFACE_COUNTERS.index("if_in_errors")
DISCARDS = INTERFACE_COUNTERS.index("if_out_discards")
CARRIER = INTERFACE_COUNTERS.index("carrier_transitions")
W32, W64 = 1 << 32, 1 << 64
ETHERNET, LOOPBACK, PPP, TUNNEL = 6, 24, 23, 131
VALID = InvalidReason.VALID


def at(seconds: float, ticks: int | None, *, hr: int | None = None, round_trip: float = 0.01) -> Instant:
    return Instant(seconds, round_trip, ticks, hr)


EPOCHS = [
    # what happened, earlier, later, epoch, seconds
    ("a poll ten seconds later", at(0, 5_000), at(10, 6_000), Epoch.SAME, 10.0),
    ("a late poll counts by the agent's clock", at(0, 5_000), at(11.2, 6_050), Epoch.SAME, 10.5),
    ("sysUpTime wraps after 497 days", at(0, W32 - 400), at(10, 600), Epoch.SAME, 10.0),
    ("sysUpTime wraps exactly to zero", at(0, W32 - 1_000), at(10, 0), Epoch.SAME, 10.0),
    ("the agent caches sysUpTime for a moment", at(0, 5_000), at(1, 5_000), Epoch.SAME, 1.0),
    ("six lost polls, the same life", at(0, 5_000), at(60, 11_000), Epoch.SAME, 60.0),
    ("an hour of silence, the same life", at(0, 5_000), at(3600, 365_000), Epoch.SAME, 3600.0),
    ("the agent's clock runs 1.5 % fast", at(0, 5_000), at(300, 5_000 + 30_450), Epoch.SAME, 304.5),
    ("the device rebooted", at(0, 900_000), at(10, 300), Epoch.REBOOT, 10.0),
    ("the device rebooted within a long gap", at(0, 900_000), at(600, 12_000), Epoch.REBOOT, 600.0),
    ("rebooted right after the poll", at(0, 900_000), at(10, 990), Epoch.REBOOT, 10.0),
    ("rebooted, and its hrSystemUptime says so", at(0, 9_000, hr=9_000), at(10, 300, hr=250), Epoch.REBOOT, 10.0),
    ("only the agent restarted", at(0, 9_000, hr=80_000), at(10, 300, hr=81_000), Epoch.AGENT_RESTART, 10.0),
    ("the agent restarted as hrSystemUptime wrapped", at(0, 9_000, hr=W32 - 500), at(10, 300, hr=500), Epoch.AGENT_RESTART, 10.0),
    ("the agent's clock jumped ahead", at(0, 5_000), at(10, 500_000), Epoch.CLOCK_JUMP, 10.0),
    ("the agent's clock jumped back", at(0, 500_000), at(10, 400_000), Epoch.CLOCK_JUMP, 10.0),
    ("the agent's clock stands still", at(0, 500_000), at(60, 500_000), Epoch.CLOCK_JUMP, 60.0),
    ("the device has no sysUpTime", at(0, None), at(10, None), Epoch.UNTIMED, 10.0),
    ("sysUpTime went missing", at(0, 5_000), at(10, None), Epoch.UNTIMED, 10.0),
    ("a slow answer is within the slack", at(0, 5_000), at(14, 6_000, round_trip=3.0), Epoch.SAME, 10.0),
]


@pytest.mark.parametrize(
    ("earlier", "later", "epoch", "seconds"), [case[1:] for case in EPOCHS], ids=[case[0] for case in EPOCHS]
)
def test_every_poll_is_placed_in_an_epoch(earlier: Instant, later: Instant, epoch: Epoch, seconds: float) -> None:
    """Restart, wrap, jump and jitter are told apart, with the seconds of the clock that can be trusted."""
    assert classify(earlier, later) == (epoch, pytest.approx(seconds))


def test_the_first_poll_has_no_epoch() -> None:
    """Nothing to compare with."""
    assert classify(None, at(0, 5)) == (Epoch.FIRST, 0.0)


@dataclass(frozen=True)
class Cell:
    """One counter of one port at two polls."""

    story: str
    earlier: int | None
    later: int | None
    delta: int = 0
    reason: InvalidReason = VALID
    column: int = OCTETS
    bits: tuple[int, int] = (WIDE, WIDE)
    epoch: Epoch = Epoch.SAME
    seconds: float = 10.0
    speed: int = 1_000
    if_type: int = ETHERNET
    discontinuity: tuple[int, int] = (0, 0)
    row: int = field(default=0)


CELLS = [
    Cell("traffic", 1_000, 5_000, 4_000),
    Cell("an idle port is 0, and valid", 5_000, 5_000, 0),
    Cell("at line rate", 0, 1_250_000_000, 1_250_000_000),
    Cell("a burst from buffers, 5 % above line rate", 0, 1_312_500_000, 1_312_500_000),
    Cell("20 % above line rate", 0, 1_500_000_000, 0, InvalidReason.IMPLAUSIBLE),
    Cell("the gap of lost polls is whole", 0, 7_500_000_000, 7_500_000_000, seconds=60.0),
    Cell("Counter64 went back a little", 5_000, 4_999, 0, InvalidReason.DECREASED),
    Cell("Counter64 was reset", 2**40, 17, 0, InvalidReason.DECREASED),
    Cell("a 64-bit counter that wraps at 2^32 is not guessed", W32 - 10, 20, 0, InvalidReason.DECREASED),
    Cell("Counter64 near its end is no wrap either", W64 - 10, 20, 0, InvalidReason.DECREASED),
    Cell("Counter64 with the top bit set", W64 - 5_000, W64 - 1_000, 4_000),
    Cell("Counter32 at 100 Mb/s", 1_000, 5_000, 4_000, bits=(NARROW, NARROW), speed=100),
    Cell("Counter32 wraps once at 100 Mb/s", W32 - 1_000, 500, 1_500, bits=(NARROW, NARROW), speed=100),
    Cell("Counter32 wraps to exactly 0", W32 - 1_000, 0, 1_000, bits=(NARROW, NARROW), speed=100),
    Cell("Counter32 at 1 Gb/s every 30 s still tells", 0, 3_000_000_000, 3_000_000_000, bits=(NARROW, NARROW), seconds=30.0),
    Cell("Counter32 at 1 Gb/s every 60 s may wrap twice", 0, 100, 0, InvalidReason.AMBIGUOUS_WRAP, bits=(NARROW, NARROW), seconds=60.0),
    Cell("Counter32 at 10 Gb/s every 10 s may wrap twice", 0, 100, 0, InvalidReason.AMBIGUOUS_WRAP, bits=(NARROW, NARROW), speed=10_000),
    Cell("Counter32 of unknown speed counts up", 1_000, 5_000, 4_000, bits=(NARROW, NARROW), speed=0),
    Cell("Counter32 of unknown speed: how often it wrapped is open", W32 - 9, 9, 0, InvalidReason.AMBIGUOUS_WRAP, bits=(NARROW, NARROW), speed=0),
    Cell("Counter32 wrapped and yet above line rate", W32 - 1_000, 200_000_000, 0, InvalidReason.IMPLAUSIBLE, bits=(NARROW, NARROW), speed=100),
    Cell("Counter32 goes back across an agent restart", 5_000, 100, 0, InvalidReason.DECREASED, bits=(NARROW, NARROW), epoch=Epoch.AGENT_RESTART),
    Cell("Counter32 goes back without sysUpTime", 5_000, 100, 0, InvalidReason.DECREASED, bits=(NARROW, NARROW), epoch=Epoch.UNTIMED),
    Cell("counters go on across an agent restart", 1_000, 5_000, 4_000, epoch=Epoch.AGENT_RESTART),
    Cell("counters go on without sysUpTime", 1_000, 5_000, 4_000, epoch=Epoch.UNTIMED),
    Cell("a reboot ends every difference", 1_000, 5_000, 0, InvalidReason.RESTART, epoch=Epoch.REBOOT),
    Cell("a clock jump ends every difference", 1_000, 5_000, 0, InvalidReason.CLOCK_JUMP, epoch=Epoch.CLOCK_JUMP),
    Cell("the first poll", 1_000, 5_000, 0, InvalidReason.FIRST, epoch=Epoch.FIRST, seconds=0.0),
    Cell("no time passed", 1_000, 5_000, 0, InvalidReason.FIRST, seconds=0.0),
    Cell("a port seen for the first time", None, 5_000, 0, InvalidReason.FIRST, bits=(0, WIDE)),
    Cell("a counter that the device lacks", None, None, 0, InvalidReason.ABSENT, bits=(0, 0)),
    Cell("a counter that went missing", 5_000, None, 0, InvalidReason.ABSENT, bits=(WIDE, 0)),
    Cell("absent also after a reboot", None, None, 0, InvalidReason.ABSENT, bits=(0, 0), epoch=Epoch.REBOOT),
    Cell("an answer of another type", 5_000, 6_000, 0, InvalidReason.MALFORMED, bits=(WIDE, MALFORMED_BITS)),
    Cell("readable again after that", 5_000, 6_000, 0, InvalidReason.FIRST, bits=(MALFORMED_BITS, WIDE)),
    Cell("64-bit counters appeared", 5_000, 6_000, 0, InvalidReason.FIRST, bits=(NARROW, WIDE)),
    Cell("64-bit counters went away", 6_000, 7_000, 0, InvalidReason.FIRST, bits=(WIDE, NARROW)),
    Cell("ifCounterDiscontinuityTime changed", 1_000, 5_000, 0, InvalidReason.DISCONTINUITY, discontinuity=(0, 77)),
    Cell("it changed, and the counter went back", 5_000, 10, 0, InvalidReason.DISCONTINUITY, discontinuity=(50, 77)),
    Cell("it stands at some old value", 1_000, 5_000, 4_000, discontinuity=(77, 77)),
    Cell("the device began to tell it", 1_000, 5_000, 4_000, discontinuity=(-1, 77)),
    Cell("packets at line rate of minimal frames", 0, 19_531_250, 19_531_250, column=PACKETS),
    Cell("more packets than minimal frames fit", 0, 40_000_000, 0, InvalidReason.IMPLAUSIBLE, column=PACKETS),
    Cell("smaller packets fit a PPP line", 0, 40_000_000, 40_000_000, column=PACKETS, if_type=PPP),
    Cell("Counter32 of packets wraps", W32 - 5, 5, 10, column=PACKETS, bits=(NARROW, NARROW)),
    Cell("Counter32 of packets at 400 Gb/s", 0, 9, 0, InvalidReason.AMBIGUOUS_WRAP, column=PACKETS, bits=(NARROW, NARROW), speed=400_000),
    Cell("errors count up at 400 Gb/s", 0, 9, 9, column=ERRORS, bits=(NARROW, NARROW), speed=400_000),
    Cell("errors wrap", W32 - 5, 5, 10, column=ERRORS, bits=(NARROW, NARROW)),
    Cell("errors seem to wrap by half the range: a reset", 3 * 10**9, 10**9, 0, InvalidReason.AMBIGUOUS_WRAP, column=ERRORS, bits=(NARROW, NARROW)),
    Cell("discards of traffic from faster ports exceed the line", 0, 90_000_000, 90_000_000, column=DISCARDS, bits=(NARROW, NARROW)),
    Cell("loopback's ifSpeed of 10 Mb/s is no limit", 0, 10**12, 10**12, speed=10, if_type=LOOPBACK),
    Cell("a tunnel's speed is no limit", 0, 10**12, 10**12, speed=1, if_type=TUNNEL),
    Cell("an unknown speed is no limit", 0, 10**12, 10**12, speed=0),
    Cell("more than a signed 64-bit number holds", 0, W64 - 1, 0, InvalidReason.IMPLAUSIBLE, speed=0),
    Cell("carrier transitions", 4, 6, 2, column=CARRIER, bits=(NARROW, NARROW)),
    Cell("a slow line", 0, 70, 0, InvalidReason.IMPLAUSIBLE, speed=1, seconds=0.0005),
]  # fmt: skip


def sample(values: list[int | None], bits: list[int], column: int, discontinuity: int, if_type: int, speed: int) -> CounterSample:  # noqa: PLR0917
    """A sample of one counter per port, the others absent."""
    shape = (len(values), len(INTERFACE_COUNTERS))
    held, width = np.zeros(shape, np.uint64), np.zeros(shape, np.uint8)
    held[:, column], width[:, column] = [value or 0 for value in values], bits
    ports = len(values)
    return CounterSample(held, width, np.full(ports, discontinuity), np.full(ports, if_type), np.full(ports, speed))


@pytest.mark.parametrize("cell", CELLS, ids=[cell.story for cell in CELLS])
def test_every_difference_is_exact_or_has_its_reason(cell: Cell) -> None:
    """A difference is what the counter grew by, or invalid by name; the value under an invalid cell is 0."""
    earlier = sample([cell.earlier], [cell.bits[0]], cell.column, cell.discontinuity[0], cell.if_type, cell.speed)
    later = sample([cell.later], [cell.bits[1]], cell.column, cell.discontinuity[1], cell.if_type, cell.speed)
    deltas, invalid = differences(earlier, later, cell.epoch, cell.seconds)
    assert InvalidReason(invalid[0, cell.column]) is cell.reason
    assert deltas[0, cell.column] == cell.delta
    assert (invalid[0, [c for c in range(len(INTERFACE_COUNTERS)) if c != cell.column]] == InvalidReason.ABSENT).all()


def test_the_table_has_enough_stories() -> None:
    """The table only grows."""
    assert len(CELLS) + len(EPOCHS) >= 60


def test_the_ports_of_a_device_are_judged_apart() -> None:
    """One port's reset says nothing of its neighbour."""
    earlier = sample([100, 5_000, 7], [WIDE, WIDE, 0], OCTETS, 0, ETHERNET, 1_000)
    later = sample([300, 10, 9], [WIDE, WIDE, WIDE], OCTETS, 0, ETHERNET, 1_000)
    deltas, invalid = differences(earlier, later, Epoch.SAME, 10.0)
    assert deltas[:, OCTETS].tolist() == [200, 0, 0]
    assert invalid[:, OCTETS].tolist() == [InvalidReason.VALID, InvalidReason.DECREASED, InvalidReason.FIRST]


def test_rows_are_aligned_by_position_and_absent_ones_are_empty() -> None:
    """A port that was not there before has absent cells, also against a poll without any port."""
    one = sample([10, 20], [WIDE, WIDE], OCTETS, 5, ETHERNET, 100)
    aligned = one.aligned(np.array([1, -1], np.intp))
    assert aligned.values[0, OCTETS] == 20
    assert aligned.bits[:, OCTETS].tolist() == [WIDE, 0]
    assert aligned.discontinuity.tolist() == [5, -1]
    empty = sample([], [], OCTETS, 0, ETHERNET, 0).aligned(np.array([-1], np.intp))
    assert empty.bits.shape == (1, len(INTERFACE_COUNTERS))
    assert not empty.bits.any()


@pytest.mark.parametrize(
    ("if_speed", "if_high_speed", "expected"),
    [
        (1_000_000_000, 1_000, 1_000),
        (4_294_967_295, 10_000, 10_000),  # ifSpeed saturates
        (4_294_967_295, None, 0),  # and without ifHighSpeed says nothing
        (4_294_967_295, 0, 0),
        (10_000_000, None, 10),
        (64_000, 0, 1),  # ifHighSpeed rounds to 0 below 500,000 bit/s
        (0, 0, 0),
        (None, None, 0),
        (None, 40_000, 40_000),
    ],
)
def test_line_speed(if_speed: int | None, if_high_speed: int | None, expected: int) -> None:
    """The better of the two objects, 0 when neither says."""
    assert high_speed(if_speed, if_high_speed) == expected


@settings(max_examples=300, deadline=None)
@given(
    earlier=st.integers(0, W64 - 1),
    later=st.integers(0, W64 - 1),
    bits=st.sampled_from([(NARROW, NARROW), (WIDE, WIDE), (NARROW, WIDE)]),
    column=st.integers(0, len(INTERFACE_COUNTERS) - 1),
    speed=st.sampled_from([0, 1, 10, 100, 1_000, 10_000, 400_000]),
    if_type=st.sampled_from([ETHERNET, LOOPBACK, PPP]),
    epoch=st.sampled_from(list(Epoch)),
    seconds=st.floats(0, 10_000),
)
def test_never_negative_and_never_above_the_line(
    *, earlier: int, later: int, bits: tuple[int, int], column: int, speed: int, if_type: int, epoch: Epoch, seconds: float
) -> None:
    """Whatever two polls hold: no negative difference, and no octets above 1.1 times the line speed."""
    earlier, later = earlier % (1 << bits[0]), later % (1 << bits[1])
    deltas, invalid = differences(
        sample([earlier], [bits[0]], column, 0, if_type, speed),
        sample([later], [bits[1]], column, 0, if_type, speed),
        epoch,
        seconds,
    )
    delta, is_valid = int(deltas[0, column]), invalid[0, column] == VALID
    assert delta >= 0
    assert is_valid or delta == 0
    if is_valid:
        assert (earlier + delta) % (1 << bits[1]) == later
        if INTERFACE_COUNTERS[column].endswith("octets") and speed and if_type != LOOPBACK:
            assert delta <= 1.1 * speed * 125_000 * seconds + 1.0


@settings(max_examples=300, deadline=None)
@given(
    start=st.integers(0, W32 - 1),
    speed=st.sampled_from([10, 100, 1_000]),
    seconds=st.floats(1.0, 30.0),
    share=st.floats(0, 1),
)
def test_a_counter32_that_wraps_once_is_exact(start: int, speed: int, seconds: float, share: float) -> None:
    """At speeds where a second wrap is impossible, the difference is what went over the line."""
    grown = int(speed * 125_000 * seconds * share)
    before = sample([start], [NARROW], OCTETS, 0, ETHERNET, speed)
    after = sample([(start + grown) % W32], [NARROW], OCTETS, 0, ETHERNET, speed)
    deltas, invalid = differences(before, after, Epoch.SAME, seconds)
    assert (int(deltas[0, OCTETS]), invalid[0, OCTETS]) == (grown, VALID)


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, W32 - 1), elapsed=st.floats(0.1, 100_000), jitter=st.floats(-1, 1))
def test_an_agent_that_runs_on_is_always_of_the_same_epoch(start: int, elapsed: float, jitter: float) -> None:
    """Through the 497-day wrap, for gaps up to a day, with a second of jitter."""
    later = (start + round(elapsed * 100)) % W32
    epoch, seconds = classify(at(0, start), at(max(0.05, elapsed + jitter), later))
    assert epoch is Epoch.SAME
    assert seconds == pytest.approx(elapsed, abs=max(0.011, abs(jitter) + 0.1) if elapsed < 0.2 else 0.011)


def test_ticks_are_modulo() -> None:
    """TimeTicks count hundredths modulo 2^32."""
    assert ticks_between(W32 - 100, 100) == 2.0
