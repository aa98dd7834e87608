"""The file sink: what is in the file, how much of it is kept, and what a full or frozen disk does."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from heartbeats import sample_heartbeat
from pydantic import ValidationError
from sink_alerts import committed_alert

from netmote.errors import Retryable
from netmote.sinks.file.config import FileConfig
from netmote.sinks.file.line_file import LineFile
from netmote.sinks.file.sink import FileSink

BATCH = [committed_alert(number) for number in range(1, 4)]


def sink(path: Path, **fields: object) -> FileSink:
    return FileSink(FileConfig(type="file", path=path, **fields))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("format", "key"), [("cloudevents", "specversion"), ("ocsf", "class_uid"), ("eve", "event_type"), ("ecs", "@timestamp")]
)
async def test_one_line_an_alert_in_the_chosen_format(tmp_path: Path, format: str, key: str) -> None:  # noqa: A002
    """JSON lines in order, each with the id of its revision."""
    path = tmp_path / "deep" / "a.jsonl"
    made = sink(path, format=format)
    await made.deliver(BATCH)
    await made.close()
    assert all(key in line for line in lines(path))
    for line, row in zip(path.read_text().splitlines(), BATCH, strict=True):
        assert row.alert.event_id in line


@pytest.mark.parametrize(("format", "count"), [("cloudevents", 1), ("ocsf", 0), ("eve", 0), ("ecs", 0)])
async def test_signs_of_life_are_cloudevents(tmp_path: Path, format: str, count: int) -> None:  # noqa: A002
    """A reader of the other formats would not know what to make of one."""
    made = sink(tmp_path / "a.jsonl", format=format)
    await made.beat(sample_heartbeat())
    await made.deliver(BATCH)
    await made.close()
    assert len(lines(tmp_path / "a.jsonl")) == count + 3


def line_file(path: Path, *, max_size: int = 100, max_files: int = 3) -> LineFile:
    return LineFile(path, max_size=max_size, max_files=max_files, is_synced=True)


def test_the_total_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    """Never more than `max_files` of `max_size`, and no line in two files."""
    file = line_file(tmp_path / "a")
    for number in range(60):
        file.write(b"%09d\n" % number)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 300
    file.close()
    kept = b"".join((tmp_path / name).read_bytes() for name in ("a.2", "a.1", "a")).split()
    assert kept == [b"%09d" % number for number in range(30, 60)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.1", "a.2"]


def test_half_a_line_of_a_killed_writer_is_removed(tmp_path: Path) -> None:
    """It was never reported as written, and would spoil the next line."""
    path = tmp_path / "a"
    path.write_bytes(b'{"whole": 1}\n{"ha')
    file = line_file(path)
    file.write(b'{"next": 2}\n')
    file.close()
    assert path.read_bytes() == b'{"whole": 1}\n{"next": 2}\n'


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe without a reader would hang, a link could lead anywhere, and two writers cut each other's lines."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        line_file(tmp_path / "pipe").open()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OSError):
        line_file(tmp_path / "link").open()
    first = line_file(tmp_path / "a")
    first.open()
    with pytest.raises(OSError, match="another process writes it"):
        line_file(tmp_path / "a").open()
    first.close()


def test_somebody_else_may_rotate_it(tmp_path: Path) -> None:
    """Logrotate moves the file away: the next block begins a new one, and none is lost."""
    file = line_file(tmp_path / "a")
    file.write(b"one\n")
    (tmp_path / "a").rename(tmp_path / "a-20261122")
    file.write(b"two\n")
    file.close()
    assert (tmp_path / "a-20261122").read_bytes() == b"one\n"
    assert (tmp_path / "a").read_bytes() == b"two\n"


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 200 bytes: the kernel writes what fits and refuses the rest, as a full disk does.

    Only around what is tested: the report of the tests is a file of this process as well.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_block_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """All of a batch or none: a part of it would come again with the whole."""
    file = line_file(tmp_path / "a", max_size=10_000)
    with small_files():
        file.write(b"x" * 149 + b"\n")
        with pytest.raises(OSError):
            file.write(b"y" * 99 + b"\n")
        assert (tmp_path / "a").read_bytes() == b"x" * 149 + b"\n"
        file.write(b"z" * 9 + b"\n")
        file.close()
    assert (tmp_path / "a").stat().st_size == 160


async def test_a_full_disk_is_retryable(tmp_path: Path) -> None:
    """Said in the system's words, with the path."""
    made = sink(tmp_path / "a.jsonl")
    with small_files():
        with pytest.raises(Retryable, match=r"a\.jsonl"):
            await made.deliver(BATCH)
        await made.close()


def test_what_was_reported_is_in_the_file_after_kill_9(tmp_path: Path) -> None:
    """Whole lines only, and every one that was reported."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom netmote.sinks.file.line_file import LineFile\n"
        "file = LineFile(Path(sys.argv[1]), max_size=10**9, max_files=1, is_synced=False)\n"
        "number = 0\nwhile True:\n"
        "    file.write(b'%012d\\n' % number * 50)\n    print(number, flush=True)\n    number += 1\n"
    )
    path = tmp_path / "a"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(50):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    reported = 50 + len(process.communicate()[0].splitlines())
    file = line_file(path)
    file.open()
    file.close()
    found = path.read_bytes().splitlines()
    assert {len(line) for line in found} == {12}
    assert len(found) >= reported * 50


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be frozen."""
    if shutil.which("fsfreeze") is None or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs fsfreeze and mkfs.ext4")
    image, folder = tmp_path / "image", tmp_path / "mount"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True, timeout=30)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, timeout=30, capture_output=True).returncode:
        pytest.skip("no loop devices here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


@contextlib.contextmanager
def frozen(mount: Path) -> Iterator[None]:
    """Every write waits."""
    subprocess.run(["fsfreeze", "-f", str(mount)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", str(mount)], check=True, timeout=30)


@pytest.mark.root
async def test_a_frozen_file_system_holds_neither_loop_nor_sink(mount: Path) -> None:
    """Within the time-out, and when it thaws the sink goes on: one thread waits, however often it is tried."""
    made = sink(mount / "a.jsonl", timeout=0.3)
    await made.deliver(BATCH[:1])
    with frozen(mount):
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(3):
            with pytest.raises(Retryable, match="has not answered"):
                await made.deliver(BATCH[1:])
        assert loop.time() - began < 3.0
    await made.deliver(BATCH[1:])
    await made.close()
    assert {line["id"] for line in lines(mount / "a.jsonl")} == {row.alert.event_id for row in BATCH}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"path": "alerts.jsonl"}, "absolute"),
        ({"path": "/x/a", "max_size": "1kB"}, "1000000"),
        ({"path": "/x/a", "format": "cef"}, "cloudevents"),
    ],
)
def test_refused(fields: dict[str, object], word: str) -> None:
    """Each with a sentence that says what is allowed."""
    with pytest.raises(ValidationError, match=word):
        FileConfig(type="file", **fields)
