"""SIGHUP: a good document is taken up where it changed, a bad one changes nothing; what did not change has no gap."""

import itertools
import subprocess
import time

import pytest
from processes import CollectorProcess, DaemonProcess, Network, run, wait_for

from netmote.records.flow import PANE_NS, FlowBatch
from netmote.records.host import HostRecord

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


def test_unaffected_inputs_have_no_gap(network: Network, daemon: DaemonProcess, collector: CollectorProcess) -> None:
    """Through a bad and two good reloads, panes and host readings follow each other without a hole; new parts run."""
    daemon.prefix = collector.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"]}
    daemon.start()
    ping = subprocess.Popen(network.in_peer("ping", "-q", "-i", "0.2", "10.77.0.1"), stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: daemon.status()["inputs"][0]["received_total"], 20, "packets")

        daemon.config["host"] = {"intervall": "1s"}
        daemon.write_config()
        daemon.reload()
        status = daemon.status()
        assert [reason["component"] for reason in status["reasons"]] == ["config"]
        assert "host.intervall" in status["reasons"][0]["text"]
        assert f"{daemon.config_path}" in daemon.log

        daemon.config["host"] = {"interval": "1s"}
        daemon.config["sinks"] = [{"type": "webhook", "name": "upstream", "url": collector.url}, {"type": "journal"}]
        daemon.config["log"] = {"level": "debug"}
        daemon.write_config()
        daemon.reload()
        status = daemon.status()
        assert status["reasons"] == []
        assert {sink["name"] for sink in status["sinks"]} == {"upstream", "journal"}

        run(*network.in_sensor("ip", "link", "add", "spare0", "type", "veth", "peer", "name", "spare1"))
        run(*network.in_sensor("ip", "link", "set", "spare0", "up"))
        daemon.config["capture"] = {"interfaces": ["wire0", "spare0"]}
        daemon.write_config()
        daemon.reload()
        wait_for(
            lambda: [i for i in daemon.status()["inputs"] if i["name"] == "spare0" and i["state"] == "running"], 10, "spare0"
        )
        time.sleep(6)
    finally:
        ping.terminate()
        ping.wait(10)
    assert daemon.stop() == 0
    batches = daemon.stored_batches()
    panes = [batch for batch in batches if isinstance(batch, FlowBatch) and batch.interface == "wire0"]
    assert len(panes) >= 2
    assert all(later.start_ns == earlier.end_ns for earlier, later in itertools.pairwise(panes))
    assert all(batch.end_ns - batch.start_ns == PANE_NS for batch in panes)
    assert sum(batch.loss.dropped for batch in panes) == 0
    readings = [batch for batch in batches if isinstance(batch, HostRecord)]
    assert len(readings) >= 5
    assert all(later.start_ns == earlier.end_ns for earlier, later in itertools.pairwise(readings))


def test_a_reload_before_any_change_says_so(daemon: DaemonProcess) -> None:
    """SIGHUP without a change begins nothing anew, and one of what waits for the next start says that."""
    daemon.start()
    daemon.reload()
    assert "nothing changed" in daemon.log
    daemon.config["sensor"] = "renamed"
    daemon.write_config()
    daemon.reload()
    assert "at the next start: sensor" in daemon.log
    assert daemon.status()["sensor"] == "e2e"
    assert daemon.stop() == 0


def test_a_second_request_to_stop_is_obeyed_at_once(daemon: DaemonProcess) -> None:
    """The first SIGTERM ends in good order, a second one at once; the next start finds everything as it was."""
    daemon.start()
    assert daemon.process is not None
    daemon.process.terminate()
    daemon.process.terminate()
    assert daemon.process.wait(5) in (0, 1)
    daemon.start()
    assert daemon.stop() == 0


def test_a_stop_while_starting(daemon: DaemonProcess) -> None:
    """SIGTERM in the first instants ends the daemon, whatever it had begun, and leaves the state directory usable."""
    for wait in (0.3, 0.8, 1.2):
        daemon.launch()
        assert daemon.process is not None
        time.sleep(wait)
        daemon.process.terminate()
        assert daemon.process.wait(15) in (0, -15)
    daemon.start()
    assert daemon.stop() == 0
