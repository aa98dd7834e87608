"""`netmote poll` against a real snmpd."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, AgentProcess, free_port
from typer.testing import CliRunner, Result

from netmote.cli.poll import poll, split_address
from netmote.records.interface import INTERFACE_COUNTERS

app = typer.Typer()
app.command()(poll)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    if not shutil.which("snmpd") or not shutil.which("snmpbulkwalk"):
        pytest.skip("snmpd and the snmp tools are not installed")
    process = AgentProcess(tmp_path_factory.mktemp("snmpd"))
    process.start()
    yield process
    process.stop()


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200", **(env or {})})


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_poll_prints_readings_as_net_snmp_reads_them(agent: AgentProcess) -> None:
    """Device first, then every interface with its ifIndex and all counters by name, equal to `snmpbulkwalk`'s."""
    before = agent.walk("1.3.6.1.2.1.31.1.1.1.6")
    device, *interfaces = lines(run(f"127.0.0.1:{agent.port}", "--json", "--no-details"))
    after = agent.walk("1.3.6.1.2.1.31.1.1.1.6")
    assert device["type"] == "device"
    assert device["sys_object_id"] == "1.3.6.1.4.1.8072.3.2.10"
    assert device["interfaces"] == len(interfaces) == len(before)
    names = agent.walk("1.3.6.1.2.1.31.1.1.1.1")
    for interface in interfaces:
        index = interface["if_index"]
        assert set(INTERFACE_COUNTERS) <= interface.keys()
        assert interface["if_name"] == names[f"1.3.6.1.2.1.31.1.1.1.1.{index}"]
        octets = f"1.3.6.1.2.1.31.1.1.1.6.{index}"
        counted = interface["if_hc_in_octets"]
        assert isinstance(counted, int)
        assert int(before[octets]) <= counted <= int(after[octets])
        assert interface["carrier_transitions"] is None
        assert "if_in_errors" in interface["counter32"]  # type: ignore[operator]


def test_later_polls_print_records(agent: AgentProcess) -> None:
    """The first poll are readings, the others differences with their interval and the reason of what is not told."""
    objects = lines(run(f"127.0.0.1:{agent.port}", "--json", "--count", 3, "--interval", 0.6))
    kinds = [each["type"] for each in objects]
    assert kinds.count("device") == 3
    records = [each for each in objects if each["type"] == "interface_record"]
    ports = kinds.count("interface")
    assert len(records) == 2 * ports
    for record in records:
        assert record["invalid"] == {"carrier_transitions": "absent"}
        assert isinstance(record["if_hc_in_octets"], int)
        assert 0.4e9 < record["duration_ns"] < 0.9e9  # type: ignore[operator]
    assert records[-1]["start_ns"] == records[0]["end_ns"]


@pytest.mark.parametrize(
    ("options", "via"),
    [([], "native"), (["--version", "1"], "native"), (["--backend", "native"], "native"), (["--backend", "pysnmp"], "pysnmp")],
)
def test_the_back_end_is_named(agent: AgentProcess, options: list[str], via: str) -> None:
    """Version 1 and both back ends read the same ports, and the output says which one spoke."""
    device, *interfaces = lines(run(f"127.0.0.1:{agent.port}", "--json", "--no-details", *options))
    assert device["backend"] == via
    assert [each["if_name"] for each in interfaces] == list(agent.walk("1.3.6.1.2.1.31.1.1.1.1").values())


def test_people_get_a_table(agent: AgentProcess) -> None:
    """Readings and records as tables, with the device on top."""
    result = run(f"127.0.0.1:{agent.port}", "--count", 2, "--interval", 0.5)
    assert result.exit_code == 0, result.output
    assert "ifIndex" in result.stdout
    assert "Mbit/s" in result.stdout
    assert "bit/s" in result.stdout.partition("ucast in/out")[2]


def test_v3_with_passwords_from_files(agent: AgentProcess, tmp_path: Path) -> None:
    """--user implies version 3; password files choose SHA-256 and AES-128 unless said otherwise."""
    (tmp_path / "a").write_text(AUTH_PASSWORD + "\n")
    (tmp_path / "p").write_text(PRIV_PASSWORD + "\n")
    address = f"127.0.0.1:{agent.port}"
    files = ["--auth-password-file", tmp_path / "a", "--priv-password-file", tmp_path / "p"]
    assert lines(run(address, "--json", "--user", "sha256", *files))[0]["interfaces"]
    more = ["--auth-protocol", "sha512", "--priv-protocol", "aes256"]
    assert lines(run(address, "--json", "--user", "sha512", *more, *files))[0]["interfaces"]
    assert lines(run(address, "--json", "--user", "sha384only", "--auth-protocol", "sha384", *files[:2]))[0]["interfaces"]
    assert lines(run(address, "--json", "--user", "nobody"))[0]["interfaces"]


def test_the_community_may_be_a_reference(agent: AgentProcess) -> None:
    """From the environment, so that no other user of the machine sees it."""
    address = f"127.0.0.1:{agent.port}"
    assert lines(run(address, "--json", "--community", "env:NM_COMMUNITY", env={"NM_COMMUNITY": agent.community}))


def test_a_target_of_the_configuration(agent: AgentProcess, tmp_path: Path) -> None:
    """By name, with its own credentials; an unknown name says which there are."""
    document = tmp_path / "netmote.yaml"
    document.write_text(
        f"snmp:\n  targets:\n    - name: lab\n      address: 127.0.0.1\n      port: {agent.port}\n      timeout: 500ms\n"
    )
    device, *_ = lines(run("lab", "--json", "--config", document))
    assert device["device"] == "lab"
    unknown = run("attic", "--config", document)
    assert unknown.exit_code == 1
    assert "attic" in unknown.stderr
    assert "lab" in unknown.stderr


def test_an_address_is_one_on_an_installed_sensor_too(agent: AgentProcess, tmp_path: Path) -> None:
    """There $NETMOTE_CONFIG names the service's document, for other commands: it does not make the address a name."""
    document = tmp_path / "netmote.yaml"
    document.write_text("{}\n")
    found = lines(run(f"127.0.0.1:{agent.port}", "--json", "--no-details", env={"NETMOTE_CONFIG": str(document)}))
    assert found[0]["type"] == "device"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--timeout", "0.2", "--retries", "0"], "nobody listens on the port"),
        (["--community", "file:/nonexistent"], "/nonexistent"),
    ],
)
def test_failure_is_one_sentence_that_names_the_device(arguments: list[str], says: str) -> None:
    """Exit 1, one line on standard error, nothing on standard output."""
    address = f"127.0.0.1:{free_port()}"
    result = run(address, *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert address in result.stderr
    assert says in result.stderr


def test_after_silence_it_is_said_whether_the_host_is_there() -> None:
    """A wrong community looks like this: the agent drops what it does not know."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        result = run(f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", 0.1, "--retries", 0)
    assert result.exit_code == 1
    assert "no answer within 0.1 s" in result.output
    assert "the host answers" in result.output


def test_wrong_credentials_are_named(agent: AgentProcess, tmp_path: Path) -> None:
    """The sentence says what is wrong, so that the user knows what to mend."""
    (tmp_path / "a").write_text("not-the-password")
    address = f"127.0.0.1:{agent.port}"
    wrong = run(address, "--user", "sha384only", "--auth-protocol", "sha384", "--auth-password-file", tmp_path / "a")
    assert (wrong.exit_code, "wrong authentication password" in wrong.stderr) == (1, True)
    stranger = run(address, "--user", "stranger")
    assert (stranger.exit_code, "does not know this user" in stranger.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [["192.0.2.1", "--version", "3"], ["192.0.2.1:http"], ["192.0.2.1:99999"], [""]])
def test_what_cannot_be_asked_is_refused_at_once(arguments: list[str]) -> None:
    """Usage errors are exit 2, before any packet."""
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 161)),
        ("192.0.2.1:1161", ("192.0.2.1", 1161)),
        ("switch.example", ("switch.example", 161)),
        ("2001:db8::1", ("2001:db8::1", 161)),
        ("[2001:db8::1]", ("2001:db8::1", 161)),
        ("[2001:db8::1]:1161", ("2001:db8::1", 1161)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    """IPv4, names and IPv6, with and without a port."""
    assert split_address(text) == expected
