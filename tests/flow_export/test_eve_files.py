"""The rotating file and the exporter over it: whole lines, bounded files, nothing twice, nothing lost while the disk refuses."""

import asyncio
import json
from pathlib import Path

import pytest
from daemon_legs import until
from exported_flows import flow_records, many_flows
from manual_clock import ManualClock

from netmote.errors import Retryable
from netmote.flow_export.eve.config import EveConfig
from netmote.flow_export.eve.exporter import EveExporter
from netmote.flow_export.eve.rotating_file import RotatingFile
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import ExportTally, chunks_of

BLOCK = b'{"n":1}\n' * 100


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_rotation_bounds_size_and_number(tmp_path: Path) -> None:
    """No file outgrows its bound, no more files than allowed are kept, the newest lines are there, and all are whole."""
    file = RotatingFile(tmp_path / "sub" / "eve.json", max_size=3 * len(BLOCK), max_files=3)
    for number in range(20):
        file.write(BLOCK.replace(b"1", b"%d" % (number % 10)))
    file.close()
    file.close()
    kept = sorted(path.name for path in (tmp_path / "sub").iterdir())
    assert kept == ["eve.json", "eve.json.1", "eve.json.2"]
    assert file.rotations == 6
    for name in kept:
        assert (tmp_path / "sub" / name).stat().st_size <= 3 * len(BLOCK)
    newest = [
        json.loads(line)["n"] for name in ("eve.json.2", "eve.json.1", "eve.json") for line in lines(tmp_path / "sub" / name)
    ]
    assert newest == [number % 10 for number in range(12, 20) for _ in range(100)]
    assert (tmp_path / "sub" / "eve.json").stat().st_mode & 0o777 == 0o640


def test_one_file_is_enough(tmp_path: Path) -> None:
    """With one file allowed, the full one gives way to the new one."""
    file = RotatingFile(tmp_path / "eve.json", max_size=len(BLOCK), max_files=1)
    file.write(BLOCK)
    file.write(b"{}\n")
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["eve.json"]
    assert lines(tmp_path / "eve.json") == [b"{}\n"]


def test_a_torn_line_is_removed(tmp_path: Path) -> None:
    """What a power cut left of a line goes when the file is opened again; the lines before it stay."""
    path = tmp_path / "eve.json"
    path.write_bytes(b'{"a":1}\n{"b":')
    file = RotatingFile(path, max_size=10**6, max_files=2)
    file.write(b'{"c":3}\n')
    file.close()
    assert lines(path) == [b'{"a":1}\n', b'{"c":3}\n']
    path.write_bytes(b'{"torn"')
    file.write(b"{}\n")
    file.close()
    assert lines(path) == [b"{}\n"]


def test_somebody_else_may_rotate(tmp_path: Path) -> None:
    """A file that was moved or removed is begun anew under its name."""
    path = tmp_path / "eve.json"
    file = RotatingFile(path, max_size=10**6, max_files=2)
    file.write(b"1\n")
    path.rename(tmp_path / "moved")
    file.write(b"2\n")
    path.unlink()
    file.write(b"3\n")
    file.close()
    assert lines(tmp_path / "moved") == [b"1\n"]
    assert lines(path) == [b"3\n"]


def test_a_refused_block_leaves_nothing(tmp_path: Path) -> None:
    """Where the disk takes only part of a block (here: a limit of the file's size), no part of it stays."""
    import resource
    import signal

    path = tmp_path / "eve.json"
    file = RotatingFile(path, max_size=10**6, max_files=2)
    file.write(b"1\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        with pytest.raises(OSError, match="large"):
            file.write(BLOCK)
        assert lines(path) == [b"1\n"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    file.write(b"2\n")
    file.close()
    assert lines(path) == [b"1\n", b"2\n"]


def process(directory: Path, **settings: object) -> ExportingProcess:
    config = EveConfig.model_validate({"type": "eve", **settings})
    exporter = EveExporter(config, clock=ManualClock(), state_dir=directory)
    return ExportingProcess(exporter, queue_limit=config.queue_size, tally=ExportTally())


async def test_flows_become_lines(tmp_path: Path) -> None:
    """Every flow is a line of the file, relative to the state directory, with the clock's time of logging."""
    records = flow_records()
    work = process(tmp_path)
    work.put(chunks_of("eth0", records))
    await work.drain(5.0)
    events = [json.loads(line) for line in lines(tmp_path / "eve.json")]
    assert [event["flow_id"] for event in events] == records["flow_id"].tolist()
    assert {event["timestamp"] for event in events} == {"2023-11-14T22:13:20.000000+0000"}
    assert work.tally.flows == len(records)
    assert work.tally.octets == (tmp_path / "eve.json").stat().st_size


async def test_flows_wait_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    """A path that is no file refuses with its reason; the flows are written when it is one."""
    (tmp_path / "eve.json").mkdir()
    work = process(tmp_path)
    work.put(chunks_of("eth0", many_flows(10)))
    with pytest.raises(Retryable, match=r"eve\.json"):
        await work.run()
    (tmp_path / "eve.json").rmdir()
    await work.drain(5.0)
    assert len(lines(tmp_path / "eve.json")) == 10
    assert not work.tally.lost


async def test_a_nearly_full_disk_is_left_to_the_alerts(tmp_path: Path) -> None:
    """Below the free space floor nothing is written."""
    config = EveConfig(type="eve")
    exporter = EveExporter(config, clock=ManualClock(), state_dir=tmp_path, free_space_floor=2**62)
    work = ExportingProcess(exporter, queue_limit=1000, tally=ExportTally())
    work.put(chunks_of("eth0", many_flows(10)))
    with pytest.raises(Retryable, match="nearly full"):
        await work.run()
    assert lines(tmp_path / "eve.json") == []
    assert work.queued == 10


async def test_cancelled_at_any_moment_each_line_is_written_once(tmp_path: Path) -> None:
    """A run that is cancelled again and again, also while a thread writes, leaves neither gaps nor doubles."""
    work = process(tmp_path, queue_size=100_000)
    work.put(chunks_of("eth0", many_flows(20_000)))
    for number in range(30):
        run = asyncio.create_task(work.run())
        await asyncio.sleep(number * 0.0007)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    run = asyncio.create_task(work.run())
    await until(lambda: work.tally.flows == 20_000)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert [json.loads(line)["flow_id"] for line in lines(tmp_path / "eve.json")] == list(range(1, 20_001))
