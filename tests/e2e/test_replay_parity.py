"""What the daemon saw live and what `netmote replay` makes of the tee of it: the same windows, to the last bit."""

import json
import subprocess
import sys
import time

import pytest
from processes import DaemonProcess, Network, run

from netmote.analysis.analysis import Analysis
from netmote.analysis.outcome import Outcome
from netmote.daemon.config import Config
from netmote.records.flow import FlowBatch
from netmote.scoring.rules.rule_set import RuleSet

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


def test_live_and_replay_are_the_same(network: Network, daemon: DaemonProcess, tmp_path) -> None:
    """Pings, a scan, silence and pings again: hashes of every traffic window are equal, and so are the totals.

    Up to the pane of the last packet: how long the live run went on in silence after it, no capture can tell.
    """
    tee = tmp_path / "tee"
    daemon.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"], "tee_dir": str(tee)}
    daemon.start()
    run(*network.in_peer("ping", "-q", "-c", "10", "-i", "0.1", "10.77.0.1"))
    run(*network.in_peer("nmap", "-sS", "-n", "-Pn", "--max-retries", "0", "-p", "1-300", "10.77.0.1"))
    time.sleep(12)
    run(*network.in_peer("ping", "-q", "-c", "20", "-i", "0.1", "10.77.0.1"))
    time.sleep(2)
    assert daemon.stop() == 0

    (capture,) = tee.glob("*.pcapng")
    assert capture.stat().st_mode & 0o007 == 0
    answer = replay(daemon, str(capture))
    replayed = [line for line in answer if line.get("hash")]
    summary = answer[-1]["summary"]

    live = [batch for batch in daemon.stored_batches() if isinstance(batch, FlowBatch)]
    config = Config.model_validate(daemon.config)
    analysis = Analysis(config, sensor="e2e", rules=RuleSet.load(["builtin"]), detectors=())
    outcome = Outcome.joined([*(analysis.observe(batch) for batch in live), analysis.finish()])
    last_ns = max(batch.end_ns for batch in live if batch.loss.received)
    windows = [window for window in outcome.vectors if window.schema.name == "traffic" and window.end_ns <= last_ns]
    assert len(windows) >= 2
    traffic = [line for line in replayed if line["window"] == "traffic" and line["end_ns"] <= last_ns]
    assert [window.hash for window in windows] == [line["hash"] for line in traffic]
    assert sum(batch.loss.received for batch in live) == summary["packets"]
    assert sum(batch.loss.metered for batch in live) == summary["metered"]
    raised = {(alert.group, str(alert.entity)) for alert in outcome.alerts}
    assert any(group.endswith("scan") for group, _ in raised)


def replay(daemon: DaemonProcess, capture: str) -> list[dict]:
    answer = subprocess.run(
        [sys.executable, "-m", "netmote", "replay", capture, "--hashes", "--json", "--config", str(daemon.config_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [json.loads(line) for line in answer.stdout.splitlines()]
