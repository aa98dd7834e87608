"""One connection of a sink with a protocol of its own: what it notices, and that it always ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from netmote.sinks.byte_stream import ByteStream
from netmote.sinks.destination import Destination

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[ByteStream]:
    """A stream to a listener that does this."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        stream = await ByteStream.connect(Destination("127.0.0.1", server.sockets[0].getsockname()[1]), None)
        try:
            yield stream
        finally:
            stream.abort()
            await asyncio.sleep(0.01)  # both ends are closed by the loop, not by abort itself


async def test_what_was_taken_was_read_by_the_other_machine() -> None:
    """`wait_taken` returns when nothing is under way any more, not before."""
    heard = bytearray()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65_536):
            heard.extend(part)
        writer.close()

    async with connected(read) as stream:
        await stream.write(b"x" * 3_000_000)
        async with asyncio.timeout(10):
            await stream.wait_taken()
        await asyncio.sleep(0.05)  # from its kernel to its program
        assert len(heard) == 3_000_000


async def test_nobody_takes_it() -> None:
    """Full buffers are waited for as long as the caller wants."""
    released = asyncio.Event()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await released.wait()
        writer.close()

    async with connected(never) as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(overfill(stream), 0.3)
        released.set()


async def overfill(stream: ByteStream) -> None:
    await stream.write(b"x" * 30_000_000)
    await stream.wait_taken()


async def test_the_end_of_the_connection_is_noticed() -> None:
    """By reading, and before anything more is written into it."""

    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async with connected(leave) as stream:
        assert await stream.read() == b"bye"
        with pytest.raises(ConnectionResetError, match="ended the connection"):
            await stream.read()
        assert not stream.is_usable
        with pytest.raises(ConnectionResetError):
            await stream.write(b"x")
        with pytest.raises(ConnectionResetError):
            await stream.wait_taken()


async def test_it_ends_in_order_and_at_once() -> None:
    """`close` lets the other side read to the end; `abort` after it is nothing."""
    ended = asyncio.Event()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    async with connected(read) as stream:
        await stream.write(b"x")
        await stream.close()
        await asyncio.wait_for(ended.wait(), 2)
        assert not stream.is_usable
