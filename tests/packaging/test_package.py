"""The Debian package in a booted systemd: from the installation to the purge, in the order of this file, on one machine.

A second network namespace is the network outside: a peer on a wire, and the collector upstream.
"""

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from box import Box
from processes import CollectorProcess, wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

OUTSIDE = "nmpkgout"
DPKG = ("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confdef", "--force-confold")


class Sensor:
    """The installed agent, its wire to the outside, and the collector there."""

    def __init__(self, box: Box, collector: CollectorProcess) -> None:
        self.box, self.collector = box, collector
        self.config_path = box.root / "etc/netmote/netmote.yaml"

    def configure(self, **more: object) -> None:
        document = {
            "sensor": "box",
            "state_dir": "/var/lib/netmote",
            "capture": {"interfaces": ["cap0"]},
            "store": {"free_space_floor": "1MB"},
            "sinks": [
                {"type": "journal"},
                {"type": "webhook", "name": "upstream", "url": self.collector.url, "allow_plain_text": True},
            ],
            **more,
        }
        self.config_path.write_text(yaml.safe_dump(document))

    @property
    def pid(self) -> int:
        return int(self.box.show("netmote", "MainPID"))

    def is_active(self) -> bool:
        return self.box.show("netmote", "ActiveState") == "active"

    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.box.run("netmote", "alerts", "list", "--json").stdout.splitlines()]

    def scan(self, source: str = "10.99.0.2") -> set[str]:
        """Nmap's SYN scan over the wire from this address; returns the alerts about it once there are any."""
        if shutil.which("nmap") is None:
            pytest.skip("nmap is not installed")
        scan = ("nmap", "-sS", "-n", "-Pn", "--max-retries", "0", "-S", source, "-e", "out0", "-p", "1-1000", "10.99.0.1")
        subprocess.run(["ip", "netns", "exec", OUTSIDE, *scan], check=True, capture_output=True, timeout=60)

        def about() -> set[str]:
            scans = [alert for alert in self.alerts() if alert["technique"] == "T1046"]
            return {alert["alert_id"] for alert in scans if source in alert["entity"]["name"]}

        return set(wait_for(about, 40, f"an alert about {source}"))


@pytest.fixture(scope="module")
def sensor(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sensor]:
    """The box with a wire; the package is not installed yet, the collector does not run."""
    collector = CollectorProcess(tmp_path_factory.mktemp("upstream") / "upstream.db", 8765)
    collector.prefix, collector.address = ["ip", "netns", "exec", OUTSIDE], "10.99.0.2"
    try:
        subprocess.run(["ip", "netns", "add", OUTSIDE], check=True)
        for command in (
            f"ip -n {OUTSIDE} link set lo up",
            f"ip link add out0 netns {OUTSIDE} type veth peer name cap0 netns {box.leader}",
            f"ip -n {OUTSIDE} addr add 10.99.0.2/24 dev out0",
            f"ip -n {OUTSIDE} addr add 10.99.0.3/24 dev out0",
            f"ip -n {OUTSIDE} link set out0 up",
        ):
            subprocess.run(command.split(), check=True)
        box.run("ip", "addr", "add", "10.99.0.1/24", "dev", "cap0")
        box.run("ip", "link", "set", "cap0", "up")
        yield Sensor(box, collector)
    finally:
        collector.kill()
        subprocess.run(["ip", "netns", "del", OUTSIDE], check=False, capture_output=True)


def _install(box: Box, package: Path) -> None:
    target = box.root / "root" / package.name
    shutil.copy(package, target)
    box.run(*DPKG, "--install", f"/root/{package.name}")
    target.unlink()


def _files(box: Box) -> set[str]:
    found = box.run(
        "find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/sys", "-o", "-path", "/run", ")", "-prune", "-o", "-print"
    )
    return {path for path in found.stdout.splitlines() if "netmote" in path}


def test_install(sensor: Sensor, package: Path) -> None:
    """One command, and the agent runs as a user of its own with one capability; no secret and no edit is needed."""
    box = sensor.box
    _install(box, package)
    wait_for(sensor.is_active, 60, "the running service")
    assert box.show("netmote", "UnitFileState") == "enabled"
    process = Path("/proc") / str(_outer_pid(box, sensor.pid))
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert {status[each].strip() for each in ("CapEff", "CapBnd", "CapAmb")} == {"0000000000002000"}
    assert box.run("stat", "-c", "%U", f"/proc/{sensor.pid}").stdout.strip() == "netmote"
    assert box.run("stat", "-c", "%a %U", "/var/lib/netmote").stdout.split() == ["700", "netmote"]
    assert box.run("getent", "passwd", "netmote").stdout.strip().endswith("/usr/sbin/nologin")
    assert not box.run("systemd-analyze", "verify", "/lib/systemd/system/netmote.service").stderr
    assert "cap0" in box.run("netmote", "status").stdout


def _outer_pid(box: Box, inner: int) -> int:
    """The number that the host knows a process of the box by."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            numbers = next(line for line in (entry / "status").read_text().splitlines() if line.startswith("NSpid:")).split()[1:]
            same = (entry / "ns/pid").readlink() == Path(f"/proc/{box.leader}/ns/pid").readlink()
        except (OSError, StopIteration):
            continue
        if same and numbers[-1] == str(inner):
            return int(entry.name)
    raise AssertionError(f"no process {inner} in the box")


def test_ready_in_time(sensor: Sensor) -> None:
    """`systemctl restart` returns when the agent is ready, and says in what state it is."""
    sensor.configure()
    sensor.collector.start()
    began = time.monotonic()
    sensor.box.run("systemctl", "restart", "netmote")
    print(f"restart to READY: {time.monotonic() - began:.2f} s")
    assert sensor.is_active()
    assert sensor.box.show("netmote", "StatusText")


def test_doctor(sensor: Sensor) -> None:
    """Beside the service nothing fails: it runs, captures, owns its state, and its collector can be reached; shells complete its name."""
    found = [json.loads(line) for line in sensor.box.run("netmote", "doctor", "--json", check=False).stdout.splitlines()]
    assert [each for each in found if each["verdict"] == "fail"] == []
    verdicts = {each["check"]: each["verdict"] for each in found}
    wanted = ("configuration", "daemon", "capture cap0", "state /var/lib/netmote", "sink upstream")
    assert {each: verdicts.get(each) for each in wanted} == dict.fromkeys(wanted, "ok")
    top = sensor.box.run("netmote", "top", "--once").stdout
    assert "cap0" in top
    assert (sensor.box.root / "usr/share/bash-completion/completions/netmote").is_file()
    assert (sensor.box.root / "usr/share/doc/netmote/examples/prometheus/netmote.rules.yaml").is_file()


def test_scan_is_alerted(sensor: Sensor) -> None:
    """A scan seen on the wire by the unprivileged service is at the collector, and in the journal with fields of its own."""
    alert_id = min(sensor.scan())
    wait_for(lambda: alert_id in sensor.collector.alert_ids(), 20, "the alert at the collector")
    entries = [json.loads(line) for line in sensor.box.journal(f"NETMOTE_ALERT_ID={alert_id}").splitlines()]
    assert entries
    assert entries[0]["NETMOTE_TECHNIQUE"] == "T1046"
    assert entries[0]["MESSAGE_ID"]
    assert entries[0]["_SYSTEMD_UNIT"] == "netmote.service"
    assert int(entries[0]["PRIORITY"]) <= 4


def test_reload(sensor: Sensor) -> None:
    """A good document is taken up by the same process; a bad one is refused with its line, and the old one stays."""
    box, pid = sensor.box, sensor.pid
    sensor.configure(host={"interval": "3s"})
    box.run("systemctl", "reload", "netmote")
    assert sensor.pid == pid
    sensor.config_path.write_text("host:\n  intervall: 3s\n")
    box.run("systemctl", "reload", "netmote", check=False)
    wait_for(lambda: "intervall" in box.journal("_SYSTEMD_UNIT=netmote.service", "PRIORITY=3"), 10, "the reason in the journal")
    assert sensor.is_active()
    assert sensor.pid == pid
    sensor.configure()
    box.run("systemctl", "reload", "netmote")


def test_secrets(sensor: Sensor) -> None:
    """A credential that is missing degrades the device that needs it, by name; put into the credential store, it is used."""
    box = sensor.box
    target = {"name": "switch", "address": "127.0.0.1", "community": "credential:snmp-community", "timeout": "1s"}
    sensor.configure(snmp={"interval": "2s", "targets": [target]})
    box.run("systemctl", "restart", "netmote")
    assert sensor.is_active()
    wait_for(lambda: "snmp-community" in json.dumps(_status(box)), 15, "the name of the missing secret in the status")
    (box.root / "root/snmpd.conf").write_text("rocommunity hush 127.0.0.1\nagentAddress udp:127.0.0.1:161\n")
    box.run("systemd-run", "--quiet", "--setenv=MIBS=", "snmpd", "-f", "-C", "-c", "/root/snmpd.conf", "-Lo")
    store = box.root / "etc/credstore"
    store.mkdir(mode=0o700, exist_ok=True)
    secret = store / "snmp-community"
    secret.write_text("hush\n")
    secret.chmod(0o600)
    box.run("systemctl", "restart", "netmote")
    wait_for(lambda: _status(box)["devices"][0]["state"] == "up", 20, "the device, polled with the secret")
    assert "hush" not in box.journal("_SYSTEMD_UNIT=netmote.service")
    sensor.configure()
    box.run("systemctl", "restart", "netmote")


def _status(box: Box) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(box.run("netmote", "status", "--json", check=False).stdout)
    return status


def test_watchdog(sensor: Sensor) -> None:
    """An agent that hangs is killed by the service manager, and runs again."""
    box = sensor.box
    drop_in = box.root / "etc/systemd/system/netmote.service.d"
    drop_in.mkdir()
    (drop_in / "test.conf").write_text("[Service]\nWatchdogSec=4\nTimeoutAbortSec=1\nRestartSec=100ms\n")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "netmote")
    before, restarts = sensor.pid, int(box.show("netmote", "NRestarts"))
    time.sleep(6)
    assert sensor.pid == before  # progress feeds it
    box.run("kill", "-STOP", str(before))
    wait_for(lambda: sensor.is_active() and int(box.show("netmote", "NRestarts")) > restarts, 30, "the restart")
    assert sensor.pid != before
    assert "Watchdog timeout" in box.journal("UNIT=netmote.service")
    shutil.rmtree(drop_in)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "netmote")


def test_kill_loses_nothing(sensor: Sensor) -> None:
    """After kill -9 the service manager starts it again, and every alert is still in the ledger."""
    box = sensor.box
    before = {alert["alert_id"] for alert in sensor.alerts()}
    pid = sensor.pid
    box.run("kill", "-KILL", str(pid))
    wait_for(lambda: sensor.is_active() and sensor.pid not in (0, pid), 60, "the restart")
    assert before
    assert before <= {alert["alert_id"] for alert in sensor.alerts()}


def test_upgrade_during_an_outage(sensor: Sensor, newer_package: Path) -> None:
    """An upgrade keeps the edited configuration and the state; alerts that wait for the collector arrive after it."""
    box = sensor.box
    sensor.collector.kill()
    before = {event["id"] for event in _kept(sensor.collector)}
    made = sensor.scan("10.99.0.3")
    edited = sensor.config_path.read_text()
    _install(box, newer_package)
    wait_for(sensor.is_active, 60, "the upgraded service")
    assert sensor.config_path.read_text() == edited
    assert (sensor.config_path.parent / "netmote.yaml.dpkg-dist").exists()
    sensor.collector.start()
    wait_for(lambda: made <= sensor.collector.alert_ids(), 70, "the alerts of the outage")
    assert before <= {event["id"] for event in sensor.collector.events()}


def _kept(collector: CollectorProcess) -> list[dict[str, Any]]:
    """What a collector that does not run has committed."""
    with sqlite3.connect(collector.database) as database:
        return [json.loads(body) for (body,) in database.execute("SELECT body FROM event")]


def test_disable_and_downgrade(sensor: Sensor, package: Path) -> None:
    """An administrator's `disable` survives an installation; going back to the older version keeps state and runs."""
    box = sensor.box
    alerts = {alert["alert_id"] for alert in sensor.alerts()}
    # The tests before this one started it as often as the unit's StartLimitBurst= allows.
    box.run("systemctl", "reset-failed", "netmote")
    box.run("systemctl", "disable", "--quiet", "netmote")
    _install(box, package)
    assert box.show("netmote", "UnitFileState") == "disabled"
    box.run("systemctl", "enable", "--quiet", "netmote")
    wait_for(sensor.is_active, 60, "the older version")
    assert alerts <= {alert["alert_id"] for alert in sensor.alerts()}


def test_remove_and_purge(sensor: Sensor, package: Path) -> None:
    """A removal keeps configuration and state for the next installation; a purge leaves nothing."""
    box = sensor.box
    box.run("dpkg", "--remove", "netmote")
    assert box.show("netmote", "LoadState") == "not-found"
    left = _files(box)
    assert "/var/lib/netmote/ledger.db" in left
    assert "/etc/netmote/netmote.yaml" in left
    assert not any(path.startswith("/usr/lib/netmote") for path in left)
    _install(box, package)
    wait_for(sensor.is_active, 60, "the service after a new installation")
    assert sensor.alerts()
    box.run("dpkg", "--purge", "netmote")
    assert {path for path in _files(box) if not path.startswith(("/var/lib/dpkg", "/var/log", "/root"))} == set()
