"""The second leg: nothing skipped, nothing twice, over full queues, crashes, poison, cancellation and full disks."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from daemon_legs import Legs, until
from observed_records import ORIGIN, PANE_NS, SECOND, pane, reading, scan_story, unreachable

from netmote.alerts.alert import Alert, Committed
from netmote.analysis.analysis import Analysis
from netmote.analysis.outcome import Outcome
from netmote.daemon.analyse import BACKLOG, Analyse
from netmote.daemon.ingest import Observed
from netmote.records.batch import Batch
from netmote.store.store import Checkpoint, Store, StoreFull
from netmote.telemetry.health import Level
from netmote.windows.schemas import TRAFFIC
from netmote.windows.vector import VectorBatch


@asynccontextmanager
async def running(analyse: Analyse) -> AsyncIterator[asyncio.Task[None]]:
    """Run as the daemon does, and stop as kill -9 does: nothing is finished."""
    task = asyncio.get_running_loop().create_task(analyse.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def revisions(store: Store) -> list[tuple[str, int]]:
    """Every revision in the ledger, as a sink would get them."""
    await store.register_sink("all", from_beginning=True)
    return sorted((row.alert.alert_id, row.alert.revision) for row in await store.pending("all", limit=1000))


async def all_analysed(analyse: Analyse, store: Store, story: list[Batch]) -> None:
    await until(lambda: analyse.position is not None and analyse.position.batch_id >= len(story) and not analyse.waiting)


STORY = [*scan_story(), unreachable(70), unreachable(95, 0.0)]
STORY.sort(key=lambda batch: (batch.end_ns, batch.source))


async def uninterrupted(legs: Legs) -> list[tuple[str, int]]:
    """What a run without trouble commits."""
    store = await legs.store()
    analyse = legs.analyse(store)
    async with running(analyse):
        await legs.give(store, analyse, STORY)
        await all_analysed(analyse, store, STORY)
    await analyse.finish(5.0)
    assert any(row.alert.technique == "T1046" for row in legs.committed)
    return await revisions(store)


@pytest.mark.parametrize("cuts", [[4], [17], [20], [10, 19, 30], list(range(0, len(STORY), 3))])
async def test_kill_at_any_place_gives_the_same_alerts(legs: Legs, tmp_path, cuts: list[int]) -> None:
    """Killed again and again without a last checkpoint, it commits the ids and revisions of a run without trouble, each once."""
    whole = Legs(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    expected = await uninterrupted(whole)
    await whole.close()
    begin = 0
    for cut in [*cuts, len(STORY)]:
        store = await legs.store()
        analyse = legs.analyse(store)
        async with running(analyse):
            await legs.give(store, analyse, STORY[begin:cut])
            if cut == len(STORY):
                await all_analysed(analyse, store, STORY)
        begin = cut
        if cut < len(STORY):
            await store.close()
    await analyse.finish(5.0)
    assert await revisions(store) == expected


async def test_a_full_queue_loses_nothing(legs: Legs) -> None:
    """More than the queue holds at once: what is stored is read from the store, in order, and the alerts are the same."""
    store = await legs.store()
    analyse = legs.analyse(store, limit=2)
    async with running(analyse):
        await until(lambda: analyse.progress > 1)
        positions = [await store.append([batch]) for batch in STORY]
        for position, batch in zip(positions, STORY, strict=True):
            analyse.put(Observed(position, (batch,)))
        assert legs.reason(BACKLOG) == "analysis is behind and reads from the store"
        await all_analysed(analyse, store, STORY)
        await until(lambda: legs.reason(BACKLOG) is None)
    assert any(row.alert.technique == "T1046" for row in legs.committed)
    assert not legs.discards.totals


async def test_batches_that_came_from_the_store_are_not_taken_twice(legs: Legs) -> None:
    """A hand-over that lags behind its commit may be read before it arrives; the queue's copy is then left aside."""
    counting = _counting()
    store, analysis = await legs.store(), legs.analysis(counting)
    analyse = legs.analyse(store, analysis)
    async with running(analyse):
        await until(lambda: analyse.progress > 1)
        first = await store.append([pane(0)])
        analyse.put(Observed(first, (pane(0),)))
        await until(lambda: counting.seen == 1)
        analyse.put(Observed(first, (pane(0),)))
        second = await store.append([pane(1)])
        analyse.put(Observed(second, (pane(1),)))
        await until(lambda: analyse.position == second and not analyse.waiting)
    assert counting.seen == 2


async def test_unstored_batches_are_analysed_and_their_loss_is_counted(legs: Legs) -> None:
    """At the level where telemetry is not stored the queue is the only way: what it cannot hold is lost, and counted."""
    store = await legs.store()
    analyse = legs.analyse(store, limit=50)
    async with running(analyse):
        await until(lambda: analyse.progress > 1)
        for batch in scan_story():
            analyse.put(Observed(None, (batch,)))
        await until(lambda: any(row.alert.technique == "T1046" for row in legs.committed) and not analyse.waiting)
        assert (await store.checkpoint()).position is None
    for number in range(60):
        analyse.put(Observed(None, (pane(100 + number, ports=3),)))
    assert legs.discards.totals["analysis/queue_full"] == 51 * 4


def _counting() -> type[Analysis]:
    class Counting(Analysis):
        seen = 0

        def observe(self, batch: Batch) -> Outcome:
            type(self).seen += 1
            return super().observe(batch)

    return Counting


def _choking(end_ns: int) -> type[Analysis]:
    class Choking(Analysis):
        """Chokes on every batch that ends at one instant."""

        attempts = 0

        def observe(self, batch: Batch) -> Outcome:
            if batch.end_ns == end_ns:
                type(self).attempts += 1
                raise ZeroDivisionError("a bug that this batch finds")
            return super().observe(batch)

    return Choking


async def test_a_poison_batch_is_passed_over(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that analysis chokes on is tried, named, counted and passed; meanwhile the level is `collect`; the rest is analysed."""
    poison = STORY[5].end_ns
    choking = _choking(poison)
    store = await legs.store()
    analyse = legs.analyse(store, legs.analysis(choking))
    levels = set()
    leg = legs.supervised("analysis", analyse.run, level=Level.COLLECT, well_seconds=0.5)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        leg.start(group)
        await legs.give(store, analyse, STORY)
        await until(lambda: levels.add(legs.health.level) or (analyse.position and analyse.position.batch_id == len(STORY)))
        await until(lambda: not legs.health.reasons)
        await leg.stop(5.0)
    same_end = sum(batch.end_ns == poison for batch in STORY)
    assert choking.attempts >= 3 * same_end
    assert Level.COLLECT in levels
    assert legs.health.level is Level.FULL
    assert legs.discards.totals["analysis/failed"] >= same_end
    assert sum("passed over" in record.message for record in caplog.records) == same_end
    assert any(row.alert.technique == "T1046" for row in legs.committed)


async def test_a_poison_batch_does_not_stop_the_next_start(legs: Legs) -> None:
    """Windows are filled again over a batch that the code of this version chokes on: passed over at once, said, counted."""

    class Brittle(Analysis):
        def rebuild(self, batch: Batch) -> Outcome:
            if batch.end_ns == STORY[5].end_ns:
                raise ZeroDivisionError("new in this version")
            return super().rebuild(batch)

    store = await legs.store()
    analyse = legs.analyse(store)
    async with running(analyse):
        await legs.give(store, analyse, STORY[:20])
        await all_analysed(analyse, store, STORY[:20])
    await analyse.finish(5.0)
    again = legs.analyse(store, legs.analysis(Brittle))
    async with running(again):
        await until(lambda: again.progress > 3)
        await legs.give(store, again, STORY[20:])
        await all_analysed(again, store, STORY)
    assert legs.discards.totals["analysis/failed"] >= 1


async def test_poison_in_the_open_windows_is_given_up(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """When only letting time pass fails, again and again, the open windows are given up and analysis goes on."""

    class Stuck(Analysis):
        failures = 0

        def advance(self, event_time_ns: int) -> Outcome:
            if self.windows.sizes()["bytes"] > empty:
                type(self).failures += 1
                raise ZeroDivisionError("in what the windows hold")
            return super().advance(event_time_ns)

    store, analysis = await legs.store(), legs.analysis(Stuck)
    empty = analysis.windows.sizes()["bytes"]
    analyse = legs.analyse(store, analysis)
    leg = legs.supervised("analysis", analyse.run, level=Level.COLLECT)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        leg.start(group)
        await legs.give(store, analyse, [pane(0, ports=50), pane(1, ports=50)])
        await until(lambda: any("given up" in record.message for record in caplog.records))
        before = analyse.progress
        await until(lambda: analyse.progress >= before + 3)
        await leg.stop(5.0)
    assert 3 <= Stuck.failures <= 4  # once more when the second batch came between two failures


@pytest.mark.parametrize("state", [b"", b"rubbish", b'{"rules": ""}'])
async def test_a_damaged_state_begins_cold(legs: Legs, caplog: pytest.LogCaptureFixture, state: bytes) -> None:
    """A checkpoint that is not understood costs the pending state, not the start; firing alerts come from the ledger."""
    store = await legs.store()
    analyse = legs.analyse(store)
    async with running(analyse):
        await legs.give(store, analyse, STORY)
        await all_analysed(analyse, store, STORY)
    firing = await store.active_alerts()
    assert firing
    await store.commit([], Checkpoint(analyse.position, ORIGIN + 120 * SECOND, state))
    again = legs.analyse(store)
    async with running(again):
        await until(lambda: again.progress > 3)
    assert "begins cold" in caplog.text
    assert again.analysis.book.active["firing"] == len(firing)


async def test_without_a_checkpoint_only_the_newest_records_are_judged(legs: Legs) -> None:
    """A ledger that was lost does not make a week of history into news."""
    old, new = pane(0, ports=400), unreachable(3600)
    counting = _counting()
    store = await legs.store()
    await store.append([old])
    legs.clock.advance(3600)
    await store.append([new])
    analyse = legs.analyse(store, legs.analysis(counting))
    async with running(analyse):
        await until(lambda: legs.committed)
    assert counting.seen == 1
    assert [row.alert.group for row in legs.committed] == ["device_unreachable"]


async def test_a_clock_set_back_while_nobody_ran(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """After a start at an earlier wall time, records of now are analysed at once and not when the clock has caught up."""
    store = await legs.store()
    analyse = legs.analyse(store)
    async with running(analyse):
        await legs.give(store, analyse, STORY)
        await all_analysed(analyse, store, STORY)
    await analyse.finish(5.0)
    legs.clock.step(-86_400)
    day_before = ORIGIN - 86_400 * SECOND
    again = legs.analyse(store)
    async with running(again):
        await until(lambda: again.progress > 3)
        windows = again.windows_closed
        for number in range(10):
            batch = pane(number, origin_ns=day_before)
            again.put(Observed(await store.append([batch]), (batch,)))
        await until(lambda: again.windows_closed > windows)
    assert "clock is behind" in caplog.text


async def test_a_step_is_never_cut_in_the_middle(legs: Legs) -> None:
    """Stopped while the thread computes: its alerts are in the ledger with the position that covers them."""
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Analysis):
        def observe(self, batch: Batch) -> Outcome:
            outcome = super().observe(batch)
            if outcome.alerts:
                entered.set()
                go_on.wait(10)
            return outcome

    store = await legs.store()
    analyse = legs.analyse(store, legs.analysis(Slow))
    task = asyncio.get_running_loop().create_task(analyse.run())
    await until(lambda: analyse.progress > 1)
    position = await store.append([unreachable(1)])
    analyse.put(Observed(position, (unreachable(1),)))
    await until(entered.is_set)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    go_on.set()
    await asyncio.wait([task])
    await analyse.finish(5.0)
    assert [alert.group for alert in await store.active_alerts()] == ["device_unreachable"]
    assert (await store.checkpoint()).position == position


async def test_a_crash_writes_no_checkpoint(legs: Legs) -> None:
    """What analysis holds after it raised in the middle of a batch is not written down as if it were whole."""
    store = await legs.store()
    analyse = legs.analyse(store, legs.analysis(_choking(STORY[6].end_ns)))
    task = asyncio.get_running_loop().create_task(analyse.run())
    await legs.give(store, analyse, STORY[:10])
    await asyncio.wait([task])
    assert isinstance(task.exception(), ZeroDivisionError)
    before = await store.checkpoint()
    await analyse.finish(5.0)
    assert await store.checkpoint() == before
    assert not (legs.state_dir / "learned.bin").exists()


async def test_stopped_before_it_had_recovered_it_leaves_the_checkpoint(legs: Legs) -> None:
    """A stop in the first instant must not replace a good checkpoint by an empty one."""
    store = await legs.store()
    good = Checkpoint(await store.append([pane(0)]), ORIGIN, legs.analysis().state())
    await store.commit([], good)
    analyse = legs.analyse(store)
    await analyse.finish(5.0)
    assert await store.checkpoint() == good


class FullLedger(Store):
    """A real store whose ledger has no room while it is told so."""

    is_full = False
    refused = 0

    async def commit(self, alerts: list[Alert], checkpoint: Checkpoint | None) -> list[Committed]:
        if self.is_full:
            self.refused += 1
            raise StoreFull("ledger.db: database or disk is full")
        return await super().commit(alerts, checkpoint)


async def test_alerts_wait_for_room_in_the_ledger(legs: Legs) -> None:
    """Nothing is announced before it is stored; it is tried until it is, the level says so, and no alert comes twice."""
    store = await legs.store(FullLedger)
    analyse = legs.analyse(store)
    async with running(analyse):
        await until(lambda: analyse.progress > 1)
        store.is_full = True
        await legs.give(store, analyse, [unreachable(1)])
        await until(lambda: store.refused >= 2)
        assert not legs.committed
        assert legs.health.level is Level.LEDGER
        seen = analyse.progress
        await until(lambda: analyse.progress > seen)
        store.is_full = False
        await until(lambda: legs.committed)
    assert legs.reason("ledger") is None
    assert [row.alert.revision for row in legs.committed] == [1]


async def test_a_full_ledger_does_not_hold_the_stop(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """The last checkpoint has a deadline; the alert is made again at the next start, with the same id."""
    store = await legs.store(FullLedger)
    analyse = legs.analyse(store)
    async with running(analyse):
        await until(lambda: analyse.progress > 1)
        store.is_full = True
        await legs.give(store, analyse, [unreachable(1)])
        await until(lambda: store.refused)
    async with asyncio.timeout(3):
        await analyse.finish(0.3)
    assert "was not written in time" in caplog.text
    store.is_full = False
    again = legs.analyse(store)
    async with running(again):
        await until(lambda: legs.committed)
    assert len(legs.committed) == 1


class Volume:
    """A detector that scores by volume, and fails while it is told to."""

    name, version = "volume", "1.0.0"
    schema = TRAFFIC
    is_broken = False

    def score(self, vectors: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
        if self.is_broken:
            raise RuntimeError("out of order")
        return vectors.values[:, 0].copy(), np.zeros(vectors.values.shape)


async def test_a_model_that_fails_is_seen_and_gets_another_chance(legs: Legs) -> None:
    """The view names the model that is out of use; ten minutes later, with the saving of what was learned, it is tried again."""
    volume = Volume()
    volume.is_broken = True
    store = await legs.store()
    analyse = legs.analyse(store, legs.analysis(detectors=[volume]))
    async with running(analyse):
        await legs.give(store, analyse, STORY)
        await until(lambda: legs.views and legs.views[-1].failures)
        assert legs.views[-1].failures == {"volume": "RuntimeError: out of order"}
        volume.is_broken = False
        legs.clock.advance(601)
        await until(lambda: not legs.views[-1].failures)
        assert (legs.state_dir / "learned.bin").exists()


async def test_what_was_learned_is_kept_over_a_restart(legs: Legs) -> None:
    """A clean stop saves calibration; the next start goes on with it."""
    store = await legs.store()
    analyse = legs.analyse(store, legs.analysis(detectors=[Volume()]))
    async with running(analyse):
        await legs.give(store, analyse, [pane(number) for number in range(140)])
        await until(lambda: legs.views and legs.views[-1].detectors[0].learning)
    await analyse.finish(5.0)
    again = legs.analyse(store, legs.analysis(detectors=[Volume()]))
    async with running(again):
        await until(lambda: legs.views[-1] is again.view)
    assert again.view.detectors[0].learning == analyse.view.detectors[0].learning


async def test_time_passes_without_records(legs: Legs) -> None:
    """When everything is silent, the clock less the lateness closes windows; a checkpoint follows within half a minute."""
    store = await legs.store()
    analyse = legs.analyse(store)
    async with running(analyse):
        await legs.give(store, analyse, [pane(0), pane(1), reading(0)])
        await until(lambda: analyse.position is not None and analyse.position.batch_id == 3)
        legs.clock.advance(31)
        await until(lambda: analyse.view.event_time_ns >= ORIGIN + 10 * SECOND)
        before = analyse.progress
        await until(lambda: analyse.progress >= before + 2)
        checkpoint = await store.checkpoint()
    assert checkpoint.position == analyse.position
    assert analyse.lag_seconds < PANE_NS
    assert analyse.lag_seconds == pytest.approx(2.0, abs=0.1)


async def test_silences_are_taken_up_at_the_start(legs: Legs) -> None:
    """What was silenced before a restart is silenced after it."""
    from netmote.alerts.alert import Silence

    store = await legs.store()
    await store.add_silence(Silence("a", 0, ORIGIN * 2, "planned", group="device_unreachable"))
    analyse = legs.analyse(store)
    async with running(analyse):
        await legs.give(store, analyse, [unreachable(1)])
        await until(lambda: legs.committed)
    assert legs.committed[0].alert.is_silenced


async def test_a_store_that_cannot_be_read_is_waited_for(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """A failing read is no crash of analysis: it says `collect`, tries on, and recovers."""

    class Unreadable(Store):
        fails = 2

        async def read_after(self, *arguments: object, **named: object) -> list:
            if self.fails:
                self.fails -= 1
                raise StoreFull("disk I/O error")
            return await super().read_after(*arguments, **named)

    store = await legs.store(Unreadable)
    analyse = legs.analyse(store)
    with caplog.at_level(logging.ERROR):
        async with running(analyse):
            await until(lambda: legs.health.level is Level.COLLECT)
            await until(lambda: legs.health.level is Level.FULL)
    assert caplog.text.count("cannot read from the store") == 1
