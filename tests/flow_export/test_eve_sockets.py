"""EVE lines into Unix sockets: each line where somebody listens, waiting where nobody does."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from daemon_legs import until
from exported_flows import many_flows
from manual_clock import ManualClock

from netmote.errors import Retryable
from netmote.flow_export.eve.config import EveConfig
from netmote.flow_export.eve.exporter import EveExporter
from netmote.flow_export.eve.line_socket import LineSocket
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import ExportTally, chunks_of


def process(directory: Path, filetype: str) -> ExportingProcess:
    config = EveConfig.model_validate({"type": "eve", "filetype": filetype, "path": "eve.sock"})
    exporter = EveExporter(config, clock=ManualClock(), state_dir=directory, free_space_floor=2**62)
    return ExportingProcess(exporter, queue_limit=10_000, tally=ExportTally())


async def test_a_stream_is_lines(tmp_path: Path) -> None:
    """The listener reads every flow, a line each; the disk's free space does not matter; after the listener's end flows wait."""
    read: list[bytes] = []
    done = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            read.append(line)
            if len(read) == 2_500:
                done.set()
        writer.close()

    server = await asyncio.start_unix_server(listen, tmp_path / "eve.sock")
    work = process(tmp_path, "unix_stream")
    work.put(chunks_of("eth0", many_flows(2_500)))
    run = asyncio.create_task(work.run())
    async with asyncio.timeout(10):
        await done.wait()
    await until(lambda: work.tally.flows == 2_500)
    assert [json.loads(line)["flow_id"] for line in read] == list(range(1, 2_501))
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    server.close()
    (tmp_path / "eve.sock").unlink(missing_ok=True)
    work.put(chunks_of("eth0", many_flows(3)))
    with pytest.raises(Retryable, match=r"eve\.sock"):
        await work.run()
    assert work.queued == 3


async def test_a_datagram_is_a_line(tmp_path: Path) -> None:
    """Each datagram is one flow; a listener that comes late gets what waited, once."""
    work = process(tmp_path, "unix_dgram")
    work.put(chunks_of("eth0", many_flows(50)))
    with pytest.raises(Retryable):
        await work.run()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "eve.sock"))
        listener.setblocking(False)
        run = asyncio.create_task(work.run())
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            ids = [json.loads(await loop.sock_recv(listener, 65_536))["flow_id"] for _ in range(50)]
        await until(lambda: work.tally.flows == 50)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert ids == list(range(1, 51))
        with pytest.raises(BlockingIOError):
            listener.recv(1)


def test_lines_already_sent_are_not_sent_again(tmp_path: Path) -> None:
    """A listener that stops in the middle of a block, and another that takes its place: each line once."""
    path = tmp_path / "s"
    block = b"".join(b"%d\n" % number for number in range(2_000))
    lines = LineSocket(path, "unix_dgram")
    read: list[bytes] = []
    first = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.bind(str(path))
    first.setblocking(False)
    with pytest.raises(OSError):  # the listener reads nothing: its queue is full, and then time is up
        lines.write(block)
    while True:
        try:
            read.append(first.recv(100))
        except BlockingIOError:
            break
    first.close()
    path.unlink()
    assert 0 < len(read) < 2_000
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(str(path))
        second.settimeout(5)
        with ThreadPoolExecutor(1) as listener:
            rest = listener.submit(lambda: [second.recv(100) for _ in range(2_000 - len(read))])
            lines.write(block)
            read += rest.result()
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(1)
    assert b"".join(read) == block
    lines.close()
    lines.close()
