"""Answers that are read all at once are read as they would be one by one, or not at all."""

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manual_clock import ManualClock
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.native.varbinds import encode_varbinds, read_varbinds
from netmote.snmp.oid import encode_arcs
from netmote.snmp.reading import DeviceReader, DeviceReading
from netmote.snmp.session import Question, Reply, RequestTimedOut, UnreadReply, Varbind
from netmote.snmp.steady_table import SteadyTable, asked_table

COLUMNS = tuple(mib.COLUMN[name] for name in ("ifHCInOctets", "ifInErrors", "ifOperStatus"))
UP_TIME = mib.SYS_UP_TIME[:-1]
TAGS = (mib.COUNTER64, mib.COUNTER32, mib.INTEGER)
WIDTHS = {mib.COUNTER64: 8, mib.COUNTER32: 4, mib.TIME_TICKS: 4, mib.INTEGER: 4}


def content(varbinds: Sequence[Varbind]) -> bytes:
    """Of a VarBindList, without its header."""
    whole = encode_varbinds(list(varbinds))
    return whole[2 + (whole[1] & 0x7F if whole[1] > 0x7F else 0) :]


def answers(indexes: Sequence[int], random: Random) -> tuple[SteadyTable, list[bytes]]:
    """A learnt table and the answers it was learnt from, two rows each, with values of all lengths."""
    rows = tuple(encode_arcs([index]) for index in indexes)
    asked = asked_table(COLUMNS, rows, (UP_TIME,), 2)
    assert asked is not None
    lists = [
        [Varbind(name, tag, value(tag, random)) for name, tag in zip(names, (mib.TIME_TICKS, *TAGS * 2), strict=False)]
        for names in asked.names
    ]
    octets = [content(varbinds) for varbinds in lists]
    table = SteadyTable.learn(asked, lists, octets)
    assert table is not None
    return table, octets


def value(tag: int, random: Random) -> bytes:
    number = random.getrandbits(random.randint(1, 8 * WIDTHS[tag] - 1))
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def one_by_one(octets: Sequence[bytes]) -> list[Varbind]:
    return [varbind for each in octets for varbind in read_varbinds(each, 0, len(each))]


def check(table: SteadyTable, octets: Sequence[bytes], names: Sequence[bytes], tags: Sequence[int]) -> bool:
    """Whether they were read at once; then the reader of single varbinds must find the same."""
    numbers = table.read(octets)
    if numbers is None:
        return False
    found = one_by_one(octets)
    assert [varbind.oid for varbind in found] == list(names)
    assert [varbind.tag for varbind in found] == list(tags)
    assert all(varbind.value for varbind in found)
    assert [int.from_bytes(varbind.value, "big") for varbind in found] == numbers.tolist()
    return True


@given(
    indexes=st.lists(st.integers(1, 2**28 - 1), min_size=1, max_size=7, unique=True).map(sorted),
    seed=st.integers(0, 2**32),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_changed_octets_are_read_as_one_by_one_or_not_at_all(
    indexes: list[int], seed: int, changes: list[tuple[int, int]]
) -> None:
    """Octets changed anywhere in answers, names, lengths and values alike: the same numbers as of the strict reader, or none."""
    table, octets = answers(indexes, Random(seed))
    before = one_by_one(octets)
    names, tags = [varbind.oid for varbind in before], [varbind.tag for varbind in before]
    assert check(table, octets, names, tags)
    for place, octet in changes:
        number = place % len(octets)
        changed = bytearray(octets[number])
        changed[place // len(octets) % len(changed)] = octet
        octets[number] = bytes(changed)
    check(table, octets, names, tags)


def test_every_single_octet_counts() -> None:
    """Each octet of an answer that is not of a value is compared: with any bit of it changed nothing is read at once."""
    table, octets = answers([3, 200, 10_101], Random(1))
    before = one_by_one(octets)
    names, tags = [varbind.oid for varbind in before], [varbind.tag for varbind in before]
    read = missed = 0
    for number, answer in enumerate(octets):
        for place in range(len(answer)):
            for bit in range(8):
                changed = bytearray(answer)
                changed[place] ^= 1 << bit
                mutated = [*octets[:number], bytes(changed), *octets[number + 1 :]]
                if check(table, mutated, names, tags):
                    read += 1
                else:
                    missed += 1
    values = sum(len(varbind.value) for varbind in before)
    assert 0 < read <= 8 * values
    assert missed >= 8 * (sum(map(len, octets)) - values)


@pytest.mark.parametrize(
    ("tag", "octets"),
    [(mib.COUNTER64, "ff"), (mib.COUNTER32, "80ff"), (mib.COUNTER32, "01000000ff"), (mib.TIME_TICKS, "9f"), (mib.INTEGER, "")],
)
def test_what_may_mean_two_numbers_is_left_to_the_strict_reader(tag: int, octets: str) -> None:
    """A sign octet left out, or octets above the width of the type: never a number."""
    asked = asked_table((COLUMNS[0],), (b"\x01",), (), 1)
    assert asked is not None
    varbinds = [Varbind(asked.names[0][0], tag, bytes.fromhex(octets))]
    assert SteadyTable.learn(asked, [varbinds], [content(varbinds)]) is None


class OctetsSession(ScriptedSession):
    """One whose answers are octets on their way, as those of a network are."""

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        reply = await super().bulk(non_repeaters, columns, max_repetitions)
        octets = content(reply.varbinds)
        return reply._replace(varbinds=read_varbinds(octets, 0, len(octets)))


class TogetherSession(OctetsSession):
    """One that sends several questions at once, some of whose answers are lost on the way."""

    lose: Callable[[], bool] = staticmethod(lambda: False)

    async def bulk_together(self, questions: Sequence[Question], monotonic: Callable[[], float]) -> list[UnreadReply | Exception]:
        replies: list[UnreadReply | Exception] = []
        for question in questions:
            try:
                reply = await ScriptedSession.bulk(self, *question)
            except NetmoteError as error:
                replies.append(error)
                continue
            if self.lose():
                replies.append(RequestTimedOut("lost on the way"))
                continue
            octets = content(reply.varbinds)
            replies.append(UnreadReply(reply.error_status, reply.error_index, octets, reply.round_trip_seconds, monotonic()))
        return replies


def switch(ports: int = 10) -> ScriptedDevice:
    device = ScriptedDevice()
    device.boot(up_time=10_000, hr_uptime=90_000)
    for index in range(1, ports + 1):
        device.port(index, f"eth{index}", octets=index * 100)
    return device


def same(one: DeviceReading, other: DeviceReading) -> None:
    for name in ("values", "bits", "discontinuity", "if_type", "if_high_speed"):
        mine, theirs = getattr(one.counters, name), getattr(other.counters, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    for name in ("if_index", "if_admin_status", "if_oper_status"):
        mine, theirs = getattr(one.ports, name), getattr(other.ports, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert one.ports.if_name == other.ports.if_name
    assert one.instant.sys_up_time == other.instant.sys_up_time
    assert one.instant.monotonic == other.instant.monotonic
    assert one.system == other.system


def change(device: ScriptedDevice, random: Random) -> None:
    """One of the things that happen to a switch from poll to poll, mostly traffic."""
    index = random.randint(1, 10)
    match random.randint(0, 11):
        case 0:
            device.put_cell("ifOperStatus", index, mib.INTEGER, random.randint(0, 9))
        case 1:
            device.put_cell("ifHCInOctets", index, random.choice([mib.COUNTER32, mib.GAUGE32]), 77)
        case 2:
            device.objects.pop((1, 3, 6, 1, 2, 1, 2, 2, 1, 14, index), None)
        case 3:
            device.remove_row(index)
        case 4:
            device.port(index, f"eth{index}", octets=random.getrandbits(40))
        case 5:
            device.put_cell("ifHCOutOctets", index, mib.COUNTER64, b"\xff")
        case 6:
            device.put_cell("ifCounterDiscontinuityTime", index, random.choice([mib.TIME_TICKS, mib.COUNTER64]), 5)
        case _:
            device.count(index, random.getrandbits(random.randint(1, 62)))


@pytest.mark.parametrize("seed", range(20))
async def test_both_ways_of_reading_find_the_same(seed: int) -> None:
    """A switch to which everything happens, polled side by side by a reader that reads at once and by one that does not."""
    random, device, clock = Random(seed), switch(), ManualClock()
    one_by_one_reader, reader = (DeviceReader(clock=clock, max_repetitions=20) for _ in range(2))
    session = TogetherSession(device)
    session.lose = lambda: random.random() < 0.02
    for _ in range(60):
        if random.random() < 0.5:
            change(device, random)
        same(await reader.read(session), await one_by_one_reader.read(OctetsSession(device)))


async def test_a_device_that_stays_as_it_is_is_read_at_once() -> None:
    """From the third poll on, with counters that move: the tokenizer is not needed, and nothing is asked that was not before."""
    device, clock = switch(), ManualClock()
    reader, session = DeviceReader(clock=clock, max_repetitions=20), TogetherSession(device)
    asked = []
    for poll in range(4):
        device.requests.clear()
        device.count(3, 200 + poll)
        reading = await reader.read(session)
        asked.append(sorted(device.requests))
    walker = reader._steady_walker
    assert walker._table is not None
    assert walker._unlearnt is None
    assert reading.counters.values[2, 0] == 203
    assert asked[1] == asked[2] == asked[3]
