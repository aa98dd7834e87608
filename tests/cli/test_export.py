"""`netmote export`: times, files, and mistakes that are answered with what is allowed."""

import asyncio
import json
import subprocess
import sys

import pytest
from manual_clock import ManualClock
from store_samples import T0, one_of_each

from netmote.cli.export import Format, TableName, parse_time
from netmote.store.config import StoreConfig
from netmote.store.export import FORMATS
from netmote.store.export_source import TABLES
from netmote.store.store import Store

SPAN = ("--from", "2023-11-14T00:00:00Z", "--to", "2023-11-15T00:00:00+00:00")


@pytest.fixture
def state_dir(tmp_path):
    """A state directory with one batch of each kind, daemon stopped."""

    async def fill() -> None:
        store = Store(tmp_path / "state", StoreConfig(free_space_floor=0), sensor="edge", clock=ManualClock())
        await store.open()
        await store.append(one_of_each())
        await store.close()

    asyncio.run(fill())
    return tmp_path / "state"


def netmote(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "netmote", "export", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_standard_output_as_json_lines(state_dir):
    """Without --output rows go to standard output, ready for a pipe."""
    outcome = netmote("--table", "devices", "--format", "jsonl", "--state-dir", state_dir, *SPAN)
    assert outcome.returncode == 0, outcome.stderr
    (document,) = map(json.loads, outcome.stdout.splitlines())
    assert (document["device"], document["is_reachable"], document["start_ns"]) == ("core", True, T0)


def test_a_parquet_file_is_whole_or_absent(state_dir, tmp_path):
    """The file appears under its name when it is complete; nothing is left beside it."""
    import pyarrow.parquet as pq

    target = tmp_path / "flows.parquet"
    outcome = netmote("-t", "flows", "-f", "parquet", "-o", target, "--state-dir", state_dir, *SPAN)
    assert outcome.returncode == 0, outcome.stderr
    assert "100 rows of flows" in outcome.stderr
    assert pq.read_table(target).num_rows == 100
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--table", "flow"], "flows"),
        (["--table", "flows", "--format", "xml"], "parquet"),
        (["--table", "flows", "--from", "yesterday"], "RFC 3339"),
        (["--table", "flows", "--from", "2026-11-22T10:00:00"], "RFC 3339"),
        (["--table", "flows", "--from", "now", "--to", "-2h"], "is not before"),
        (["--table", "flows", "--format", "parquet"], "--output"),
    ],
)
def test_mistakes_are_answered_with_what_is_allowed(state_dir, arguments, complaint):
    """A usage error: exit 2, no traceback, and the sentence names the way out."""
    outcome = netmote(*arguments, "--state-dir", state_dir)
    assert outcome.returncode == 2
    assert complaint in " ".join(outcome.stderr.split())
    assert "Traceback" not in outcome.stderr


def test_a_missing_state_directory_is_said(tmp_path):
    """One clear sentence, exit 1."""
    outcome = netmote("--table", "flows", "--state-dir", tmp_path / "nowhere")
    assert outcome.returncode == 1
    assert "--state-dir" in outcome.stderr


def test_times():
    """RFC 3339 with any offset, a span ago, now; microseconds are kept."""
    now = T0
    assert parse_time("now", now) == now
    assert parse_time("-2h", now) == now - 7200 * 10**9
    assert parse_time("2023-11-14T22:13:20Z", now) == T0
    assert parse_time("2023-11-14T23:13:20.000001+01:00", now) == T0 + 1000


def test_the_words_are_those_of_the_store():
    """The command's choices and the store's tables cannot drift apart."""
    assert [each.value for each in TableName] == list(TABLES)
    assert [each.value for each in Format] == list(FORMATS)
