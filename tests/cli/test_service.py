"""`netmote service`: a unit that runs this very installation, as hardened as the packaged one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.cli.service import unit_text

runner = CliRunner()


def directives(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def test_unit_runs_this_interpreter(tmp_path: Path) -> None:
    """It starts the environment that printed it with the document it was given, under a user that systemd makes."""
    document = tmp_path / "n.yaml"
    result = runner.invoke(app, ["service", "unit", "--config", str(document)])
    assert result.exit_code == 0
    assert directives(result.output, "ExecStart") == [f"{sys.executable} -I -m netmote run --config {document}"]
    assert directives(result.output, "DynamicUser") == ["yes"]
    assert directives(result.output, "Type") == ["notify"]


def test_unit_is_as_hardened_as_the_packaged_one(tmp_path: Path) -> None:
    """The changes for an installation by pip open nothing: the exposure stays 1.5 or better."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    target = tmp_path / "netmote.service"
    target.write_text(unit_text(Path("/etc/netmote/netmote.yaml")))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(target)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_install_writes_what_is_missing(tmp_path: Path) -> None:
    """The unit, and the commented sample where there is no configuration; one that is there stays as it is."""
    document = tmp_path / "etc" / "netmote.yaml"
    options = ["--config", str(document), "--unit-dir", str(tmp_path)]
    result = runner.invoke(app, ["service", "install", *options])
    assert result.exit_code == 0, result.output
    assert runner.invoke(app, ["check", str(document)]).exit_code == 0
    document.write_text("sensor: mine\n")
    assert runner.invoke(app, ["service", "install", *options]).exit_code == 0
    assert document.read_text() == "sensor: mine\n"
    assert (tmp_path / "netmote.service").read_text() == unit_text(document)


def test_install_says_what_it_may_not_write(tmp_path: Path) -> None:
    """A directory that is not there is named."""
    result = runner.invoke(app, ["service", "install", "--config", str(tmp_path / "n.yaml"), "--unit-dir", str(tmp_path / "no")])
    assert result.exit_code == 1
    assert str(tmp_path / "no") in result.stderr


def test_a_path_that_a_unit_cannot_hold_is_refused() -> None:
    """Blanks would split the command line, % and $ would be expanded."""
    result = runner.invoke(app, ["service", "unit", "--config", "/etc/my netmote.yaml"])
    assert result.exit_code == 2
    assert "blanks" in result.stderr
