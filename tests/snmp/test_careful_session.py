"""Devices that do not bear what others do are read all the same, and it is said what they need."""

from collections.abc import Sequence

import pytest
from manual_clock import ManualClock
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.snmp import mib
from netmote.snmp.careful_session import read_device
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.quirks import QuirkLearner, Quirks
from netmote.snmp.reading import DeviceReader, DeviceReading
from netmote.snmp.session import Reply, RequestTimedOut, Varbind, WalkLooped

PORTS = 12
GEN_ERR = 5


class Bench:
    """A device of 12 ports behind the whole way of a poll."""

    def __init__(self) -> None:
        self.device = ScriptedDevice()
        self.device.boot(up_time=100)
        self.device.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, b"\x2b\x06\x01\x04\x01\x09")
        for index in range(1, PORTS + 1):
            self.device.port(index, f"eth{index}", octets=1_000 * index)
        self.learner = QuirkLearner()
        self.reader = DeviceReader(clock=ManualClock(), max_repetitions=20)
        self.session = PacedSession(ScriptedSession(self.device), SendWindow(10), retries=0)

    async def read(self, *, is_doubtful: bool = False) -> DeviceReading:
        self.device.requests.clear()
        return await read_device(self.reader, self.session, self.learner, is_doubtful=is_doubtful)

    @property
    def quirks(self) -> Quirks:
        return self.learner.quirks

    def unanswered(self, *, above: int = 1_000, kinds: Sequence[str] = ()) -> None:
        """Requests of these kinds, and those whose answers hold more varbinds, get no answer."""

        def fail() -> Exception | None:
            kind, varbinds = self.device.requests[-1]
            return RequestTimedOut("no answer (scripted)") if kind in kinds or varbinds > above else None

        self.device.fail = fail


def is_whole(reading: DeviceReading) -> bool:
    return (
        reading.ports.if_name == tuple(f"eth{index}" for index in range(1, PORTS + 1))
        and reading.counters.values[:, 0].tolist() == [1_000 * index for index in range(1, PORTS + 1)]
        and bool((reading.counters.bits[:, :13] > 0).all())
    )


async def test_a_device_without_quirks_is_asked_as_if_there_were_none() -> None:
    """Not one request more."""
    bench, plain = Bench(), Bench()
    assert is_whole(await bench.read())
    await plain.reader.read(plain.session)
    assert bench.device.requests == plain.device.requests
    assert bench.quirks.described == ()


async def test_no_answer_to_getbulk() -> None:
    """GETNEXT in its place, from the next poll on at once."""
    bench = Bench()
    bench.unanswered(kinds=["bulk"])
    assert is_whole(await bench.read())
    assert bench.quirks.described == ("no GETBULK",)
    timeouts = bench.session.timeouts
    assert is_whole(await bench.read())
    assert bench.session.timeouts == timeouts, "known now: nothing is tried in vain"
    assert {kind for kind, _ in bench.device.requests} == {"get", "get_next"}


async def test_getbulk_is_refused() -> None:
    """An error for the whole request, while GETNEXT works."""
    bench = Bench()
    bench.device.refuse = lambda _: (GEN_ERR, 0) if bench.device.requests[-1][0] == "bulk" else None
    assert is_whole(await bench.read())
    assert bench.quirks.has_no_bulk


@pytest.mark.parametrize("most", [30, 20, 10, 3])
async def test_large_answers_never_arrive(most: int) -> None:
    """The device answers, but nothing larger: requests shrink until it does."""
    bench = Bench()
    bench.unanswered(above=most)
    assert is_whole(await bench.read(is_doubtful=True))
    assert bench.quirks.most_varbinds is not None
    assert bench.quirks.most_varbinds <= most
    assert not bench.quirks.has_no_bulk
    timeouts = bench.session.timeouts
    assert is_whole(await bench.read(is_doubtful=True))
    assert bench.session.timeouts == timeouts


async def test_one_varbind_a_request() -> None:
    """The smallest of agents: found by the one cheap question that it does answer."""
    bench = Bench()
    bench.unanswered(above=1)
    with pytest.raises(RequestTimedOut):
        await bench.read()
    assert is_whole(await bench.read(is_doubtful=True))
    assert "one varbind a request" in bench.quirks.described
    assert is_whole(await bench.read())
    assert sum(varbinds > 1 for _, varbinds in bench.device.requests) <= 1, "more is tried now and then"


async def test_too_big_for_single_rows() -> None:
    """TooBig to what a single row takes: columns are asked in parts."""
    bench = Bench()
    bench.device.too_big_above = 4
    assert is_whole(await bench.read())


async def test_a_dead_device_is_not_asked_with_care() -> None:
    """Nothing is answered: one question, as ever."""
    bench = Bench()
    bench.device.is_silent = True
    with pytest.raises(RequestTimedOut):
        await bench.read()
    assert len(bench.device.requests) == 1
    assert bench.quirks == Quirks()


async def test_a_device_that_dies_during_a_walk_costs_few_questions_more() -> None:
    """Silence in the middle is not taken for a quirk; four requests are in flight, and each is followed by two small ones."""
    bench = Bench()
    await bench.read()
    bench.unanswered(kinds=["bulk", "get_next"])
    with pytest.raises(RequestTimedOut):
        await bench.read()
    assert bench.quirks.described == ()
    assert len(bench.device.requests) <= 24


class Shuffled(ScriptedSession):
    """Rows come in another order: 2 1 4 3 ... in every column."""

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        varbinds = list(self.device.bulk(non_repeaters, [], 0).varbinds)
        cursors = list(columns)
        for _ in range(max_repetitions):
            cursors = [_after(cursor) for cursor in cursors]
            varbinds += [self._cell(cursor) for cursor in cursors]
        return Reply(0, 0, varbinds, 0.001)

    def _cell(self, oid: bytes) -> Varbind:
        found = self.device.get([oid]).varbinds[0]
        return found if found.tag not in mib.EXCEPTIONS else self.device.get_next([oid]).varbinds[0]


def _after(oid: bytes) -> bytes:
    for column in mib.COLUMN.values():
        if oid == column:
            return column + b"\x02"
        if oid[:-1] == column:
            row = oid[-1]
            return column + bytes([row - 1 if row % 2 == 0 else row + 3])
    return oid


async def test_rows_that_are_not_in_order() -> None:
    """Each row once, in whatever order; known from then on, and read whole again and again."""
    bench = Bench()
    bench.session = PacedSession(Shuffled(bench.device), SendWindow(10), retries=0)
    for _ in range(3):
        assert is_whole(await bench.read())
        assert bench.quirks.described == ("OIDs do not increase",)


async def test_rows_that_come_again_are_a_loop_all_the_same() -> None:
    """Disorder is borne, a circle is not."""
    bench = Bench()

    class Circling(Shuffled):
        def _cell(self, oid: bytes) -> Varbind:
            return super()._cell(oid[:-1] + bytes([(oid[-1] - 1) % 4 + 1]) if oid[-1] > 4 else oid)

    bench.session = PacedSession(Circling(bench.device), SendWindow(10), retries=0)
    with pytest.raises(WalkLooped):
        await bench.read()
