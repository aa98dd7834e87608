"""`netmote status`: one screen from a daemon's answer, and exit statuses that scripts rely on."""

import json
from dataclasses import replace
from pathlib import Path

from control_socket import answering
from snapshots import NOW, snapshot
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.snapshot import SinkStatus

runner = CliRunner()


def test_healthy(tmp_path: Path) -> None:
    """Everything on one screen, exit status 0."""
    with answering(tmp_path, snapshot()):
        result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for shown in (
        "attic",
        "full",
        "up 2 h",
        "100.0 MB",
        "capture eth0",
        "1,234 packets/s",
        "core",
        "1/1",
        "pysnmp",
        "a length is indefinite",
        "capture/arp 12",
        "packets lost on eth0: softnet 7, ring 1,234",
        "traffic 1.0.0 active, p99 0.25 ms",
        "5 wait",
        "1 quarantined",
        "refused",
        "12.5 days left",
        "a scan",
    ):
        assert shown in result.output, shown


def test_degraded_names_the_reason(tmp_path: Path) -> None:
    """A reason alone makes exit status 1, and is shown."""
    shown = snapshot(level=Level.RULES, reasons=(Reason("models", "no usable model", NOW, Level.RULES),))
    with answering(tmp_path, shown):
        result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])
        as_json = runner.invoke(app, ["status", "--state-dir", str(tmp_path), "--json"])
    assert result.exit_code == as_json.exit_code == 1
    assert "models: no usable model" in result.output
    record = json.loads(as_json.output)
    assert record["running"] is True
    assert record["level"] == "rules"
    assert as_json.output.count("\n") == 1


def test_the_books_of_a_sink(tmp_path: Path) -> None:
    """The ledger's identity is shown in figures, and said aloud where it does not hold."""
    sink = SinkStatus("up", "ok", 5, created_total=1_018, acknowledged_total=1_000, expired_total=12, quarantined_total=1)
    with answering(tmp_path, snapshot(sinks=(sink,))):
        result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)], env={"COLUMNS": "200"})
    assert "ledger: 1,018 created = 1,000 acknowledged + 5 waiting + 12 expired + 1 quarantined" in result.output
    with answering(tmp_path, snapshot(sinks=(replace(sink, do_books_balance=False),))):
        result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)], env={"COLUMNS": "200"})
    assert "the books do not balance" in result.output


def test_not_running(tmp_path: Path) -> None:
    """Without a daemon exit status 3, in words or as an object."""
    result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])
    assert result.exit_code == 3
    assert str(tmp_path) in result.output
    record = json.loads(runner.invoke(app, ["status", "--state-dir", str(tmp_path), "--json"]).output)
    assert record["running"] is False
