"""`netmote alerts evidence`: where the packets are, a copy of them, one line a packet, and a sentence when there are none."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from frames_in_memory import frames_of
from manual_clock import ManualClock
from sample_alert import sample_alert
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from typer.testing import CliRunner

from netmote.capture.frames import LINKTYPE_ETHERNET
from netmote.capture.recent_headers import KeptHeaders
from netmote.cli.main import app
from netmote.daemon.evidence_files import EvidenceBounds, EvidenceFiles, EvidencePart, evidence_path
from netmote.errors import Permanent
from netmote.store.config import StoreConfig
from netmote.store.store import Store

FRAMES = [
    *(bytes(Ether() / IP(src="192.0.2.7", dst="10.0.0.1") / TCP(sport=4000, dport=port, flags="S")) for port in range(1, 21)),
    bytes(Ether() / ARP(pdst="192.0.2.7")),
]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A ledger of two alerts; the first has evidence, of snapped headers."""
    state = tmp_path / "state"

    async def commit() -> None:
        store = Store(state, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock())
        await store.open()
        await store.commit([sample_alert(1), sample_alert(2)], None)
        await store.close()

    asyncio.run(commit())
    frames = frames_of(FRAMES, captured=[min(len(frame), 54) for frame in FRAMES])
    count = len(FRAMES)
    part = EvidencePart("eth0", LINKTYPE_ETHERNET, KeptHeaders(frames, np.ones(count, "f4")), np.zeros(count, "?"))
    bounds = EvidenceBounds(file_bytes=10**6, disk_bytes=10**6, age_ns=10**18)
    EvidenceFiles(state).add(sample_alert(1).alert_id, [part], until_ns=10**18, comment="why", bounds=bounds)
    return state


def ask(state_dir: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["alerts", *arguments, "--state-dir", str(state_dir)], env={"COLUMNS": "200"})
    if isinstance(result.exception, Permanent):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_where_and_what(state_dir: Path) -> None:
    """The path and what the file holds; as JSON the same for programs; `show` says how to see them."""
    alert_id = sample_alert(1).alert_id
    shown = ask(state_dir, "evidence", alert_id)
    assert str(evidence_path(state_dir, alert_id)) in shown
    assert "21 packets of eth0" in shown
    assert "2023-11-14T22:13:20Z to 2023-11-14T22:13:40Z" in shown
    record = json.loads(ask(state_dir, "evidence", alert_id, "--json"))
    assert (record["packets"], record["interfaces"], record["damage"]) == (21, ["eth0"], None)
    assert f"netmote alerts evidence {alert_id}" in ask(state_dir, "show", alert_id)
    assert "alerts evidence" not in ask(state_dir, "show", sample_alert(2).alert_id)


def test_a_copy(state_dir: Path, tmp_path: Path) -> None:
    """Byte for byte; a place that cannot be written is named, and the evidence is never written over by itself."""
    alert_id = sample_alert(1).alert_id
    path = evidence_path(state_dir, alert_id)
    ask(state_dir, "evidence", alert_id, "--output", str(tmp_path / "copy.pcapng"))
    assert (tmp_path / "copy.pcapng").read_bytes() == path.read_bytes()
    with pytest.raises(Permanent, match="cannot be written"):
        ask(state_dir, "evidence", alert_id, "--output", str(tmp_path / "absent" / "copy.pcapng"))
    with pytest.raises(Permanent, match="cannot be written"):
        ask(state_dir, "evidence", alert_id, "--output", str(path))


def test_dissected(state_dir: Path) -> None:
    """One line a packet in order, with time, addresses, ports and flags; how many more there are is said."""
    lines = ask(state_dir, "evidence", sample_alert(1).alert_id, "--dissect").splitlines()
    packets = [line for line in lines if line.startswith("2023-") and " to " not in line]
    assert len(packets) == 21
    assert "192.0.2.7:" in packets[0]
    assert packets[0].startswith("2023-11-14T22:13:20Z")
    assert "ARP" in packets[-1]
    few = ask(state_dir, "evidence", sample_alert(1).alert_id, "--dissect", "--limit", "5").splitlines()
    assert few[-1] == "... and 16 more; --limit shows them"


def test_without_scapy(state_dir: Path) -> None:
    """An installation without scapy is told what is missing in one sentence; everything else works."""
    hide = "import sys; sys.modules['scapy'] = None; from netmote.cli.main import run; run()"
    command = [sys.executable, "-c", hide, "alerts", "evidence", sample_alert(1).alert_id, "--state-dir", str(state_dir)]
    plain = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert plain.returncode == 0, plain.stderr
    asked = subprocess.run([*command, "--dissect"], capture_output=True, text=True, check=False, timeout=60)
    assert asked.returncode == 1
    assert asked.stderr.startswith("netmote: --dissect needs scapy, which is not installed")
    assert "Traceback" not in asked.stderr


def test_no_evidence_says_why(state_dir: Path) -> None:
    """An alert without packets gives the possible reasons, whatever is asked."""
    for more in ((), ("--dissect",), ("--output", str(state_dir / "x"))):
        with pytest.raises(Permanent, match=r"no packets are kept of this alert .*evidence_size"):
            ask(state_dir, "evidence", sample_alert(2).alert_id, *more)
    assert not (state_dir / "x").exists()


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_others_read_it(state_dir: Path) -> None:
    """Tshark sees the same packets."""
    command = ["tshark", "-r", str(evidence_path(state_dir, sample_alert(1).alert_id)), "-T", "fields", "-e", "tcp.dstport"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == [str(port) for port in range(1, 21)]
