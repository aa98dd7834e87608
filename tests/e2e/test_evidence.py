"""A scan on a wire leaves its packets beside the alert."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from processes import DaemonProcess, Network, wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


def test_the_packets_of_a_scan_are_kept_and_read(network: Network, daemon: DaemonProcess) -> None:
    """The SYN packets of the scanner are in the alert's file, headers only, and every packet in it is of the scanner."""
    if shutil.which("nmap") is None or shutil.which("tshark") is None:
        pytest.skip("nmap or tshark is not installed")
    daemon.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"]}
    daemon.start()
    scan = network.in_peer("nmap", "-sS", "-n", "-Pn", "--max-retries", "0", "-p", "1-1000", "10.77.0.1")
    subprocess.run(scan, check=True, capture_output=True, timeout=60)

    def kept() -> dict | None:
        for alert in daemon.alerts():
            if alert["technique"] == "T1046":
                answer = daemon.netmote("alerts", "evidence", alert["alert_id"], "--json")
                if answer.returncode == 0:
                    return json.loads(answer.stdout)
        return None

    evidence = wait_for(kept, 25, "the evidence of the scan")
    assert evidence["interfaces"] == ["wire0"]
    assert Path(evidence["path"]).stat().st_mode & 0o007 == 0
    command = ["tshark", "-r", evidence["path"], "-T", "fields", "-e", "ip.addr", "-e", "tcp.dstport", "-e", "frame.cap_len"]
    rows = subprocess.run([*command, "-Y", "ip"], check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    told = [row.split("\t") for row in rows]
    assert all("10.77.0.2" in addresses for addresses, _, _ in told)
    assert {int(port) for _, port, _ in told if port} >= set(range(1, 1001))
    assert max(int(length) for _, _, length in told) <= 366
    shown = daemon.netmote("alerts", "evidence", evidence["alert_id"], "--dissect", "--limit", "3")
    assert "10.77.0." in shown.stdout, shown.stderr
    assert daemon.stop() == 0
