"""`netmote replay`: alerts and totals of capture files, as text and as JSON lines."""

import json
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import wrpcap
from typer.testing import CliRunner

from netmote.cli.main import app

runner = CliRunner()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A SYN scan of 300 ports, each refused, and one ARP packet."""
    packets = [Ether(src="02:00:00:00:00:01") / ARP(psrc="10.0.0.9", pdst="10.0.0.1")]
    for port in range(1, 301):
        packets.append(Ether() / IP(src="10.0.0.9", dst="10.0.0.1") / TCP(sport=40_000, dport=port, flags="S"))
        packets.append(Ether() / IP(src="10.0.0.1", dst="10.0.0.9") / TCP(sport=port, dport=40_000, flags="RA"))
    for number, packet in enumerate(packets):
        packet.time = 1_700_000_000 + number * 0.005
    path = tmp_path / "scan.pcap"
    wrpcap(str(path), packets)
    return path


def test_scan_is_named(scan: Path) -> None:
    """The alert is printed as it fires, and the totals account for every packet."""
    result = runner.invoke(app, ["replay", str(scan)])
    assert result.exit_code == 0, result.output
    assert "10.0.0.9 scans ports: 300 ports of one peer" in result.output
    assert "601 packets, 600 metered, 1 not decodable (arp 1)" in result.output


def test_json_and_hashes(scan: Path) -> None:
    """Objects one a line: windows with their hashes, alerts, a summary; the same again gives the same."""
    first = runner.invoke(app, ["replay", str(scan), "--json", "--hashes"])
    again = runner.invoke(app, ["replay", str(scan), "--json", "--hashes"])
    assert first.output == again.output
    records = [json.loads(line) for line in first.output.splitlines()]
    assert any("hash" in record for record in records)
    assert [r["alert"]["technique"] for r in records if "alert" in r and r["alert"]["group"] == "vertical_scan"]
    summary = records[-1]["summary"]
    assert summary["packets"] == summary["metered"] + summary["refused"] + sum(summary["undecodable"].values()) == 601


def test_unreadable_files_are_named_and_the_rest_is_taken(scan: Path, tmp_path: Path) -> None:
    """A file that is no capture is one sentence; the next file is still replayed, and the status is 1."""
    nonsense = tmp_path / "nonsense.pcap"
    nonsense.write_text("hello")
    result = runner.invoke(app, ["replay", str(nonsense), str(scan)])
    assert result.exit_code == 1
    assert str(nonsense) in result.output
    assert "600 metered" in result.output
    stopped = runner.invoke(app, ["replay", str(nonsense), str(scan), "--no-keep-going"])
    assert "600 metered" not in stopped.output


def test_only_wanted_packets_are_replayed(scan: Path) -> None:
    """An expression leaves the others out of every total; a wrong one is told in libpcap's words, and the status is 1."""
    result = runner.invoke(app, ["replay", str(scan), "--filter", "tcp and dst portrange 1-100"])
    assert result.exit_code == 0, result.output
    assert "100 packets, 100 metered, 0 not decodable, 501 left out by the filter" in result.output
    wrong = runner.invoke(app, ["replay", str(scan), "--filter", "tcp and and"])
    assert wrong.exit_code == 1
    assert "syntax error" in wrong.output
