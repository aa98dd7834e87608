"""`netmote doctor`: one line a thing, how to mend it, and an exit status; with and without a daemon."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from control_socket import answering
from sink_certificates import Authority
from snapshots import NOW, snapshot
from typer.testing import CliRunner

from netmote.cli import examine_endpoints, examine_machine, examine_setup
from netmote.cli.diagnosis import Diagnosis, Verdict
from netmote.cli.examine_daemon import examine_daemon
from netmote.cli.examine_devices import examine_devices
from netmote.cli.examine_memory import BYTES_A_FLOW, examine_memory, unit_limit
from netmote.cli.main import app
from netmote.cli.service_sandbox import is_denied
from netmote.clock import SystemClock
from netmote.daemon.config import Config, SinkConfig
from netmote.daemon.kernel_clock import KernelClock
from netmote.metering.flow_key import FlowHash
from netmote.metering.flow_table import FlowTable
from netmote.store.config import StoreConfig
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.snapshot import DeviceStatus, InputStatus, LegStatus, SinkStatus

runner = CliRunner()
UNIT = Path(__file__).parents[2] / "systemd" / "netmote.service"


@pytest.fixture
def agent_port() -> Iterator[int]:
    """UDP port of an SNMP agent at 127.1.0.1."""
    port = closed_port()
    farm = Path(__file__).parents[1] / "fakes" / "snmp_agent_farm.py"
    with subprocess.Popen([sys.executable, str(farm), "1", str(port), "4"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield port
        process.terminate()


def verdicts(found: list[Diagnosis]) -> list[str]:
    return [each.verdict.value for each in found]


def lines(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    result = runner.invoke(app, ["doctor", "--json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, {record["check"]: record for record in map(json.loads, result.output.splitlines())}


def test_without_a_daemon(tmp_path: Path) -> None:
    """Everything is looked at; that no daemon runs is a warning, and warnings alone are exit status 0."""
    config = tmp_path / "netmote.yaml"
    config.write_text("capture: {interfaces: []}\n")
    status, found = lines("--config", str(config), "--state-dir", str(tmp_path / "state"))
    assert status == 0, found
    assert {"configuration", "daemon", "capture", "clock", f"state {tmp_path / 'state'}", "disk", "udp", "sink journal"} <= set(
        found
    )
    assert found["daemon"]["verdict"] == "warn"
    assert found["model traffic-autoencoder"]["verdict"] == "ok"
    assert all(record["fix"] for record in found.values() if record["verdict"] == "fail")


def test_beside_a_daemon(tmp_path: Path) -> None:
    """The daemon's own words are shown; a reason that lowers the level fails, and how to mend it stands below, in words."""
    shown = snapshot(level=Level.RULES, reasons=(Reason("models", "no usable model", NOW, Level.RULES),))
    with answering(tmp_path, shown):
        result = runner.invoke(app, ["doctor", "--state-dir", str(tmp_path)])
    assert result.exit_code == 1, result.output
    assert "fail models: no usable model (level rules)" in result.output
    assert "warn daemon: 1.2.3 runs for 2 h" in result.output  # another version is installed
    assert "-> systemctl restart netmote" in result.output
    assert "ok   capture eth0: the daemon captures, 99 packets" in result.output
    assert "1 failed" in result.output


def test_a_bad_configuration(tmp_path: Path) -> None:
    """Every problem is a line, the machine is looked at nevertheless, and nothing beyond it is asked."""
    config = tmp_path / "netmote.yaml"
    config.write_text("web: {port: -1}\nsnmpp: {}\n")
    status, found = lines("--config", str(config), "--state-dir", str(tmp_path))
    assert status == 1
    assert found["configuration"]["verdict"] == "fail"
    assert "disk" in found
    assert "sink journal" not in found


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, empty, readable by all, in the credential store: each told by name, and the secret itself by none."""
    (tmp_path / "good").write_text("hush-hush\n")
    (tmp_path / "good").chmod(0o600)
    (tmp_path / "open").write_text("hush-hush\n")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "empty").write_text("\n")
    store = tmp_path / "store"
    store.mkdir()
    (store / "snmp-community").write_text("hush-hush\n")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    examine_setup.use_credentials_of_the_service((tmp_path / "absent", store))
    references = [
        *(f"file:{tmp_path / name}" for name in ("good", "open", "empty", "gone")),
        "credential:snmp-community",
        "credential:x",
    ]
    targets = [{"name": f"d{n}", "address": "192.0.2.1", "community": each} for n, each in enumerate(references)]
    found = examine_setup.examine_secrets(Config.model_validate({"snmp": {"targets": targets}}), encrypted=())
    assert [each.subject for each in found] == [f"secret {each}" for each in references]
    assert verdicts(found)[:5] == ["ok", "warn", "fail", "fail", "ok"]
    assert found[5].verdict is not Verdict.OK
    assert "hush" not in str(found)


def test_clock() -> None:
    """A clock that was never set fails; one that nothing keeps, or that is far off, is a warning."""
    kept = KernelClock(0.0002, is_synchronised=True)
    assert examine_machine.examine_clock(0, kept).verdict is Verdict.FAIL
    now = 1_800_000_000 * 10**9
    assert examine_machine.examine_clock(now, kept).verdict is Verdict.OK
    for clock in (KernelClock(None, is_synchronised=False), KernelClock(None, None), KernelClock(-3.0, is_synchronised=True)):
        assert examine_machine.examine_clock(now, clock).verdict is Verdict.WARN


def test_state_directory(tmp_path: Path) -> None:
    """Files of another owner and a mode open to all are told with the command that mends them."""
    state = tmp_path / "state"
    assert verdicts(examine_machine.examine_state_dir(state)) == ["ok"]
    state.mkdir(mode=0o700)
    assert verdicts(examine_machine.examine_state_dir(state)) == ["ok"]
    state.chmod(0o755)
    (found,) = examine_machine.examine_state_dir(state)
    assert (found.verdict, found.fix) == (Verdict.WARN, f"chmod o-rwx {state}")
    (tmp_path / "file").write_text("")
    assert verdicts(examine_machine.examine_state_dir(tmp_path / "file")) == ["fail"]


@pytest.mark.root
def test_state_directory_with_files_of_root(tmp_path: Path) -> None:
    """A daemon once run as root leaves files the service cannot write; a package's directory belongs to the service's user."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "ledger.db").write_text("")
    os.chown(state, 65_534, -1)
    (found,) = examine_machine.examine_state_dir(state)
    assert found.verdict is Verdict.FAIL
    assert "ledger.db" in found.text
    assert "chown -R" in found.fix
    found = examine_machine.examine_state_dir(state, service_user="root", service_state=state)[0]
    assert "the service runs as root" in found.text


def test_disk(tmp_path: Path) -> None:
    """Less than the floor fails; quotas larger than the disk are a warning."""
    assert (
        examine_machine.examine_disk(tmp_path / "not" / "yet", StoreConfig(free_space_floor=0, telemetry_size=10**7)).verdict
        is Verdict.OK
    )
    assert examine_machine.examine_disk(tmp_path, StoreConfig(free_space_floor=10**18)).verdict is Verdict.FAIL
    assert examine_machine.examine_disk(tmp_path, StoreConfig(telemetry_size=10**18)).verdict is Verdict.WARN


def test_memory(tmp_path: Path) -> None:
    """What is allocated at start, against the unit's limit (a warning: it would be killed) and the machine's memory (it cannot run)."""
    (tmp_path / "meminfo").write_text("MemTotal:         946412 kB\nMemFree:           1 kB\n")

    def verdict(interfaces: int, **config: object) -> Diagnosis:
        names = [f"eth{number}" for number in range(interfaces)]
        return examine_memory(Config.model_validate(config), interfaces=names, proc=tmp_path)

    assert verdict(1).verdict is Verdict.OK
    much = verdict(1, metering={"max_flows": 1_000_000})
    assert much.verdict is Verdict.WARN
    assert "MemoryMax=" in much.fix
    assert verdict(8, capture={"ring_size": "64MB", "workers": 2}).verdict is Verdict.FAIL
    assert unit_limit(UNIT.read_text()) == 384 * 2**20
    assert unit_limit("[Service]\n") is None


def test_flows_cost_what_is_reckoned() -> None:
    """The figure is that of the table itself, within a tenth."""
    count = 65_536
    assert FlowTable(count, FlowHash(1)).memory_bytes == pytest.approx(count * BYTES_A_FLOW, rel=0.1)


def test_receive_buffers(tmp_path: Path) -> None:
    """A small net.core.rmem_max and datagrams lost since the boot, of both families, are warnings with their cure."""
    (tmp_path / "sys/net/core").mkdir(parents=True)
    (tmp_path / "net").mkdir()
    limit, four, six = tmp_path / "sys/net/core/rmem_max", tmp_path / "net/snmp", tmp_path / "net/snmp6"
    limit.write_text("212992\n")
    four.write_text("Udp: InDatagrams NoPorts RcvbufErrors\nUdp: 10 2 7\n")
    six.write_text("Udp6InDatagrams  4\nUdp6RcvbufErrors  5\n")
    small, lost = examine_machine.examine_receive_buffers(receives=True, proc=tmp_path)
    assert (small.verdict, lost.verdict) == (Verdict.WARN, Verdict.WARN)
    assert "sysctl" in small.fix
    assert lost.text.startswith("12 datagrams")
    limit.write_text(f"{64 << 20}\n")
    four.write_text("Udp: RcvbufErrors\nUdp: 0\n")
    six.unlink()
    assert verdicts(examine_machine.examine_receive_buffers(receives=True, proc=tmp_path)) == ["ok", "ok"]
    assert len(examine_machine.examine_receive_buffers(receives=False, proc=tmp_path / "absent")) == 1


@pytest.mark.root
def test_ring_is_opened_for_a_moment() -> None:
    """On an interface there is, yes; on one there is not, the failure names it."""
    capture = Config().capture
    assert verdicts(examine_machine.examine_capture(capture, ["lo"])) == ["ok"]
    (found,) = examine_machine.examine_capture(capture, ["nmgone0"])
    assert found.verdict is Verdict.FAIL
    assert "nmgone0" in found.text
    assert verdicts(examine_machine.examine_capture(capture, [])) == ["fail"]


def test_daemon_that_struggles() -> None:
    """Loss above one packet in ten thousand, dead legs, alerts that wait or were refused: each is a line; small loss is none."""
    shown = snapshot(
        version="1",
        inputs=(
            InputStatus(
                "eth0", "capture", "running", received_total=1_000_000, dropped={"ring": 5_000, "softnet": 3, "arp": 9_000}
            ),
        ),
        legs=(LegStatus("analysis", is_alive=False, progress_age_seconds=99.0),),
        sinks=(SinkStatus("up", "retrying", 5, 3_600.0, 10, 2, "refused"),),
    )
    found = examine_daemon(shown, installed="1")
    assert [(each.subject, each.verdict.value) for each in found] == [
        ("daemon", "ok"),
        ("leg analysis", "fail"),
        ("capture eth0", "warn"),
        ("sink up", "warn"),
        ("sink up", "warn"),
    ]
    assert "capture.ring_size" in found[2].fix


async def test_devices(agent_port: int) -> None:
    """One that answers, and one whose port is closed; an answer that the service does not get is a warning about the service."""
    targets = [
        {"name": "here", "address": "127.1.0.1", "port": agent_port, "timeout": "2s"},
        {"name": "closed", "address": "127.0.0.1", "port": closed_port(), "timeout": "200ms", "retries": 0},
        {"name": "nowhere", "address": "no-such-host.invalid", "timeout": "200ms", "retries": 0},
    ]
    config = Config.model_validate({"snmp": {"targets": targets}})
    here, closed, nowhere = await examine_devices(config, (), clock=SystemClock())
    assert here.verdict is Verdict.OK, here
    assert (closed.verdict, "no agent on UDP port" in closed.fix) == (Verdict.FAIL, True), closed
    assert nowhere.verdict is Verdict.FAIL
    known = (DeviceStatus("here", "127.1.0.1", "unreachable"),)
    (compared, *_) = await examine_devices(config, known, clock=SystemClock())
    assert compared.verdict is Verdict.WARN
    assert "the service finds it unreachable" in compared.text


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_sink_over_tls(tmp_path: Path) -> None:
    """The handshake is made with the sink's own authority and nothing is sent; another authority is refused with the reason."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context())
    port = server.sockets[0].getsockname()[1]
    sinks = [
        {"type": "webhook", "name": name, "url": f"https://127.0.0.1:{port}/", "ca_file": str(file)}
        for name, file in (("known", authority.file), ("stranger", stranger.file))
    ]
    async with server:
        known, refused = await examine_endpoints.examine_sinks(Config.model_validate({"sinks": sinks}))
        await asyncio.sleep(0.05)
    assert known.verdict is Verdict.OK, known
    assert "TLSv1.3" in known.text
    assert refused.verdict is Verdict.FAIL
    assert "certificate is refused" in refused.text
    assert not any(heard)


async def test_sink_without_its_token_or_server(tmp_path: Path) -> None:
    """What is missing is told before anything is connected; a closed port is told by number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    sinks = [
        {"type": "webhook", "name": "secretless", "url": url, "token": f"file:{tmp_path / 'gone'}"},
        {"type": "webhook", "name": "closed", "url": url},
    ]
    secretless, closed = await examine_endpoints.examine_sinks(Config.model_validate({"sinks": sinks}))
    assert "gone" in secretless.text
    assert f"127.0.0.1:{port}" in closed.text
    assert {secretless.verdict, closed.verdict} == {Verdict.FAIL}


async def test_collectors_of_flows() -> None:
    """Over UDP only the name can be known; over TCP the connection is made; files have no endpoint."""
    exports = [
        {"type": "ipfix", "name": "udp", "host": "127.0.0.1"},
        {"type": "ipfix", "name": "tcp", "host": "127.0.0.1", "transport": "tcp", "port": 9},
        {"type": "eve", "name": "file", "path": "eve.json"},
    ]
    udp, tcp = await examine_endpoints.examine_exports(Config.model_validate({"flow_export": exports}))
    assert (udp.verdict, tcp.verdict) == (Verdict.OK, Verdict.FAIL)


# What each kind of sink is configured with, and where it connects: host, port, whether TLS is tried.
ENDPOINTS: dict[str, tuple[dict[str, object], list[tuple[str, int, bool]]]] = {
    "journal": ({}, []),
    "file": ({"path": "/var/log/alerts.json"}, []),
    "webhook": ({"url": "http://localhost/a"}, [("localhost", 80, False)]),
    "alertmanager": ({"url": "https://am.example:9093"}, [("am.example", 9093, True)]),
    "otlp": ({"url": "https://otlp.example/v1/logs"}, [("otlp.example", 443, True)]),
    "syslog": ({"server": "log.example"}, [("log.example", 6514, True)]),
    "relp": ({"server": "127.0.0.1:2514", "encryption": "none"}, [("127.0.0.1", 2514, False)]),
    "mqtt": ({"server": "[2001:db8::1]"}, [("2001:db8::1", 8883, True)]),
    "nats": ({"servers": ["tls://a.example", "tls://b.example:4223"]}, [("a.example", 4222, False), ("b.example", 4223, False)]),
    "kafka": ({"servers": ["a.example", "b.example:9099"]}, [("a.example", 9092, True), ("b.example", 9099, True)]),
}


def test_endpoints_of_every_kind_of_sink() -> None:
    """A new kind of sink must say here where it connects."""
    kinds = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(SinkConfig)[0])}
    assert kinds == set(ENDPOINTS)
    for kind, (keys, expected) in ENDPOINTS.items():
        (config,) = Config.model_validate({"sinks": [{"type": kind, **keys}]}).sinks
        found = examine_endpoints.endpoints_of(config)
        assert [(each.host, each.port, each.context is not None) for each in found] == expected, kind


def test_what_the_sandbox_denies_is_what_the_unit_says() -> None:
    """Each network of IPAddressAllow= is allowed, and an address of none of them is not."""
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith("IPAddressAllow=")]
    words = line.partition("=")[2].split()
    assert set(words) - {"localhost", "link-local", "multicast"} == {
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7",
    }  # fmt: skip
    for address in (
        "127.0.0.1",
        "::1",
        "10.9.9.9",
        "172.31.0.1",
        "192.168.3.4",
        "100.64.1.1",
        "fd00::1",
        "fe80::1",
        "169.254.1.1",
    ):
        assert not is_denied(address), address
    for address in ("203.0.113.7", "2001:db8::1", "172.32.0.1"):
        assert is_denied(address), address
    assert not is_denied("a-name")
