"""A port scan on a wire becomes a stored, explained, forwarded alert, and outages lose nothing."""

import json
import shutil
import subprocess
import time

import pytest
from processes import PYTHON, CollectorProcess, DaemonProcess, Network, run, wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


def scan(network: Network, target: str, ports: int, *, source: str | None = None) -> None:
    """Nmap's SYN scan from the peer, as fast as it likes, without asking anything outside the namespaces."""
    if shutil.which("nmap") is None:
        pytest.skip("nmap is not installed")
    chosen = ["-S", source, "-e", "wire1"] if source else []
    command = network.in_peer("nmap", "-sS", "-n", "-Pn", "--max-retries", "0", *chosen, "-p", f"1-{ports}", target)
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def scans(findings: list[dict]) -> list[dict]:
    return [each for each in findings if each["finding_info"].get("attacks") == [{"technique": {"uid": "T1046"}}]]


def test_scan_is_alerted_forwarded_and_survives_a_kill(
    network: Network, daemon: DaemonProcess, collector: CollectorProcess
) -> None:
    """Within 20 s of its start the scan is at the collector, explained; it is in the ledger after kill -9 and a restart."""
    daemon.prefix = collector.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"]}
    daemon.config["sinks"] = [{"type": "webhook", "name": "upstream", "url": collector.url}]
    collector.start()
    daemon.start()
    began = time.monotonic()
    scan(network, "10.77.0.1", 1000)
    found = wait_for(lambda: scans(collector.findings()), 20 - (time.monotonic() - began), "the scan at the collector")
    assert time.monotonic() - began < 20
    finding = found[0]
    alert_id = finding["finding_info"]["uid"]
    assert "10.77.0." in finding["resources"][0]["name"]
    assert any(each["value"] > 100 for each in finding["unmapped"]["contributors"])
    assert finding["unmapped"]["evidence"]["top_ports"]
    assert finding["remediation"]["desc"]

    daemon.kill()
    kept = [alert for alert in daemon.alerts() if alert["technique"] == "T1046"]
    assert kept
    assert kept[0]["alert_id"] == alert_id
    shown = daemon.netmote("alerts", "show", alert_id[:8])
    assert shown.returncode == 0
    assert "netmote alerts silence" in shown.stdout
    daemon.start()
    again = [alert["alert_id"] for alert in daemon.alerts() if alert["technique"] == "T1046"]
    assert alert_id in again
    assert daemon.stop() == 0
    ids = [(event["source"], event["id"]) for event in collector.events()]
    assert len(ids) == len(set(ids))


def test_collector_outage_loses_nothing(network: Network, daemon: DaemonProcess, collector: CollectorProcess) -> None:
    """Alerts made while the collector is down, and across a kill -9 of the daemon, arrive when it is back: each once."""
    run(*network.in_peer("ip", "addr", "add", "10.77.0.3/24", "dev", "wire1"))
    daemon.prefix = collector.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"]}
    daemon.config["sinks"] = [{"type": "webhook", "name": "upstream", "url": collector.url}]
    daemon.start()
    scan(network, "10.77.0.1", 600)
    wait_for(lambda: [a for a in daemon.alerts() if a["technique"] == "T1046"], 25, "the alert in the ledger")
    status = wait_for(
        lambda: next((s for s in daemon.status()["sinks"] if s["state"] == "retrying" and s["queued"]), None), 20, "the queue"
    )
    assert status["last_error"]
    daemon.kill()
    daemon.start()
    made = {(alert["alert_id"]) for alert in daemon.alerts()}
    collector.start()
    wait_for(lambda: made <= collector.alert_ids(), 70, "what was made during the outage")
    wait_for(lambda: all(not s["queued"] for s in daemon.status()["sinks"]), 20, "an empty queue")
    code = f"import urllib.request; print(urllib.request.urlopen('{collector.url}count', timeout=10).read().decode())"
    count = json.loads(run(*network.in_sensor(PYTHON, "-c", code)).stdout)
    assert count["events"] == len(collector.events())
    assert daemon.stop() == 0
