"""What every sink must do, run over each of them with a real receiver."""

import asyncio
import contextlib
import json
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Coroutine
from pathlib import Path
from types import coroutine
from typing import Any

import pytest
from sink_alerts import committed_alert

from collector import Collector
from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.sink import JournalSink
from netmote.sinks.sink import Sink
from netmote.sinks.webhook.config import WebhookConfig
from netmote.sinks.webhook.sink import WebhookSink

TIMEOUT = 0.6
BATCH = [committed_alert(number) for number in range(1, 6)]
IDS = [committed.alert.event_id for committed in BATCH]


class Receiver(ABC):
    """A sink and the real thing it delivers to, which can be told how to behave.

    Those that can also have `refuse` (rows are refused for ever) and `restart`.
    """

    sink: Sink

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    async def received(self) -> list[str]:
        """Event ids in order of arrival, duplicates dropped."""

    @abstractmethod
    async def hang(self) -> None:
        """Accept connections or bytes, and answer nothing."""

    @abstractmethod
    async def recover(self) -> None:
        """Work again."""

    @abstractmethod
    async def fail(self) -> None:
        """Accept nothing, but a later try may work."""

    @abstractmethod
    async def be_slow(self) -> None:
        """Accept within the time-out, but late."""


class LocalReceiver(Receiver):
    """One that is a buffer of the kernel: full, it hangs; read, it works again."""

    @abstractmethod
    def collect(self) -> None:
        """Read what has come in, which makes room."""

    async def fail(self) -> None:
        await self.hang()

    async def be_slow(self) -> None:
        await self.hang()
        asyncio.get_running_loop().call_later(TIMEOUT / 3, self.collect)

    async def recover(self) -> None:
        self.collect()


class WebhookReceiver(Receiver):
    def __init__(self, folder: Path) -> None:
        self.collector = Collector(folder / "collector.db")

    async def start(self) -> None:
        await self.collector.start()
        self.sink = WebhookSink(WebhookConfig(type="webhook", url=self.collector.url, timeout=TIMEOUT))

    async def stop(self) -> None:
        await self.collector.stop()

    async def restart(self) -> None:
        await self.collector.stop()
        await self.collector.start()

    async def received(self) -> list[str]:
        return self.collector.ids

    async def hang(self) -> None:
        self.collector.behave(delay=30.0, times=-1)

    async def be_slow(self) -> None:
        self.collector.behave(delay=TIMEOUT / 3, times=-1)

    async def recover(self) -> None:
        self.collector.behave(times=0)

    async def refuse(self, *, ids: list[str] | None = None) -> None:
        if ids is None:
            self.collector.behave(status=400, body="no", times=-1)
        else:
            self.collector.behave(reject=ids, times=-1)

    async def fail(self) -> None:
        self.collector.behave(status=503, times=-1)


class StandardOutput(LocalReceiver):
    """The journal sink without a journal: lines into a pipe that somebody reads, or does not."""

    def __init__(self, _folder: Path) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._lines = b""

    async def start(self) -> None:
        config = JournalConfig(type="journal", timeout=TIMEOUT)
        self.sink = JournalSink(config, environ={}, descriptor=self._writer)

    async def stop(self) -> None:
        for descriptor in (self._reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def collect(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._reader, 65_536):
                self._lines += part

    async def received(self) -> list[str]:
        self.collect()
        whole = []
        for line in self._lines.splitlines():
            with contextlib.suppress(ValueError):  # a torn line, or what filled the pipe
                document = json.loads(line)
                whole.append(document["metadata"]["uid"])
        return list(dict.fromkeys(whole))

    async def hang(self) -> None:
        os.set_blocking(self._writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self._writer, b"x" * 4_095 + b"\n")
        os.set_blocking(self._writer, True)


class Journal(LocalReceiver):
    """The journal sink under systemd: datagrams to a real socket."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.socket"
        self._null = os.open("/dev/null", os.O_WRONLY)
        self._entries: list[bytes] = []

    async def start(self) -> None:
        await self._listen()
        status = os.fstat(self._null)
        self.sink = JournalSink(
            JournalConfig(type="journal", timeout=TIMEOUT),
            environ={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
            socket_path=self._path,
            descriptor=self._null,
        )

    async def _listen(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)

    async def stop(self) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def restart(self) -> None:
        self.collect()
        await self.stop()
        await self._listen()

    async def received(self) -> list[str]:
        self.collect()
        ids = []
        for entry in self._entries:
            fields = dict(line.split(b"=", 1) for line in entry.splitlines() if b"=" in line)
            if b"NETMOTE_EVENT_ID" in fields:
                ids.append(fields[b"NETMOTE_EVENT_ID"].decode())
        return list(dict.fromkeys(ids))

    async def hang(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"FILLER=1\n", str(self._path))

    def collect(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._entries.append(self._socket.recv(1 << 20))


RECEIVERS = {"webhook": WebhookReceiver, "stdout": StandardOutput, "journal": Journal}
can_refuse = pytest.mark.parametrize("receiver", ["webhook"], indirect=True)
can_restart = pytest.mark.parametrize("receiver", ["webhook", "journal"], indirect=True)


@pytest.fixture(params=RECEIVERS)
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """Each sink with its receiver, started."""
    made = RECEIVERS[request.param](tmp_path)
    await made.start()
    try:
        yield made
    finally:
        await made.sink.close()
        await made.stop()


async def test_success(receiver: Any) -> None:
    """Once `deliver` returns, the receiver has every row, in order."""
    await receiver.sink.open()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


async def test_an_empty_batch_is_nothing(receiver: Any) -> None:
    """Nothing to deliver is not an error and no message."""
    await receiver.sink.open()
    await receiver.sink.deliver([])
    assert await receiver.received() == []


async def test_retryable_and_the_same_batch_again(receiver: Any) -> None:
    """A failing receiver raises Retryable; the same batch later arrives whole, each row once by its id."""
    await receiver.sink.open()
    await receiver.fail()
    with pytest.raises(Retryable):
        await receiver.sink.deliver(BATCH)
    await receiver.recover()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@can_refuse
async def test_permanent(receiver: Any) -> None:
    """A batch refused for ever raises Permanent, and the sink goes on."""
    await receiver.sink.open()
    await receiver.refuse()
    with pytest.raises(Permanent):
        await receiver.sink.deliver(BATCH)
    await receiver.recover()
    await receiver.sink.deliver(BATCH)
    assert await receiver.received() == IDS


@can_refuse
async def test_partial(receiver: Any) -> None:
    """Rows refused for ever are named by position; all others are accepted."""
    await receiver.sink.open()
    await receiver.refuse(ids=[IDS[1], IDS[3]])
    with pytest.raises(PartialDelivery) as caught:
        await receiver.sink.deliver(BATCH)
    assert caught.value.rejected == {1: "poison", 3: "poison"}
    assert await receiver.received() == [IDS[0], IDS[2], IDS[4]]


async def test_a_receiver_that_hangs_is_left_within_the_timeout(receiver: Any) -> None:
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
    assert TIMEOUT * 0.9 <= loop.time() - began < TIMEOUT + 3.0
    assert turns > 10


async def test_a_slow_receiver_is_waited_for(receiver: Any) -> None:
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


async def test_cancellation_at_every_await_leaves_it_usable(receiver: Any) -> None:
    """Cancelled wherever it may wait, `deliver` ends; the next one delivers the whole batch."""
    await receiver.sink.open()
    cancelled = 0
    for step in range(200):
        task = asyncio.get_running_loop().create_task(_attempt(step, receiver.sink.deliver(BATCH)))
        was_cancelled = await _until_done(task)
        await receiver.sink.deliver(BATCH)
        assert await receiver.received() == IDS
        if not was_cancelled:
            break
        cancelled += 1
    else:
        pytest.fail("deliver never came to its end")
    assert cancelled >= 1


async def test_close_without_open_and_twice(receiver: Any) -> None:
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


@can_restart
async def test_a_restarted_receiver_is_found_again(receiver: Any) -> None:
    """After the receiver was stopped and started, the same sink delivers on."""
    await receiver.sink.open()
    await receiver.sink.deliver(BATCH[:2])
    await receiver.restart()
    with contextlib.suppress(Retryable):
        await receiver.sink.deliver(BATCH[2:])
    await receiver.sink.deliver(BATCH[2:])
    assert await receiver.received() == IDS


async def test_an_absent_receiver_is_retryable(receiver: Any) -> None:
    """With nobody there at all, nothing is lost and nothing else than Retryable is raised."""
    await receiver.sink.open()
    await receiver.stop()
    with pytest.raises(Retryable):
        await receiver.sink.deliver(BATCH)
