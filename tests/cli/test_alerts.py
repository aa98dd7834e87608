"""`netmote alerts`: from the ledger, explained, and silenced with and without a daemon."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from manual_clock import ManualClock
from sample_alert import sample_alert
from typer.testing import CliRunner

from netmote.alerts.alert import Alert, AlertState
from netmote.cli.main import app
from netmote.store.config import StoreConfig
from netmote.store.store import Store

runner = CliRunner()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    fill(tmp_path, [sample_alert(1), sample_alert(2), sample_alert(2, revision=2, state=AlertState.RESOLVED)])
    return tmp_path


def fill(state_dir: Path, alerts: Sequence[Alert]) -> None:
    async def commit() -> None:
        store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock())
        await store.open()
        await store.commit(alerts, None)
        await store.close()

    asyncio.run(commit())


def netmote(state_dir: Path, *arguments: str, code: int = 0) -> str:
    result = runner.invoke(app, ["alerts", *arguments, "--state-dir", str(state_dir)], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


def test_list(state_dir: Path) -> None:
    """The newest first, one line each with its title; as JSON one document a line."""
    shown = netmote(state_dir, "list")
    assert shown.count("192.0.2.7 tried 480 ports of one host") == 2
    records = [json.loads(line) for line in netmote(state_dir, "list", "--json").splitlines()]
    assert [record["state"] for record in records] == ["resolved", "firing"]
    assert len([json.loads(line) for line in netmote(state_dir, "list", "--json", "--state", "firing").splitlines()]) == 1
    assert netmote(state_dir, "list", "--since", "1h") == "no alerts\n"


@pytest.mark.parametrize(("option", "value"), [("--state", "pending"), ("--since", "yesterday")])
def test_list_refuses_what_it_does_not_know(state_dir: Path, option: str, value: str) -> None:
    """A wrong option value is named with what is allowed."""
    assert option in netmote(state_dir, "list", option, value, code=2)


def test_show_explains(state_dir: Path) -> None:
    """What, why, on what evidence, how good the data was, and what to do about it."""
    shown = netmote(state_dir, "show", sample_alert(1).alert_id)
    for part in ("tried 480 ports", "warning, firing", "T1046", "max_ports_per_dst", "480", "+40.0", "quality good", "--for 2h"):
        assert part in shown, part
    resolved = netmote(state_dir, "show", sample_alert(2).alert_id)
    assert "resolved 2023-" in resolved
    assert "held 2 times" in resolved
    revisions = [json.loads(line) for line in netmote(state_dir, "show", sample_alert(2).alert_id, "--json").splitlines()]
    assert [each["revision"] for each in revisions] == [1, 2]


def test_show_wants_one_alert(state_dir: Path) -> None:
    """An unknown beginning of an id, and one of several alerts, are refused."""
    assert "no alert whose id begins with 'ffff'" in netmote(state_dir, "show", "ffff", code=1)
    assert "is the beginning of 2 alerts" in netmote(state_dir, "show", "0000", code=1)


def test_silence_without_a_daemon(state_dir: Path) -> None:
    """By an alert's id, by rule and by entity; listed until ended."""
    first = json.loads(netmote(state_dir, "silence", sample_alert(1).alert_id, "--reason", "ours", "--json"))["silence_id"]
    netmote(state_dir, "silence", "--rule", "syn_flood", "--for", "30m", "--reason", "a test")
    listed = [json.loads(line) for line in netmote(state_dir, "silences", "--json").splitlines()]
    assert [(each["rule"], each["entity"], each["reason"]) for each in listed] == [
        ("port_scan_vertical", "host:192.0.2.7", "ours"),
        ("syn_flood", None, "a test"),
    ]
    netmote(state_dir, "unsilence", first)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--reason", "x"), "names a rule, an entity, or both"),
        (("--rule", "a", "--reason", " "), "needs a reason"),
        (("--rule", "a", "--reason", "x", "--for", "400d"), "at most 366 days"),
        (("--entity", "printer:1", "--reason", "x"), "is not an entity"),
    ],
)
def test_silence_refuses_nonsense(state_dir: Path, arguments: tuple[str, ...], said: str) -> None:
    """A silence without an aim, a reason, a bound or a known entity is refused in words."""
    assert said in netmote(state_dir, "silence", *arguments, code=1)


def test_without_a_ledger(tmp_path: Path) -> None:
    """A directory without a ledger is named."""
    assert str(tmp_path) in netmote(tmp_path, "list", code=1)
    assert not list(tmp_path.iterdir())


def test_resend(state_dir: Path) -> None:
    """Numbers or a time, a sink or all; without a daemon it waits in the ledger; what cannot be read is named."""
    assert netmote(state_dir, "resend", "--seq", "1-2") == "journal: 2 to send again\n"
    assert netmote(state_dir, "resend", "--seq", "2") == "journal: nothing to send again\n"
    assert json.loads(netmote(state_dir, "resend", "--since", "2020-01-01T00:00:00Z", "--sink", "journal", "--json")) == {
        "journal": 1
    }
    assert "--seq" in netmote(state_dir, "resend", "--seq", "all", code=2)
    assert "--since" in netmote(state_dir, "resend", "--since", "yesterday", code=2)
    assert "no sink is called 'x'" in netmote(state_dir, "resend", "--since", "1h", "--sink", "x", code=1)
    assert "a time or numbers" in netmote(state_dir, "resend", code=1)
