"""The table of commands: every one loads, explains itself with an example, and errors are one clear sentence."""

import sys

import pytest
from typer.testing import CliRunner

from netmote import __version__
from netmote.cli import main
from netmote.cli.main import COMMANDS, EXIT_CONFIG, app

runner = CliRunner()


def test_help_names_every_command() -> None:
    """`netmote --help` lists all commands with what they do."""
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        assert name in result.output


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_with_an_example(command: str) -> None:
    """Each command loads and its help, or that of each of its subcommands, shows an example."""
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0, result.output
    subcommands = {
        "alerts": ("list", "show", "evidence", "silence", "unsilence", "silences"),
        "models": ("list", "show"),
        "service": ("unit", "install"),
    }.get(command)
    if subcommands:
        for each in subcommands:
            assert f"Example: netmote {command} {each}" in runner.invoke(app, [command, each, "--help"]).output
    else:
        assert f"Example: netmote {command}" in result.output


def test_version() -> None:
    """The version is printed and nothing is run."""
    assert runner.invoke(app, ["--version"]).output == f"netmote {__version__}\n"


def test_unknown_command() -> None:
    """An unknown command is refused by name."""
    result = runner.invoke(app, ["reboot"])
    assert result.exit_code == 2
    assert "reboot" in result.output


def test_configuration_errors_end_with_78(tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad configuration ends any command with status 78 and every problem on standard error, without a traceback."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("snmp: {intervall: 5s}\nweb: {port: -1}\n")
    monkeypatch.setattr(sys, "argv", ["netmote", "status", "--config", str(bad)])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == EXIT_CONFIG
    said = capsys.readouterr().err
    assert f"{bad}:1: snmp.intervall" in said
    assert f"{bad}:2: web.port" in said


def test_other_errors_end_with_1(tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user can mend is one sentence."""
    monkeypatch.setattr(sys, "argv", ["netmote", "flows", str(tmp_path / "absent.pcap")])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "absent.pcap" in said
    assert "Traceback" not in said
