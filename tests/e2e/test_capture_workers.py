"""The real daemon with two capture processes: packets, a kill of one of them, a reload to one reader, and an orderly end."""

import os
import signal
import subprocess
import time

import psutil
import pytest
from processes import DaemonProcess, Network, wait_for

from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


def workers(daemon: DaemonProcess) -> list[int]:
    found = psutil.Process(daemon.process.pid).children(recursive=True)
    return sorted(each.pid for each in found if any("capture_worker" in part for part in each.cmdline()))


def test_two_workers_of_a_real_daemon(network: Network, daemon: DaemonProcess) -> None:
    """Everything sent is stored or told as lost; the death of a worker is in status and store; none outlives the daemon."""
    daemon.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"], "workers": 2}
    daemon.start()
    pair = wait_for(lambda: len(workers(daemon)) == 2 and workers(daemon), 20, "two workers")
    ping = subprocess.Popen(network.in_peer("ping", "-q", "-i", "0.05", "10.77.0.1"), stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: daemon.status()["inputs"][0]["received_total"], 20, "packets")
        assert daemon.status()["inputs"][0]["state"] == "running"
        os.kill(pair[0], signal.SIGKILL)
        wait_for(
            lambda: [each for each in daemon.status()["reasons"] if "SIGKILL" in each["text"]],
            10,
            "the death of a worker in status",
        )
        again = wait_for(lambda: len(workers(daemon)) == 2 and workers(daemon), 10, "another worker")
        assert pair[1] in again
        assert pair[0] not in again
        time.sleep(7)
        daemon.config["capture"] = {"interfaces": ["wire0"]}
        daemon.write_config()
        daemon.reload()
        wait_for(lambda: not workers(daemon), 10, "the workers' end")
        before = daemon.status()["inputs"][0]["received_total"]
        wait_for(lambda: daemon.status()["inputs"][0]["received_total"] > before, 15, "packets of the one reader")
        daemon.config["capture"] = {"interfaces": ["wire0"], "workers": 3}
        daemon.write_config()
        daemon.reload()
        trio = wait_for(lambda: len(workers(daemon)) == 3 and workers(daemon), 10, "three workers")
    finally:
        ping.terminate()
        ping.wait(10)
    assert daemon.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in {*pair, *again, *trio})
    batches = daemon.stored_batches()
    assert sum(batch.loss.received for batch in batches if isinstance(batch, FlowBatch)) > 100
    facts = [fact.name for batch in batches if isinstance(batch, FactBatch) for fact in batch.facts]
    assert facts.count("capture_worker_restarted") == 1


def test_no_worker_outlives_a_daemon_that_is_killed(network: Network, daemon: DaemonProcess) -> None:
    """Kill -9 of the daemon closes the channels: the workers end by themselves."""
    daemon.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"], "workers": 2}
    daemon.start()
    pair = wait_for(lambda: len(workers(daemon)) == 2 and workers(daemon), 20, "two workers")
    time.sleep(1)
    daemon.kill()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pair), 10, "the workers' end")
