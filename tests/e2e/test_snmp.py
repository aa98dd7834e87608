"""A device polled by the command and by the daemon: the counters of net-snmp, and an alert when it falls silent."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import CollectorProcess, DaemonProcess, wait_for
from snmp_agent_process import AgentProcess

pytestmark = pytest.mark.timeout(120)

# IF-MIB column of ifXTable / ifTable for each of our names.
COLUMNS = {
    "if_hc_in_octets": "1.3.6.1.2.1.31.1.1.1.6",
    "if_hc_out_octets": "1.3.6.1.2.1.31.1.1.1.10",
    "if_hc_in_ucast_pkts": "1.3.6.1.2.1.31.1.1.1.7",
    "if_hc_out_ucast_pkts": "1.3.6.1.2.1.31.1.1.1.11",
    "if_in_errors": "1.3.6.1.2.1.2.2.1.14",
    "if_out_discards": "1.3.6.1.2.1.2.2.1.19",
}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    if shutil.which("snmpd") is None and not Path("/usr/sbin/snmpd").exists():
        pytest.skip("snmpd is not installed")
    if shutil.which("snmpbulkwalk") is None:
        pytest.skip("the net-snmp tools are not installed")
    directory = tmp_path / "agent"
    directory.mkdir()
    agent = AgentProcess(directory)
    agent.start()
    yield agent
    agent.stop()


def counters(agent: AgentProcess) -> dict[str, dict[str, int]]:
    """What snmpwalk reads, by ifIndex and by our names."""
    found: dict[str, dict[str, int]] = {}
    for name, column in COLUMNS.items():
        for oid, value in agent.walk(column).items():
            found.setdefault(oid.rpartition(".")[2], {})[name] = int(value)
    return found


def exported(daemon: DaemonProcess, table: str) -> list[dict]:
    answer = daemon.netmote("export", "--table", table, "--format", "jsonl", "--from", "-1h")
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_poll_gives_the_counters_of_snmpwalk(agent: AgentProcess) -> None:
    """Every counter of every port lies between what snmpwalk reads before and after."""
    before = counters(agent)
    answer = subprocess.run(
        [sys.executable, "-m", "netmote", "poll", f"127.0.0.1:{agent.port}", "--json"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    after = counters(agent)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    ports = {str(line["if_index"]): line for line in lines if line["type"] == "interface"}
    assert ports.keys() == before.keys()
    for index, port in ports.items():
        for name in COLUMNS:
            assert before[index][name] <= port[name] <= after[index][name], (index, name)
    assert [line["sys_name"] for line in lines if line["type"] == "device"] == [
        agent.walk("1.3.6.1.2.1.1.5")["1.3.6.1.2.1.1.5.0"]
    ]


def test_the_daemon_counts_what_snmpwalk_counts(agent: AgentProcess, daemon: DaemonProcess) -> None:
    """The differences it stores add up to what the counters grew by between two walks around them."""
    daemon.config["snmp"] = {"interval": "1s", "targets": [{"name": "box", "address": "127.0.0.1", "port": agent.port}]}
    before = counters(agent)
    daemon.start()
    wait_for(lambda: daemon.status()["devices"][0]["interfaces"], 20, "ports of the device")
    device = daemon.status()["devices"][0]
    assert device["backend"] == "native"
    assert device["timeout_seconds"] <= 2.0
    assert device["identity"].startswith("engine 80001f88"), "net-snmp's enterprise number"
    time.sleep(3)
    assert daemon.stop() == 0
    assert (daemon.state_dir / "snmp-devices.bin").read_bytes().startswith(b"netmote-snmp-devices-1\n")
    after = counters(agent)
    rows = [row for row in exported(daemon, "interfaces") if row["device"] == "box"]
    assert {str(row["if_index"]) for row in rows} == before.keys()
    grown = 0
    for index in before:
        for name in COLUMNS:
            growth = sum(row[name] or 0 for row in rows if str(row["if_index"]) == index)
            assert 0 <= growth <= after[index][name] - before[index][name]
            grown += growth
    assert grown > 0
    polls = exported(daemon, "devices")
    assert len(polls) >= 3
    assert all(row["is_reachable"] for row in polls)


def test_a_device_that_falls_silent_is_alerted_and_resolved(
    agent: AgentProcess, daemon: DaemonProcess, collector: CollectorProcess
) -> None:
    """Stopping snmpd raises snmp-broken at the collector, starting it again resolves the same alert."""
    daemon.config["snmp"] = {
        "interval": "1s",
        "targets": [{"name": "box", "address": "127.0.0.1", "port": agent.port, "timeout": "500ms", "retries": 0}],
    }
    daemon.config["sinks"] = [{"type": "webhook", "name": "upstream", "url": collector.url}]
    collector.start()
    daemon.start()
    wait_for(lambda: daemon.status()["devices"][0]["state"] == "up", 20, "an answer of the device")
    agent.stop()

    def findings(activity: int) -> list[dict]:
        found = [each for each in collector.findings() if each["activity_id"] == activity]
        return [each for each in found if each["finding_info"]["analytic"]["uid"] == "snmp_broken"]

    created, closed = 1, 3
    firing = wait_for(lambda: findings(created), 30, "snmp-broken at the collector")[0]
    assert firing["resources"][0]["name"] == "box"
    assert daemon.status()["devices"][0]["state"] == "snmp_broken"
    agent.start()
    resolved = wait_for(lambda: findings(closed), 40, "the end of snmp-broken at the collector")[0]
    assert resolved["finding_info"]["uid"] == firing["finding_info"]["uid"]
    wait_for(lambda: daemon.status()["devices"][0]["state"] == "up", 20, "the device up again")
    assert daemon.stop() == 0


def test_a_removed_device_leaves_no_alert_behind(agent: AgentProcess, daemon: DaemonProcess) -> None:
    """An alert of a device that is taken out of the configuration ends: nobody else would ever end it."""
    target = {"name": "box", "address": "127.0.0.1", "port": agent.port, "timeout": "300ms", "retries": 0}
    daemon.config["snmp"] = {"interval": "1s", "targets": [target]}
    agent.stop()
    daemon.start()
    wait_for(lambda: [a for a in daemon.alerts() if a["group"] == "snmp_broken"], 30, "snmp-broken")
    daemon.config["snmp"] = {"targets": []}
    daemon.write_config()
    daemon.reload()
    wait_for(lambda: [a for a in daemon.alerts() if a["group"] == "snmp_broken" and a["state"] == "resolved"], 15, "its end")
    assert daemon.stop() == 0
