"""`netmote discover` as a command, against snmpd at two loopback addresses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from snmp_agent_process import AgentProcess


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    if not shutil.which("snmpd") or not shutil.which("snmpget"):
        pytest.skip("snmpd and the snmp tools are not installed")
    (tmp_path / "agent").mkdir()
    agent = AgentProcess(tmp_path / "agent")
    file = agent.directory / "agent.conf"
    first, _, rest = file.read_text().partition("\n")
    file.write_text(f"{first},udp:127.67.0.3:{agent.port}\nsysName box\n{rest}")
    agent.start()
    yield agent
    agent.stop()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "netmote", "discover", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True, timeout=60)


def test_a_proposal_is_written_once_and_never_over_a_file(agent: AgentProcess, tmp_path: Path) -> None:
    """--output names a new file; what is there stays, and what was found is printed instead."""
    output = tmp_path / "proposal.yaml"
    options = ("127.67.0.0/29", "--port", str(agent.port), "--timeout", "0.5", "--retries", "0", "--output", str(output))
    done = run(*options)
    assert done.returncode == 0, done.stderr
    assert "1 devices proposed" in done.stderr
    assert yaml.safe_load(output.read_text())["snmp"]["targets"] == [{"name": "box", "address": "127.67.0.3", "port": agent.port}]
    output.write_text("mine")
    done = run(*options)
    assert done.returncode == 1
    assert output.read_text() == "mine"
    assert "127.67.0.3" in done.stdout


def test_json_is_one_line_a_device(agent: AgentProcess) -> None:
    """With --json and no --output nothing else is on standard output."""
    done = run("127.67.0.2/31", "--port", str(agent.port), "--timeout", "0.5", "--retries", "0", "--json")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert (found["sys_name"], found["address"], found["also_at"]) == ("box", "127.67.0.3", [])


def test_a_secret_community_is_not_written_down(agent: AgentProcess) -> None:
    """Given as it is, it is proposed by reference."""
    agent.stop()
    file = agent.directory / "agent.conf"
    file.write_text(file.read_text().replace("rocommunity public", "rocommunity hush"))
    agent.community = "hush"
    agent.start()
    done = run("127.67.0.3", "--port", str(agent.port), "--timeout", "0.5", "--retries", "0", "--community", "hush")
    assert "hush" not in done.stdout
    assert yaml.safe_load(done.stdout)["snmp"]["targets"][0]["community"] == "file:/etc/netmote/community"


def test_interrupting_keeps_what_was_found(agent: AgentProcess, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a slow search: status 130, and the proposal holds the device."""
    output = tmp_path / "proposal.yaml"
    process = subprocess.Popen(
        command("127.67.0.0/24", "--port", str(agent.port), "--timeout", "30", "--rate", "20", "--output", str(output)),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "of 254 addresses were asked" in errors
    assert yaml.safe_load(output.read_text())["snmp"]["targets"][0]["name"] == "box"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("10.0.0.0/8",), "search in parts"),
        (("nowhere",), "does not appear"),
        (("192.0.2.1", "--version", "3"), "needs a --user"),
    ],
)
def test_what_cannot_be_searched_is_said(arguments: tuple[str, ...], words: str) -> None:
    """Status 2, one sentence, no packet."""
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
