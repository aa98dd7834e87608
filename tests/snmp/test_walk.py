"""Table walks over an agent in memory that lies as real ones do."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

import pytest
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.snmp import mib
from netmote.snmp.oid import decode_oid, encode_arcs
from netmote.snmp.session import (
    AccessDenied,
    AgentError,
    NetworkUnreachable,
    Reply,
    RequestTimedOut,
    UnreadableAnswer,
    Varbind,
    WalkLooped,
)
from netmote.snmp.walk import MAX_VARBINDS, REQUESTS_IN_FLIGHT, Rows, Walk, get_cells, walk_columns

COLUMNS = ("ifName", "ifHCInOctets", "ifOperStatus")
OIDS = [mib.COLUMN[name] for name in COLUMNS]
UP_TIME = mib.SYS_UP_TIME[:-1]


def device(ports: int = 20) -> ScriptedDevice:
    scripted = ScriptedDevice()
    scripted.boot(up_time=12_345)
    for index in range(1, ports + 1):
        scripted.port(index, f"eth{index}", octets=index * 1000)
    return scripted


async def walk(scripted: ScriptedDevice, **keywords: object) -> Walk:
    ticks = itertools.count(1)
    session = ScriptedSession(scripted)
    return await walk_columns(session, OIDS, monotonic=lambda: float(next(ticks)), scalars=[UP_TIME], **keywords)  # type: ignore[arg-type]


async def test_all_columns_of_all_rows_are_found() -> None:
    """Every cell stands under its own column and index, and the agent's own time comes with it."""
    found = await walk(device())
    assert found.indexes == [(index,) for index in range(1, 21)]
    assert found.cells[OIDS[0]][7,].value == b"eth7"
    assert int.from_bytes(found.cells[OIDS[1]][7,].value, "big") == 7000
    assert int.from_bytes(found.scalars[UP_TIME].value, "big") == 12_345
    assert found.first_at < found.last_at


async def test_answers_stay_small_enough_for_one_packet() -> None:
    """No request asks for more varbinds than fit a datagram, however many repetitions are allowed."""
    scripted = device(200)
    await walk(scripted, max_repetitions=100)
    assert max(varbinds for _, varbinds in scripted.requests) <= MAX_VARBINDS


async def test_holes_do_not_shift_columns() -> None:
    """Cells that some rows lack are missing in those rows alone."""
    scripted = device()
    for index in (1, 5, 6, 20):
        del scripted.objects[(1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, index)]
    found = await walk(scripted)
    assert sorted(found.cells[OIDS[0]].keys() - found.cells[OIDS[1]].keys()) == [(1,), (5,), (6,), (20,)]
    assert all(int.from_bytes(cell.value, "big") == index * 1000 for (index,), cell in found.cells[OIDS[1]].items())


async def test_a_column_that_is_absent_is_empty() -> None:
    """A device without ifXTable still gives its ifTable."""
    scripted = device()
    for index in range(1, 21):
        del scripted.objects[(1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, index)]
    found = await walk(scripted)
    assert found.cells[OIDS[1]] == {}
    assert len(found.cells[OIDS[2]]) == 20


async def test_an_exception_within_a_row_is_a_hole() -> None:
    """Agents answer noSuchInstance in the middle of a table: that cell is absent, the walk goes on."""
    scripted = device()
    scripted.put_cell("ifHCInOctets", 7, mib.NO_SUCH_INSTANCE, b"")
    found = await walk(scripted)
    assert (7,) not in found.cells[OIDS[1]]
    assert len(found.cells[OIDS[1]]) == 19


async def test_sparse_and_large_indexes_are_in_order() -> None:
    """The order is that of the arcs, not of their bytes: 16384 after 16383."""
    scripted = ScriptedDevice()
    scripted.boot(up_time=1)
    for index in (1, 127, 128, 16_383, 16_384, 1_073_741_824):
        scripted.port(index, f"p{index}")
    found = await walk(scripted)
    assert found.indexes == [(1,), (127,), (128,), (16_383,), (16_384,), (1_073_741_824,)]


async def test_too_big_halves_the_repetitions_and_remembers() -> None:
    """A device that bears 8 varbinds an answer is walked with fewer rows, and the caller learns how many."""
    scripted = device()
    scripted.too_big_above = 8
    found = await walk(scripted)
    assert len(found.indexes) == 20
    assert found.max_repetitions == 2
    refused = [varbinds for _, varbinds in scripted.requests if varbinds > 8]
    assert len(refused) <= 4


async def test_too_big_for_a_row_splits_the_columns() -> None:
    """A device that bears a single column and sysUpTime is walked column by column."""
    scripted = device()
    scripted.too_big_above = 2
    found = await walk(scripted)
    assert [len(found.cells[column]) for column in OIDS] == [20, 20, 20]


async def test_too_big_for_anything_is_an_error() -> None:
    """A device that bears nothing ends the walk by name."""
    scripted = device()
    scripted.too_big_above = 0
    with pytest.raises(AgentError, match="tooBig"):
        await walk(scripted)


async def test_oids_that_do_not_increase_end_the_walk() -> None:
    """An agent that answers the same row for ever is named, not followed."""
    scripted = device()
    first = Varbind(OIDS[0] + encode_arcs([3]), mib.OCTET_STRING, b"eth3")
    scripted.rewrite = lambda varbinds: [varbinds[0], *[first] * (len(varbinds) - 1)]
    with pytest.raises(WalkLooped, match="do not increase"):
        await walk(scripted)


async def test_a_table_without_end_stops_at_the_bound() -> None:
    """An agent that invents rows for ever costs a bounded number of requests."""
    scripted = device(1)
    numbers = itertools.count(1)

    def endless(varbinds: list[Varbind]) -> list[Varbind]:
        index = encode_arcs([next(numbers)])
        return [varbinds[0], *(Varbind(column + index, mib.OCTET_STRING, b"x") for column in OIDS)]

    scripted.rewrite = endless
    with pytest.raises(WalkLooped, match="more than 500 rows"):
        await walk(scripted, max_rows=500)
    assert len(scripted.requests) <= 501


async def test_an_empty_answer_is_refused() -> None:
    """An answer without any variable would never make progress."""
    scripted = device()
    scripted.rewrite = lambda varbinds: []
    with pytest.raises(UnreadableAnswer):
        await walk(scripted)


async def test_an_answer_cut_within_a_row_is_continued() -> None:
    """Agents cut answers at their datagram size; the next request takes each column up where it stands."""
    scripted = device()
    scripted.rewrite = lambda varbinds: varbinds[:3]
    found = await walk(scripted)
    assert [len(found.cells[column]) for column in OIDS] == [20, 20, 20]


async def test_a_refused_column_costs_only_itself() -> None:
    """GenErr on one column is remembered with its name; the others are read."""
    scripted = device()
    broken = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6)

    def refuse(asked: object) -> tuple[int, int] | None:
        hit = [position for position, oid in enumerate(asked, 1) if oid[: len(broken)] == broken]  # type: ignore[arg-type, var-annotated]
        return (5, hit[0]) if hit else None

    scripted.refuse = refuse
    found = await walk(scripted)
    assert found.failed == {OIDS[1]: "genErr"}
    assert [len(found.cells[column]) for column in OIDS] == [20, 0, 20]


async def test_an_error_without_culprit_fails_the_walk() -> None:
    """GenErr with error-index 0 says nothing about where: the whole walk fails by name."""
    scripted = device()
    scripted.refuse = lambda asked: (5, 0)
    with pytest.raises(AgentError, match="genErr"):
        await walk(scripted)


async def test_refused_access_is_permanent() -> None:
    """An authorizationError is the operator's to mend."""
    scripted = device()
    scripted.refuse = lambda asked: (16, 0)
    with pytest.raises(AccessDenied):
        await walk(scripted)
    with pytest.raises(AccessDenied):
        await get_cells(ScriptedSession(scripted), [mib.SYS_DESCR])


async def test_a_known_table_is_not_asked_past_its_end() -> None:
    """With its rows known, the walk asks for exactly as many, and finds the same."""
    scripted = device()
    whole = await walk(scripted)
    scripted.requests.clear()
    found = await walk(scripted, rows=Rows.of(whole.indexes))
    assert found.indexes[-1] == (20,)
    assert found.cells == whole.cells
    rows = [(varbinds - 1) // 3 for _, varbinds in scripted.requests]
    assert sum(rows) == 20


class DistantSession(ScriptedSession):
    """Answers after a while, and knows how many requests wait at once."""

    def __init__(self, scripted: ScriptedDevice) -> None:
        super().__init__(scripted)
        self.waiting = self.most = 0

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await asyncio.sleep(0.02)
            return await super().bulk(non_repeaters, columns, max_repetitions)
        finally:
            self.waiting -= 1


async def far_walk(session: DistantSession, rows: Rows | None) -> Walk:
    clock = asyncio.get_running_loop().time
    return await walk_columns(session, OIDS, monotonic=clock, scalars=[UP_TIME], max_repetitions=2, rows=rows)


async def test_known_rows_are_asked_for_side_by_side() -> None:
    """Several requests in flight, a bounded number of them; the first answer's time is its own, not that of the last."""
    session = DistantSession(device(ports=40))
    began = asyncio.get_running_loop().time()
    whole = await far_walk(session, None)
    took = asyncio.get_running_loop().time() - began
    assert session.most == 1
    began = asyncio.get_running_loop().time()
    found = await far_walk(session, Rows.of(whole.indexes))
    assert asyncio.get_running_loop().time() - began < took / 2
    assert session.most == REQUESTS_IN_FLIGHT
    assert found.cells == whole.cells
    assert found.first_at - began < took / 4
    assert found.last_at > found.first_at


async def test_an_error_of_one_request_is_the_error_of_the_walk() -> None:
    """By itself, in no group, and nothing runs on."""
    session = DistantSession(device(ports=40))
    rows = Rows.of((await far_walk(session, None)).indexes)
    errors = itertools.chain([None, NetworkUnreachable("no route")], itertools.repeat(None))
    session.device.fail = lambda: next(errors)
    with pytest.raises(NetworkUnreachable):
        await far_walk(session, rows)
    assert session.waiting == 0


async def test_a_cancellation_at_the_moment_of_an_error_is_not_lost() -> None:
    """Else a poller that is being stopped would take the error for its poll's and go on for ever."""
    session = DistantSession(device(ports=40))
    rows = Rows.of((await far_walk(session, None)).indexes)
    task = asyncio.get_running_loop().create_task(far_walk(session, rows))

    def fail() -> Exception:
        task.cancel()
        return NetworkUnreachable("no route")

    session.device.fail = fail
    with pytest.raises(asyncio.CancelledError):
        await task


class NarrowSession(DistantSession):
    """A small agent: it reads one request and loses what comes meanwhile."""

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        if self.waiting:
            await asyncio.sleep(0.03)
            raise RequestTimedOut("lost")
        return await super().bulk(non_repeaters, columns, max_repetitions)


async def test_an_agent_that_bears_one_request_is_asked_one_by_one() -> None:
    """Whatever it lost is asked again, and the next walk asks no more at once than it bears."""
    whole = await far_walk(DistantSession(device()), None)
    found = await far_walk(NarrowSession(device()), Rows.of(whole.indexes))
    assert found.cells == whole.cells
    assert found.requests_in_flight == 1


async def test_a_device_that_falls_silent_during_the_walk_is_a_timeout() -> None:
    """One by one it is as silent."""
    session = DistantSession(device(ports=40))
    rows = Rows.of((await far_walk(session, None)).indexes)
    session.device.is_silent = True
    with pytest.raises(RequestTimedOut):
        await far_walk(session, rows)


async def test_an_agent_that_gives_fewer_rows_than_asked_is_asked_for_as_many() -> None:
    """Version 1 gives one a request, others what fits their message: learnt at the first answer, and kept."""
    scripted = device()
    rows = Rows.of((await walk(scripted)).indexes)
    scripted.rewrite = lambda varbinds: varbinds[: 1 + len(OIDS)]
    first = await walk(scripted, rows=rows)
    scripted.requests.clear()
    again = await walk(scripted, rows=rows, max_repetitions=first.max_repetitions)
    assert (first.max_repetitions, len(scripted.requests)) == (1, 20)
    assert again.cells == first.cells
    assert again.indexes == rows.indexes


async def test_known_rows_of_an_agent_that_says_too_big() -> None:
    """The walk shrinks its requests as any other does."""
    scripted = device()
    whole = await walk(scripted)
    scripted.too_big_above = 10
    found = await walk(scripted, rows=Rows.of(whole.indexes))
    assert found.cells == whole.cells
    assert found.max_repetitions <= 3


def lost_cell(scripted: ScriptedDevice) -> None:
    scripted.objects.pop((*decode_oid(OIDS[1]), 7))


def nulled_cell(scripted: ScriptedDevice) -> None:
    scripted.put(OIDS[1] + encode_arcs([7]), mib.NULL, b"")


def lost_row(scripted: ScriptedDevice) -> None:
    scripted.remove_row(7)


def new_row(scripted: ScriptedDevice) -> None:
    scripted.port(15, "between")


def new_last_row(scripted: ScriptedDevice) -> None:
    scripted.port(99, "behind")


def one_varbind_less(scripted: ScriptedDevice) -> None:
    scripted.rewrite = lambda varbinds: varbinds[:-1] if len(varbinds) > 10 else varbinds


@pytest.mark.parametrize("change", [lambda _: None, lost_cell, nulled_cell, lost_row, new_row, one_varbind_less, new_last_row])
async def test_knowing_the_rows_changes_nothing_but_the_end(change: Callable[[ScriptedDevice], None]) -> None:
    """Whatever became of a table since, a walk that knows its old rows finds what one that knows nothing finds, up to the old end."""
    scripted = device()
    scripted.remove_row(15)
    known = Rows.of((await walk(scripted)).indexes)
    change(scripted)
    fresh = await walk(scripted)
    found = await walk(scripted, rows=known)
    last = known.indexes[-1]
    assert found.cells == {
        column: {index: cell for index, cell in cells.items() if index <= last} for column, cells in fresh.cells.items()
    }


async def test_scalars_that_the_device_lacks_are_left_out() -> None:
    """GET gives what there is, also from agents that refuse the whole request because of one object."""
    scripted = device()
    cells, _ = await get_cells(ScriptedSession(scripted), [mib.SYS_UP_TIME, mib.HR_SYSTEM_UPTIME])
    assert list(cells) == [mib.SYS_UP_TIME]
    scripted.refuse = lambda asked: (2, 2) if len(asked) == 2 else None  # noSuchName, as agents of SNMPv1 descent do
    cells, _ = await get_cells(ScriptedSession(scripted), [mib.SYS_UP_TIME, mib.HR_SYSTEM_UPTIME])
    assert list(cells) == [mib.SYS_UP_TIME]


async def test_a_get_that_fails_whole_is_an_error() -> None:
    """GenErr without a culprit on scalars."""
    scripted = device()
    scripted.refuse = lambda asked: (5, 0)
    with pytest.raises(AgentError, match="genErr"):
        await get_cells(ScriptedSession(scripted), [mib.SYS_UP_TIME])
