"""`netmote pseudonym`: the same answer that disk and sinks are given, and nothing drawn by asking."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.daemon.config import load_config
from netmote.daemon.privacy import KEY_NAME, Privacy, key_of
from netmote.errors import Retryable


@pytest.fixture
def document(tmp_path: Path) -> Path:
    sinks = [{"type": "journal"}, {"type": "webhook", "name": "soc", "url": "http://127.0.0.1:1/"}]
    path = tmp_path / "netmote.yaml"
    path.write_text(yaml.safe_dump({"sinks": sinks, "privacy": {"upstream": "hash", "sinks": {"soc": "keep"}}}))
    return path


def test_each_place_has_its_own_answer(tmp_path: Path, document: Path) -> None:
    """At rest as it is, at one sink a pseudonym, at the other the address; for people and as JSON."""
    key_of(tmp_path, None)
    command = ["pseudonym", "198.51.100.7", "--config", str(document), "--state-dir", str(tmp_path)]
    places = json.loads(CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False).stdout)
    privacy = Privacy(load_config(document), tmp_path)
    privacy.open()
    hidden = str(privacy.of_sink("journal").address(ip_address("198.51.100.7")))
    assert places == {"at rest": "198.51.100.7", "journal": hidden, "soc": "198.51.100.7"}
    assert f"journal  {hidden}" in CliRunner().invoke(app, command, catch_exceptions=False).stdout


def test_asking_draws_no_key(tmp_path: Path, document: Path) -> None:
    """A key made by a question, perhaps of another user, would stop the daemon."""
    command = ["pseudonym", "198.51.100.7", "--config", str(document), "--state-dir", str(tmp_path)]
    with pytest.raises(Retryable, match="not there"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert not (tmp_path / KEY_NAME).exists()


def test_what_is_no_address(tmp_path: Path, document: Path) -> None:
    """Is said as a wrong argument."""
    outcome = CliRunner().invoke(app, ["pseudonym", "nobody", "--config", str(document), "--state-dir", str(tmp_path)])
    assert outcome.exit_code == 2
