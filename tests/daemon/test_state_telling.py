"""What a sink whose receiver forgets is told, and when."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import pytest
from manual_clock import ManualClock
from recording_sink import RecordingSink
from sample_alert import sample_alert

from netmote.alerts.alert import AlertState, Committed, Silence
from netmote.daemon.deliver import Deliver
from netmote.errors import Retryable
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics


class ForgetfulSink(RecordingSink):
    """Notes what it is told: ("learn", numbers) and ("resend", numbers known), between the deliveries."""

    resend_interval = 60.0

    def __init__(self, answers: Sequence[Exception | None] = ()) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[int]]] = []
        self._known: list[int] = []
        self._resend_answers = list(answers)

    async def learn(self, active: Sequence[Committed]) -> None:
        self._known = [row.seq for row in active]

    async def resend(self) -> None:
        self.calls.append(("resend", self._known))
        answer = self._resend_answers.pop(0) if self._resend_answers else None
        if answer is not None:
            raise answer

    async def deliver(self, batch: Sequence[Committed]) -> None:
        self.calls.append(("deliver", self._known))
        await super().deliver(batch)

    def certificate_expiries(self) -> dict[str, int]:
        return {"client": 1_800_000_000_000_000_000}


class Running:
    """Delivery to one such sink over a real ledger."""

    def __init__(self, store: Store, clock: ManualClock, sink: ForgetfulSink) -> None:
        self.store, self.clock, self.sink, self.metrics = store, clock, sink, Metrics()
        self.deliver = Deliver(
            sink, store, batch_limit=100, clock=clock, random=Random(1), health=Health(clock), metrics=self.metrics
        )

    async def until(self, calls: int) -> list[tuple[str, list[int]]]:
        """Run until the sink was called so often; what it was called with."""
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            task = group.create_task(self.deliver.run())
            while len(self.sink.calls) < calls:
                self.deliver.wake()
                await asyncio.sleep(0.01)
            task.cancel()
        return self.sink.calls


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock())
    await store.open()
    await store.register_sink("recording")
    yield store
    await store.close()


async def test_told_first_all_that_is_active_then_the_rows(store: Store) -> None:
    """Neither what has ended nor what is silenced; and right before the rows, once more."""
    await store.commit([sample_alert(1), sample_alert(2), sample_alert(3, is_silenced=True)], None)
    await store.commit([sample_alert(2, revision=2, state=AlertState.RESOLVED)], None)
    running = Running(store, ManualClock(), ForgetfulSink())
    assert await running.until(2) == [("resend", [1]), ("deliver", [1])]


async def test_a_silence_holds_at_once_and_ends_by_itself(store: Store) -> None:
    """The alert it covers is not among the active ones any more, though its revision was made before; afterwards it is again."""
    clock = ManualClock()
    await store.commit([sample_alert(1), sample_alert(2)], None)
    ends_ns = clock.now_ns() + 30_000_000_000
    await store.add_silence(Silence("s", clock.now_ns(), ends_ns, "our scanner", group=sample_alert(1).group))
    running = Running(store, clock, ForgetfulSink())
    assert (await running.until(1))[0] == ("resend", [])
    clock.advance(61.0)
    assert (await running.until(3))[-1] == ("resend", [1, 2])


async def test_told_again_each_interval_without_anything_new(store: Store) -> None:
    """By the monotonic clock, and after each start of delivery."""
    await store.commit([sample_alert(1)], None)
    running = Running(store, ManualClock(), ForgetfulSink())
    await running.until(2)
    assert [name for name, _ in await running.until(3)] == ["resend", "deliver", "resend"]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(running.deliver.run())
        while len(running.sink.calls) < 6:
            running.clock.advance(20.0)
            running.deliver.wake()
            await asyncio.sleep(0.01)
        task.cancel()
    assert [name for name, _ in running.sink.calls[3:]] == ["resend"] * 3


async def test_a_failed_telling_is_tried_again_before_any_row(store: Store) -> None:
    """It holds the rows, which wait in the ledger; then both go."""
    await store.commit([sample_alert(1)], None)
    running = Running(store, ManualClock(), ForgetfulSink(answers=[Retryable("down")]))
    assert [name for name, _ in await running.until(3)] == ["resend", "resend", "deliver"]
    assert [row.seq for row in running.sink.accepted] == [1]


async def test_an_ordinary_sink_is_told_nothing(store: Store) -> None:
    """It is asked for nothing it does not have."""
    await store.commit([sample_alert(1)], None)
    sink = RecordingSink()
    deliver = Deliver(
        sink, store, batch_limit=9, clock=ManualClock(), random=Random(1), health=Health(ManualClock()), metrics=Metrics()
    )
    await deliver.drain(5.0)
    assert len(sink.accepted) == 1


async def test_the_end_of_certificates_is_a_metric(store: Store) -> None:
    """As Unix time, by sink and kind."""
    running = Running(store, ManualClock(), ForgetfulSink())
    await running.until(1)
    labels = {"sink": "recording", "certificate": "client"}
    found = running.metrics.registry.get_sample_value("netmote_certificate_expiry_timestamp_seconds", labels)
    assert found == 1_800_000_000.0
