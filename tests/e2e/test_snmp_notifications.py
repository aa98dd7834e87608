"""A polled snmpd whose port goes down by its own word: the alert comes with the trap, not with the next poll."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DaemonProcess, Network, wait_for
from snmp_agent_process import AgentProcess
from snmp_agent_process import free_port as free_udp_port

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(shutil.which("snmptrap") is None, reason="net-snmp tools missing")]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    if shutil.which("snmpd") is None and not Path("/usr/sbin/snmpd").exists():
        pytest.skip("snmpd is not installed")
    directory = tmp_path / "agent"
    directory.mkdir()
    agent = AgentProcess(directory)
    agent.start()
    yield agent
    agent.stop()


def send(tool: str, port: int, state: Path, *varbinds: str, community: str = "public") -> None:
    (state / "cert_indexes").mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [tool, "-v2c", "-c", community, f"127.0.0.1:{port}", "", *varbinds],
        check=True,
        timeout=10,
        env={"MIBS": "", "PATH": "/usr/bin", "SNMP_PERSISTENT_DIR": str(state), "SNMPCONFPATH": str(state)},
    )


def link(word: str, index: str, *, admin: int, oper: int) -> tuple[str, ...]:
    columns = {"1": index, "7": str(admin), "8": str(oper)}
    trap = {"linkDown": "3", "linkUp": "4"}[word]
    varbinds = [part for column, value in columns.items() for part in (f"1.3.6.1.2.1.2.2.1.{column}.{index}", "i", value)]
    return (f"1.3.6.1.6.3.1.1.5.{trap}", *varbinds)


def test_a_link_down_trap_alerts_at_once_and_the_poll_brings_the_truth(
    agent: AgentProcess, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """The device is polled every 30 s. linkDown for `lo` raises interface-down within two seconds; linkUp resolves it as fast. What is
    unknown to the agent becomes a fact with a rule, a failed authentication its own alert, a stranger's community nothing but a count.
    """
    port = free_udp_port()
    daemon.config["snmp"] = {
        "interval": "30s",
        "targets": [{"name": "box", "address": "127.0.0.1", "port": agent.port}],
        "notifications": {"address": "127.0.0.1", "port": port},
    }
    daemon.start()
    wait_for(lambda: daemon.status()["devices"][0]["interfaces"], 20, "ports of the device")
    index = next(oid.rpartition(".")[2] for oid, name in agent.walk("1.3.6.1.2.1.31.1.1.1.1").items() if name == "lo")

    def alert(group: str, state: str) -> list[dict]:
        return [each for each in daemon.alerts() if each["group"] == group and each["state"] == state]

    began = time.monotonic()
    send("snmptrap", port, tmp_path / "s", *link("linkDown", index, admin=1, oper=2))
    firing = wait_for(lambda: alert("interface_down", "firing"), 5, "interface-down")
    took = time.monotonic() - began
    assert took < 4, "each look costs a process of its own; the alert itself takes milliseconds"
    assert firing[0]["entity"]["name"] == "box/lo"
    send("snmpinform", port, tmp_path / "s", *link("linkUp", index, admin=1, oper=1))
    wait_for(lambda: alert("interface_down", "resolved"), 5, "the end of interface-down")
    send("snmptrap", port, tmp_path / "s", "1.3.6.1.6.3.1.1.5.5")
    send("snmptrap", port, tmp_path / "s", "1.3.6.1.4.1.9.9.41.2.0.1", "1.3.6.1.4.1.9.9.41.1.2.3.1.5.1", "s", "fan 2 failed")
    wait_for(lambda: alert("foreign_authentication_failure", "firing"), 5, "the foreign authentication failure")
    notified = wait_for(lambda: alert("device_notification", "firing"), 5, "the notification")
    assert "fan 2 failed" in json.dumps(notified)
    send("snmptrap", port, tmp_path / "s", "1.3.6.1.6.3.1.1.5.1", community="guess")
    wait_for(lambda: "snmp_notifications/wrong_community" in json.dumps(daemon.status()), 5, "the count of what was not believed")
    assert daemon.stop() == 0


def test_a_port_that_cannot_be_had_degrades_notifications_alone(agent: AgentProcess, daemon: DaemonProcess) -> None:
    """Somebody else has the port: said in the status; the device is polled all the same."""
    daemon.config["snmp"] = {
        "interval": "1s",
        "targets": [{"name": "box", "address": "127.0.0.1", "port": agent.port}],
        "notifications": {"address": "127.0.0.1", "port": agent.port},
    }
    daemon.start()
    wait_for(lambda: daemon.status()["devices"][0]["interfaces"], 20, "ports of the device")
    assert f"UDP port {agent.port} is in use" in json.dumps(daemon.status())
    assert daemon.stop() == 0


def test_notifications_are_taken_up_and_given_up_by_a_reload(agent: AgentProcess, daemon: DaemonProcess, tmp_path: Path) -> None:
    """Off at the start, on after a reload, off after another; the device is polled on without a new beginning."""
    port = free_udp_port()
    target = {"name": "box", "address": "127.0.0.1", "port": agent.port}
    daemon.config["snmp"] = {"interval": "1s", "targets": [target]}
    daemon.start()
    wait_for(lambda: daemon.status()["devices"][0]["interfaces"], 20, "ports of the device")

    def reload(notifications: dict[str, object]) -> None:
        daemon.config["snmp"] = {"interval": "1s", "targets": [target], "notifications": notifications}
        daemon.write_config()
        daemon.reload()

    def is_bound() -> bool:
        return f":{port:04X} " in Path("/proc/net/udp").read_text()

    assert not is_bound()
    reload({"address": "127.0.0.1", "port": port})
    wait_for(is_bound, 5, "the port")
    send("snmptrap", port, tmp_path / "s", "1.3.6.1.6.3.1.1.5.5")
    wait_for(lambda: [each for each in daemon.alerts() if each["group"] == "foreign_authentication_failure"], 5, "the alert")
    reload({"address": ""})
    wait_for(lambda: not is_bound(), 5, "the end of the port")
    assert daemon.status()["devices"][0]["state"] == "up"
    assert daemon.stop() == 0


_IF_ENTRY = ".1.3.6.1.2.1.2.2.1"
_SNMPD = f"""
agentaddress udp:127.0.0.1:1161
rocommunity public
createUser _internal SHA internal-pass
iquerySecName _internal
rouser _internal
trap2sink 127.0.0.1:1162 public
notificationEvent up .1.3.6.1.6.3.1.1.5.4 {_IF_ENTRY}.1 {_IF_ENTRY}.7 {_IF_ENTRY}.8
notificationEvent down .1.3.6.1.6.3.1.1.5.3 {_IF_ENTRY}.1 {_IF_ENTRY}.7 {_IF_ENTRY}.8
monitor -r 1 -e up "up" {_IF_ENTRY}.8 != 2
monitor -r 1 -e down "down" {_IF_ENTRY}.8 == 2
"""


@pytest.mark.root
def test_snmpd_tells_of_its_own_link(network: Network, daemon: DaemonProcess, tmp_path: Path) -> None:
    """Net-snmp's event MIB watches a real cable: pulled at the other end, the port is alerted, not at the next poll in a minute."""
    if shutil.which("snmpd") is None:
        pytest.skip("snmpd is not installed")
    state = tmp_path / "snmpd"
    (state / "cert_indexes").mkdir(parents=True)
    (state / "agent.conf").write_text(_SNMPD)
    command = [
        "snmpd",
        "-f",
        "-I",
        "-smux",
        "-C",
        "-c",
        str(state / "agent.conf"),
        "-Lf",
        str(state / "log"),
        "-p",
        str(state / "pid"),
    ]
    environment = {
        "SNMP_PERSISTENT_DIR": str(state),
        "SNMPCONFPATH": str(state),
        "MIBS": "",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    daemon.prefix = network.in_sensor()
    daemon.config["snmp"] = {
        "interval": "60s",
        "targets": [{"name": "box", "address": "127.0.0.1", "port": 1161}],
        "notifications": {"address": "127.0.0.1", "port": 1162},
    }
    agent = subprocess.Popen(network.in_sensor(*command), env=environment)
    try:
        daemon.start()
        wait_for(lambda: daemon.status()["devices"][0]["interfaces"], 20, "ports of the device")
        subprocess.run(["ip", "-n", network.peer, "link", "set", "wire1", "down"], check=True)

        def states() -> list[tuple[str, str]]:
            return [(each["entity"]["name"], each["state"]) for each in daemon.alerts() if each["group"] == "interface_down"]

        wait_for(lambda: ("box/wire0", "firing") in states(), 12, "the port's alert")
        subprocess.run(["ip", "-n", network.peer, "link", "set", "wire1", "up"], check=True)
        wait_for(lambda: ("box/wire0", "resolved") in states(), 12, "its end")
        assert daemon.stop() == 0
    finally:
        agent.terminate()
        agent.wait(10)
