"""The collector's file: nothing twice, nothing lost, numbers accounted for, and bounded."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from manual_clock import ManualClock

from netmote.collector.intake import Arrival, Beat
from netmote.collector.ledger import CollectorLedger, TooManyLives
from netmote.store.faults import StoreInUse


def alert(seq: int, *, event_id: str | None = None, epoch: str = "e1", body: bytes = b"{}") -> Arrival:
    return Arrival("s1", epoch, event_id or f"a/{seq}", "io.netmote.alert.firing.v1", seq, body)


def beat(settled: int, *withheld: tuple[int, int], withheld_from: int = 0) -> Arrival:
    told = Beat(1, 60.0, "t0", settled, settled, withheld, withheld_from, b"{}")
    return Arrival("s1", "e1", f"heartbeat/{settled}", "io.netmote.heartbeat.v1", None, b"{}", told)


async def opened(path: Path, *, size: int = 2**24, lives: int = 10) -> CollectorLedger:
    ledger = CollectorLedger(path, clock=ManualClock(), size=size, lives=lives)
    await ledger.open()
    return ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[CollectorLedger]:
    ledger = await opened(tmp_path / "collector.db")
    yield ledger
    await ledger.close()


async def test_duplicates_are_counted_and_not_kept(ledger: CollectorLedger) -> None:
    """The same (source, id) again, in one batch or later, is one event."""
    await ledger.commit([alert(1), alert(2), alert(1)])
    await ledger.commit([alert(2), alert(3)])
    (life,) = await ledger.lives()
    assert (life.events, life.duplicates, life.conflicts) == (3, 2, 0)
    assert life.received == ((1, 3),)
    assert [kept.position for kept in await ledger.events_after(1, limit=10)] == [2, 3]


async def test_numbers_are_accounted_for_across_a_restart(tmp_path: Path) -> None:
    """Runs of what came, was withheld and was judged survive, and grow together."""
    ledger = await opened(tmp_path / "collector.db")
    await ledger.commit([alert(1), alert(4), beat(5, (2, 2), withheld_from=2)])
    await ledger.close()
    ledger = await opened(tmp_path / "collector.db")
    await ledger.commit([alert(5), alert(2), beat(6, (3, 3))])
    (life,) = await ledger.lives()
    assert (life.received, life.withheld, life.judged) == (((1, 2), (4, 5)), ((2, 3),), ((1, 6),))
    await ledger.close()


async def test_one_number_with_two_events_is_kept_and_told(ledger: CollectorLedger) -> None:
    """Two machines that write under one epoch reuse numbers: neither alert is lost, and the conflict is counted."""
    await ledger.commit([alert(1), alert(1, event_id="b/1")])
    (life,) = await ledger.lives()
    assert (life.events, life.conflicts) == (2, 1)


async def test_the_file_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    """At its quota the oldest events make room; which numbers came stays known."""
    ledger = await opened(tmp_path / "collector.db", size=2**20)
    for first in range(1, 4_000, 100):
        await ledger.commit([alert(seq, body=b"x" * 1_000) for seq in range(first, first + 100)])
    (life,) = await ledger.lives()
    assert life.received == ((1, 4_000),)
    kept = await ledger.events_after(0, limit=10_000)
    assert kept[-1].position == 4_000
    assert 0 < len(kept) < 1_100
    assert ledger.expired == 4_000 - len(kept)
    assert (tmp_path / "collector.db").stat().st_size <= 2**20
    await ledger.maintain()
    await ledger.close()


async def test_the_lives_are_bounded(tmp_path: Path) -> None:
    """One sensor more than permitted is refused, with what came beside it; nothing of the batch is stored."""
    ledger = await opened(tmp_path / "collector.db", lives=2)
    await ledger.commit([alert(1, epoch="e1"), alert(1, epoch="e2")])
    with pytest.raises(TooManyLives):
        await ledger.commit([alert(2, epoch="e1"), alert(1, epoch="e3")])
    assert [life.received for life in await ledger.lives()] == [((1, 1),), ((1, 1),)]
    await ledger.close()


async def test_one_file_has_one_collector(tmp_path: Path) -> None:
    """A second one is told who has it, and the file is free again when the first is closed."""
    first = await opened(tmp_path / "collector.db")
    with pytest.raises(StoreInUse, match=str(os.getpid())):
        await opened(tmp_path / "collector.db")
    await first.close()
    await (await opened(tmp_path / "collector.db")).close()


async def test_gaps_without_end_are_given_up_in_the_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest gaps count as filled, and how many numbers that were is said."""
    monkeypatch.setattr("netmote.collector.ledger._MOST_RUNS", 4)
    ledger = await opened(tmp_path / "collector.db")
    await ledger.commit([alert(seq) for seq in range(1, 20, 2)])
    (life,) = await ledger.lives()
    assert life.received == ((1, 13), (15, 15), (17, 17), (19, 19))
    assert life.given_up == 6
    await ledger.close()
