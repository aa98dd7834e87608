"""What every sink must do, run over each of them with a real receiver."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine
from pathlib import Path
from types import coroutine
from typing import Any

import pytest
from heartbeats import sample_heartbeat
from sink_alerts import committed_alert
from sink_certificates import Authority, Pair
from sink_receiver import Receiver, TlsReceiver
from sink_receivers import RECEIVERS, TLS_RECEIVERS

from netmote.errors import PartialDelivery, Permanent, Retryable

TIMEOUT = 1.5  # a busy machine connects, answers and is cancelled well within it
BATCH = [committed_alert(number) for number in range(1, 6)]
IDS = [committed.alert.event_id for committed in BATCH]


def those(claim: str) -> Any:
    """Run for the receivers whose class claims this."""
    return pytest.mark.parametrize("receiver", [name for name, kind in RECEIVERS.items() if getattr(kind, claim)], indirect=True)


@pytest.fixture(params=RECEIVERS)
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Receiver]:
    """Each sink with its receiver, started."""
    made = RECEIVERS[request.param](tmp_path, timeout=TIMEOUT)
    await made.start()
    try:
        yield made
    finally:
        await made.sink.close()
        await made.stop()


async def test_success(receiver: Receiver) -> None:
    """Once `deliver` returns, the receiver has every row, in order."""
    await receiver.sink.open()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


async def test_an_empty_batch_is_nothing(receiver: Receiver) -> None:
    """Nothing to deliver is not an error and no message."""
    await receiver.sink.open()
    await receiver.sink.deliver([])
    assert await receiver.received() == []


async def test_retryable_and_the_same_batch_again(receiver: Receiver) -> None:
    """A failing receiver raises Retryable; the same batch later arrives whole, each row once by its id."""
    await receiver.sink.open()
    await receiver.fail()
    with pytest.raises(Retryable):
        await receiver.sink.deliver(BATCH)
    await receiver.recover()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@those("can_refuse")
async def test_permanent(receiver: Receiver) -> None:
    """A batch refused for ever raises Permanent, and the sink goes on."""
    await receiver.sink.open()
    await receiver.refuse()
    with pytest.raises(Permanent):
        await receiver.sink.deliver(BATCH)
    await receiver.recover()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@those("can_refuse_some")
async def test_partial(receiver: Receiver) -> None:
    """Rows refused for ever are named by position; all others are accepted."""
    await receiver.sink.open()
    await receiver.refuse(ids=[IDS[1], IDS[3]])
    with pytest.raises(PartialDelivery) as caught:
        await receiver.sink.deliver(BATCH)
    assert caught.value.rejected == {1: "poison", 3: "poison"}
    assert await receiver.received() == [IDS[0], IDS[2], IDS[4]]


@those("can_hang")
async def test_a_receiver_that_hangs_is_left_within_the_timeout(receiver: Receiver) -> None:
    """No answer at all becomes Retryable after the time-out, without holding the loop meanwhile."""
    await receiver.sink.open()
    await receiver.hang()
    loop = asyncio.get_running_loop()
    began, turns = loop.time(), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count_turns())
        with pytest.raises(Retryable):
            await receiver.sink.deliver(BATCH)
        counting.cancel()
    assert TIMEOUT * 0.9 <= loop.time() - began < TIMEOUT + 10.0
    assert turns > 10


@those("can_hang")
async def test_a_slow_receiver_is_waited_for(receiver: Receiver) -> None:
    """Late but within the time-out is success."""
    await receiver.sink.open()
    await receiver.be_slow()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@coroutine
def _cancelled_at(step: int, work: Coroutine[Any, Any, None]) -> Any:
    """Run `work`, cancelling the task that runs it when it waits for the `step`th time. Returns whether it got that far."""
    steps, value, failure = 0, None, None
    while True:
        try:
            waiting = work.throw(failure) if failure is not None else work.send(value)
        except StopIteration:
            return False
        value = failure = None
        if steps == step:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        steps += 1
        try:
            value = yield waiting
        except BaseException as error:  # noqa: BLE001 - handed on into the coroutine
            failure = error


async def _attempt(step: int, work: Coroutine[Any, Any, None]) -> Any:
    return await _cancelled_at(step, work)


async def _until_done(awaitable: Awaitable[Any]) -> bool:
    """Whether the awaitable ended by cancellation."""
    try:
        await awaitable
    except asyncio.CancelledError:
        return True
    return False


@pytest.mark.parametrize("call", ["deliver", "beat", "open"])
async def test_cancellation_at_every_await_leaves_it_usable(receiver: Receiver, call: str) -> None:
    """Cancelled wherever it may wait, each call ends; the next `deliver` delivers the whole batch."""
    sink = receiver.sink
    calls = {"deliver": lambda: sink.deliver(BATCH), "beat": lambda: sink.beat(sample_heartbeat()), "open": sink.open}
    cancelled = 0
    for step in range(200):
        if call == "open":
            await sink.close()
        else:
            await sink.open()
        task = asyncio.get_running_loop().create_task(_attempt(step, calls[call]()))
        was_cancelled = await _until_done(task)
        await sink.deliver(BATCH)
        assert await receiver.received() == IDS
        if not was_cancelled:
            break
        cancelled += 1
    else:
        pytest.fail(f"{call} never came to its end")
    assert cancelled >= 1 or call != "deliver"


async def test_close_without_open_and_twice(receiver: Receiver) -> None:
    """`close` needs no `open`, may be repeated, and the sink can be opened again."""
    await receiver.sink.close()
    await receiver.sink.close()
    await receiver.sink.open()
    await receiver.sink.open()
    await receiver.sink.close()
    await receiver.sink.close()
    await receiver.sink.open()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@those("can_restart")
async def test_a_restarted_receiver_is_found_again(receiver: Receiver) -> None:
    """After the receiver was stopped and started, the same sink delivers on."""
    await receiver.sink.open()
    await receiver.sink.deliver(BATCH[:2])
    await receiver.restart()
    with contextlib.suppress(Retryable):
        await receiver.sink.deliver(BATCH[2:])
    await receiver.sink.deliver(BATCH[2:])
    assert await receiver.received() == IDS


async def test_an_absent_receiver_is_retryable(receiver: Receiver) -> None:
    """With nobody there at all, nothing is lost and nothing else than Retryable is raised."""
    await receiver.sink.open()
    await receiver.stop()
    with pytest.raises(Retryable):
        await receiver.sink.deliver(BATCH)


@those("hears_beats")
async def test_signs_of_life_arrive(receiver: Receiver) -> None:
    """A beat is no alert and disturbs none; the newest one is what the receiver knows."""
    await receiver.sink.open()
    for number in (1, 2):
        await receiver.sink.beat(sample_heartbeat(number=number))
        async with asyncio.timeout(5):
            while (await receiver.beats())[-1:] != [number]:  # noqa: ASYNC110 - no server has an event for it
                await asyncio.sleep(0.02)
        await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


async def test_a_sign_of_life_that_cannot_be_sent_is_for_the_caller_to_count(receiver: Receiver) -> None:
    """With a failing receiver `beat` raises Retryable within the time-out, and alerts go on afterwards."""
    await receiver.sink.open()
    await receiver.fail()
    if receiver.hears_beats:
        with pytest.raises(Retryable):
            await asyncio.wait_for(receiver.sink.beat(sample_heartbeat()), TIMEOUT + 3.0)
    else:
        await receiver.sink.beat(sample_heartbeat())
    await receiver.recover()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@pytest.mark.parametrize("wrong", ["expired", "not yet valid", "of another authority", "for another name"])
@pytest.mark.parametrize("kind", TLS_RECEIVERS.values(), ids=TLS_RECEIVERS)
async def test_a_bad_certificate_gets_nothing_and_loses_nothing(kind: type[TlsReceiver], wrong: str, tmp_path: Path) -> None:
    """Nothing is sent to a server whose certificate does not verify, and nothing lost: with a good one, the same sink delivers."""
    authority = Authority(tmp_path)
    receiver = kind(tmp_path, timeout=3.0, authority=authority, certificate=_bad_certificate(authority, wrong, tmp_path))
    await receiver.start()
    try:
        await receiver.sink.open()
        with pytest.raises(Retryable) as caught:
            await receiver.sink.deliver(BATCH)
        if wrong in ("expired", "not yet valid"):
            assert "this sensor's clock says" in str(caught.value)
        await receiver.present(authority.issue("server"))
        await receiver.sink.deliver(BATCH)
        assert await receiver.received() == IDS
    finally:
        await receiver.sink.close()
        await receiver.stop()


def _bad_certificate(authority: Authority, wrong: str, folder: Path) -> Pair:
    if wrong == "of another authority":
        return Authority(folder, "another").issue("stranger")
    if wrong == "for another name":
        return authority.issue("elsewhere", address="192.0.2.1")
    return authority.issue("untimely", valid_from_hours=-48 if wrong == "expired" else 24)
