"""`netmote init`: questions or options become a commented document that `netmote check` accepts; nothing is overwritten or asked unasked."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from typer.testing import CliRunner

from netmote.cli.local_interfaces import local_interfaces, networks_of
from netmote.cli.main import app
from netmote.cli.sample_document import with_values
from netmote.config.builtin import builtin_path
from netmote.config.document import check_document, parse_document
from netmote.daemon.config import Config, load_config

runner = CliRunner()
SAMPLE = builtin_path("netmote.yaml").read_text()


@pytest.fixture
def agent_port() -> Iterator[int]:
    """UDP port of two SNMP agents, at 127.1.0.1 and 127.1.0.2, that name themselves alike."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.1.0.1", 0))
        port = int(probe.getsockname()[1])
    farm = Path(__file__).parents[1] / "fakes" / "snmp_agent_farm.py"
    with subprocess.Popen([sys.executable, str(farm), "2", str(port), "2"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield port
        process.terminate()


def test_options_only(tmp_path: Path) -> None:
    """Without a terminal nothing is asked; what is written is the sample with the values in their places, and sound."""
    file = tmp_path / "etc" / "netmote.yaml"
    options = ["--sensor", "attic", "--interface", "eth1", "--interface", "eth2"]
    options += ["--webhook", "https://collector.example/a", "--token", "file:/etc/netmote/token"]
    result = runner.invoke(app, ["init", str(file), *options])
    assert result.exit_code == 0, result.output
    config = load_config(file)
    assert (config.sensor, config.capture.interfaces) == ("attic", ("eth1", "eth2"))
    assert [(sink.type, sink.name) for sink in config.sinks] == [("journal", "journal"), ("webhook", "upstream")]
    assert runner.invoke(app, ["check", str(file)]).exit_code == 0
    explained = [line for line in SAMPLE.splitlines() if line.lstrip().startswith("##")]
    assert [line for line in file.read_text().splitlines() if line.lstrip().startswith("##")] == explained


def test_defaults_are_the_sample(tmp_path: Path) -> None:
    """With nothing given, the document means what the built-in defaults mean."""
    file = tmp_path / "netmote.yaml"
    assert runner.invoke(app, ["init", str(file)]).exit_code == 0
    assert load_config(file) == Config()


def test_never_overwrites(tmp_path: Path) -> None:
    """What is there stays, to the byte; with --force it is replaced as a whole."""
    file = tmp_path / "netmote.yaml"
    file.write_text("mine")
    refused = runner.invoke(app, ["init", str(file)])
    assert refused.exit_code == 1
    assert "--force" in str(refused.exception)
    assert file.read_text() == "mine"
    assert runner.invoke(app, ["init", str(file), "--force", "--sensor", "new"]).exit_code == 0
    assert load_config(file).sensor == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["netmote.yaml"]


def test_what_check_would_refuse_is_not_written(tmp_path: Path) -> None:
    """A bad value ends it before there is a file."""
    file = tmp_path / "netmote.yaml"
    for options in (["--webhook", "ftp://x"], ["--sensor", "a b"], ["--webhook", "https://x/", "--token", "plain-secret"]):
        assert runner.invoke(app, ["init", str(file), *options]).exit_code != 0
        assert not file.exists()


def test_questions(tmp_path: Path) -> None:
    """The answers count, a default is taken by Enter, and a URL brings the question for its token."""
    file = tmp_path / "netmote.yaml"
    answers = "cellar\nnone\n\nhttps://collector.example/\ncredential:sink-token\n"
    result = runner.invoke(app, ["init", str(file), "--ask"], input=answers)
    assert result.exit_code == 0, result.output
    config = load_config(file)
    assert (config.sensor, config.capture.interfaces, config.snmp.targets) == ("cellar", (), ())
    assert config.sinks[1].token == "credential:sink-token"
    for each in local_interfaces():
        assert each.name in result.output


def test_only_the_networks_named_are_searched(tmp_path: Path, agent_port: int) -> None:
    """The devices that answer become targets with names of their own and the community by reference."""
    community = tmp_path / "community"
    community.write_text("public\n")
    file = tmp_path / "netmote.yaml"
    options = [
        "--snmp",
        "127.1.0.1",
        "--snmp",
        "127.1.0.2/32",
        "--community",
        f"file:{community}",
        "--snmp-port",
        str(agent_port),
    ]
    result = runner.invoke(app, ["init", str(file), *options])
    assert result.exit_code == 0, result.output
    targets = load_config(file).snmp.targets
    assert sorted(each.address for each in targets) == ["127.1.0.1", "127.1.0.2"]
    assert len({each.name for each in targets}) == 2
    assert {(each.port, each.community) for each in targets} == {(agent_port, f"file:{community}")}


def test_secrets_and_large_networks_are_refused(tmp_path: Path) -> None:
    """A community as it is does not go into the document, and no network of more than 4,096 addresses is searched."""
    file = tmp_path / "netmote.yaml"
    for options, words in (
        (["--snmp", "127.1.0.1", "--community", "hush"], "by reference"),
        (["--snmp", "10.0.0.0/8"], "in parts"),
    ):
        result = runner.invoke(app, ["init", str(file), *options])
        assert result.exit_code == 1
        assert words in str(result.exception)
        assert not file.exists()


def test_every_default_of_the_sample_has_its_place() -> None:
    """Each key that the sample shows can be written in its place, and the document says then what was put in."""
    section, shown = "", []
    for line in SAMPLE.splitlines():
        if opened := re.fullmatch(r"([a-z_]+):\s*", line):
            section = opened[1]
        elif top := re.match(r"# ([a-z_]+): ", line):
            shown.append((top[1],))
        elif (inner := re.match(r"  (?:# )?([a-z_]+): ", line)) and section:
            shown.append((section, inner[1]))
    assert len(shown) > 40
    for path in shown:
        document = parse_document(with_values(SAMPLE, {path: "put in"}), "sample").data
        for key in path:
            document = document[key]
        assert document == "put in"
    with pytest.raises(KeyError, match=r"capture\.nothing"):
        with_values(SAMPLE, {("capture", "nothing"): 1})


def test_lists_of_devices_are_whole_yaml() -> None:
    """Foreign text stays text, whatever it holds."""
    targets = [{"name": 'a"b#c', "address": "no", "port": 1161, "community": "file:/x: y"}]
    text = with_values(SAMPLE, {("snmp", "targets"): targets})
    target = check_document(parse_document(text, "x"), Config).snmp.targets[0]
    assert (target.name, target.address, target.community) == ('a"b#c', "no", "file:/x: y")


def test_networks_of_addresses() -> None:
    """IPv4 and IPv6 by their masks; link-local ones and other families say nothing."""

    def address(family: int, text: str, mask: str | None) -> SimpleNamespace:
        return SimpleNamespace(family=family, address=text, netmask=mask)

    found = networks_of(
        [
            address(socket.AF_INET, "192.0.2.77", "255.255.255.240"),
            address(socket.AF_INET6, "2001:db8::5", "ffff:ffff:ffff:ffff::"),
            address(socket.AF_INET6, "fe80::1%eth0", "ffff:ffff:ffff:ffff::"),
            address(psutil.AF_LINK, "02:00:00:00:00:01", None),
        ]
    )
    assert list(map(str, found)) == ["192.0.2.64/28", "2001:db8::/64"]
