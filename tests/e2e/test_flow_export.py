"""A scan on a wire, exported by the real daemon: every flow of it is at nfcapd and in the file."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow_collectors import Nfcapd
from processes import DaemonProcess, Network, wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
PORTS = 300


@pytest.fixture
def nfcapd(network: Network, tmp_path: Path) -> Iterator[Nfcapd]:
    nfcapd = Nfcapd(tmp_path / "flows", prefix=network.in_sensor()).start()
    yield nfcapd
    nfcapd.stop()


def scan(network: Network, first: int) -> None:
    if shutil.which("nmap") is None:
        pytest.skip("nmap is not installed")
    command = ["nmap", "-sS", "-n", "-Pn", "--max-retries", "0", "-p", f"{first}-{first + PORTS - 1}", "10.77.0.1"]
    subprocess.run(network.in_peer(*command), check=True, capture_output=True, timeout=60)


def export(daemon: DaemonProcess, name: str) -> dict:
    return next((each for each in (daemon.status() or {"exports": []})["exports"] if each["name"] == name), {})


def test_a_scan_is_at_the_collector_and_in_the_file(network: Network, daemon: DaemonProcess, nfcapd: Nfcapd) -> None:
    """Each probed port is a flow at nfcapd; an exporter added by a reload gets the next scan; nothing is lost at the stop."""
    daemon.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"]}
    daemon.config["flow_export"] = [{"type": "ipfix", "host": "127.0.0.1", "port": nfcapd.port, "records": "biflow"}]
    daemon.start()
    scan(network, 1)
    wait_for(lambda: export(daemon, "ipfix").get("exported_total", 0) >= PORTS, 30, "the first scan")
    daemon.config["flow_export"].append({"type": "eve"})
    daemon.write_config()
    daemon.reload()
    scan(network, 10_001)
    wait_for(lambda: export(daemon, "eve").get("exported_total", 0) >= PORTS, 30, "the second scan")
    status = export(daemon, "ipfix")
    assert (status["state"], status["lost"], status["queued"]) == ("ok", {}, 0)
    assert "export    ipfix ok" in daemon.netmote("status").stdout
    assert daemon.stop() == 0
    nfcapd.stop()

    flows = [flow for flow in nfcapd.flows() if flow["proto"] == 6 and flow["src4_addr"] == "10.77.0.2"]
    probed = {*range(1, 1 + PORTS), *range(10_001, 10_001 + PORTS)}
    assert {flow["dst_port"] for flow in flows} == probed
    for flow in flows:
        assert (flow["dst4_addr"], flow["in_packets"], flow["out_packets"]) == ("10.77.0.1", 1, 1)
        assert flow["flags"] == 0x02  # a SYN; the RST came back
    events = [json.loads(line) for line in (daemon.state_dir / "eve.json").read_text().splitlines()]
    scanned = [event for event in events if event.get("src_ip") == "10.77.0.2" and event["proto"] == "TCP"]
    assert {event["dest_port"] for event in scanned} == set(range(10_001, 10_001 + PORTS))
    assert {(event["in_iface"], event["flow"]["state"], event["tcp"]["tcp_flags_tc"]) for event in scanned} == {
        ("wire0", "closed", "14")
    }
