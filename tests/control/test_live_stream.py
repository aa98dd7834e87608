"""Live streams: whole or not at all, bounded in readers and buffers, over the real socket."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from daemon_legs import until

from netmote.control.client import CommandRefusedError, follow
from netmote.control.live_stream import LiveStream, Subscription, TooManyReaders
from netmote.control.protocol import encode, socket_path
from netmote.control.server import ControlServer


def stream_of(*, readers: int = 4, limit: int = 10, dropped: Callable[[], None] = lambda: None) -> LiveStream:
    return LiveStream(("alerts", "scores"), readers=readers, limit=limit, dropped=dropped)


async def test_a_reader_gets_its_kinds_in_order() -> None:
    """What it did not ask for never comes; what it asked for comes in the order of publication."""
    live = stream_of()
    reader = live.subscribe(["alerts"])
    for number in range(3):
        live.publish("alerts", number, 1)
        live.publish("scores", -number, 1)
    assert [await reader.take() for _ in range(3)] == [("alerts", 0), ("alerts", 1), ("alerts", 2)]


async def test_without_readers_nothing_is_kept() -> None:
    """Publishing into the void holds no reference to what was published."""
    live = stream_of()
    live.publish("alerts", object(), 1)
    reader = live.subscribe(["alerts"])
    live.unsubscribe(reader)
    live.unsubscribe(reader)
    live.publish("alerts", object(), 1)
    assert (len(live), len(reader._waiting)) == (0, 0)


async def test_a_slow_reader_is_dropped_whole_and_counted_once() -> None:
    """At its bound its buffer is emptied and its end told; the other reader loses nothing."""
    dropped: list[None] = []
    live = stream_of(limit=5, dropped=lambda: dropped.append(None))
    slow, quick = live.subscribe(["alerts"]), live.subscribe(["alerts"])
    for number in range(20):
        live.publish("alerts", number, 2)
        assert await quick.take() == ("alerts", number)
    assert await slow.take() is None
    assert slow.is_dropped
    assert len(dropped) == 1


async def test_one_item_larger_than_the_bound_passes() -> None:
    """A batch that exists anyway may be read, even if it alone is beyond the bound; the next then has no room."""
    live = stream_of(limit=5)
    reader = live.subscribe(["alerts"])
    live.publish("alerts", "large", 1_000)
    assert await reader.take() == ("alerts", "large")


def test_readers_and_kinds_are_bounded() -> None:
    """One more reader than permitted, or a kind that does not exist, is refused in words."""
    live = stream_of(readers=1)
    with pytest.raises(ValueError, match="weather cannot be followed; known: alerts, scores"):
        live.subscribe(["alerts", "weather"])
    live.subscribe(["alerts"])
    with pytest.raises(TooManyReaders):
        live.subscribe(["alerts"])


class Numbers:
    """Lines of a subscription's numbers."""

    def __init__(self, live: LiveStream, subscription: Subscription) -> None:
        self._live, self._subscription = live, subscription

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (taken := await self._subscription.take()) is not None:
            yield encode({"kind": taken[0], "item": taken[1]})

    async def aclose(self) -> None:
        self._live.unsubscribe(self._subscription)


class Served:
    """A control server with one stream, and readers in threads as the command line is one."""

    def __init__(self, state_dir: Path, live: LiveStream) -> None:
        self.state_dir, self.live = state_dir, live
        self.server = ControlServer(
            socket_path(state_dir),
            {},
            streams={"tail": lambda request: Numbers(live, live.subscribe(request["kinds"]))},
            idle_seconds=0.5,
        )

    def read(self, count: int) -> tuple[threading.Thread, list[Any]]:
        """Read this many bytes' worth of lines in a thread."""
        read: list[Any] = []

        def run() -> None:
            try:
                for block in follow(self.state_dir, "tail", kinds=["alerts"]):
                    read.append(block)
                    if b"".join(read).count(b"\n") >= count:
                        return
                read.append(None)
            except CommandRefusedError as error:
                read.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread, read


@pytest.fixture
async def served(tmp_path: Path):
    served = Served(tmp_path, stream_of(readers=1, limit=1_000))
    await served.server.open()
    yield served
    await served.server.close()


async def test_over_the_socket(served: Served) -> None:
    """Lines arrive while they are published; a reader that leaves is forgotten; one too many is told so."""
    thread, read = served.read(2)
    await until(lambda: len(served.live) == 1)
    refused, said = served.read(1)
    await asyncio.to_thread(refused.join)
    assert "1 readers follow already" in str(said[0])
    served.live.publish("alerts", 1, 1)
    served.live.publish("alerts", 2, 1)
    await asyncio.to_thread(thread.join)
    assert b"".join(read) == b'{"kind":"alerts","item":1}\n{"kind":"alerts","item":2}\n'
    await until(lambda: len(served.live) == 0)


async def test_a_wrong_kind_is_refused_and_commands_go_on(served: Served) -> None:
    """The refusal is an answer like any other, on a connection that stays."""
    reader, writer = await asyncio.open_unix_connection(str(socket_path(served.state_dir)))
    for _ in range(2):
        writer.write(encode({"command": "tail", "kinds": ["weather"]}))
        assert b"cannot be followed" in await reader.readline()
    writer.write(encode({"command": "tail"}))
    assert b"kinds is missing" in await reader.readline()
    writer.close()


async def test_a_peer_that_reads_nothing_is_hung_up_on(served: Served) -> None:
    """Its socket fills, then its buffer; it is given up and its place is free again."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await asyncio.to_thread(connection.connect, str(socket_path(served.state_dir)))
        connection.sendall(encode({"command": "tail", "kinds": ["alerts"]}))
        await until(lambda: len(served.live) == 1)
        served.live.publish("alerts", "x" * 4_000_000, 1)
        await until(lambda: len(served.live) == 0)


async def test_the_daemons_end_is_the_streams_end(served: Served) -> None:
    """A server that closes ends its streams; the reader sees an end, no error."""
    thread, read = served.read(5)
    await until(lambda: len(served.live) == 1)
    served.live.publish("alerts", 1, 1)
    await until(lambda: bool(read))
    await served.server.close()
    await asyncio.to_thread(thread.join)
    assert read[-1] is None
    await until(lambda: len(served.live) == 0)
