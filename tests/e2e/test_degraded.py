"""Each rung of the ladder and each missing input: said once, visible in `netmote status`, and the rest goes on."""

import shutil
import stat

import pytest
from processes import DaemonProcess, wait_for

pytestmark = pytest.mark.timeout(90)


@pytest.mark.root
def test_without_permission_to_capture(daemon: DaemonProcess) -> None:
    """It says so once, goes on with host counters, and `netmote status` exits 1 naming the reason and the remedy."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    daemon.prefix = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    daemon.config["capture"] = {"interfaces": ["lo", "auto"]}
    daemon.start()
    answer = daemon.netmote("status")
    assert answer.returncode == 1
    assert "CAP_NET_RAW" in answer.stdout
    host = wait_for(lambda: [i for i in daemon.status()["inputs"] if i["kind"] == "host" and i["received_total"]], 20, "readings")
    assert host[0]["state"] == "running"
    assert daemon.log.count("no capture: ") == 1
    raised = wait_for(lambda: [a for a in daemon.alerts() if a["group"] == "capture_unavailable"], 15, "the alert about it")
    assert raised[0]["entity"] == {"kind": "sensor", "name": "e2e"}
    assert daemon.stop() == 0

    daemon.prefix = []
    daemon.config["capture"] = {"interfaces": ["lo"]}
    daemon.start()
    assert daemon.netmote("status").returncode == 0
    ended = wait_for(
        lambda: [a for a in daemon.alerts() if a["group"] == "capture_unavailable" and a["state"] == "resolved"], 15, "its end"
    )
    assert ended[0]["alert_id"] == raised[0]["alert_id"]
    assert daemon.stop() == 0


def test_without_a_model_the_level_is_rules(daemon: DaemonProcess) -> None:
    """No usable model is the level `rules` with its reason, in the exit status and in an alert; a bundle again is `full` at a reload."""
    daemon.config["models"] = {"bundles": []}
    daemon.start()
    answer = daemon.netmote("status")
    assert answer.returncode == 1
    assert "level rules" in answer.stdout
    assert "no usable model" in answer.stdout
    raised = wait_for(lambda: [a for a in daemon.alerts() if a["group"] == "degraded_to_rules"], 50, "the alert about it")
    assert "no usable model" in raised[0]["title"]
    daemon.config["models"] = {"bundles": ["builtin"]}
    daemon.write_config()
    daemon.reload()
    assert daemon.netmote("status").returncode == 0
    assert daemon.status()["level"] == "full"
    states = lambda: [a["state"] for a in daemon.alerts() if a["group"] == "degraded_to_rules"]  # noqa: E731
    wait_for(lambda: states() == ["resolved"], 20, "its end")
    assert daemon.stop() == 0


def test_not_running(daemon: DaemonProcess) -> None:
    """Exit status 3 before the first start, after a stop and after kill -9, and a sentence naming the directory."""
    daemon.state_dir.mkdir()
    for end in (lambda: None, daemon.stop, daemon.kill):
        if end in (daemon.stop, daemon.kill):
            daemon.start()
            end()
        answer = daemon.netmote("status")
        assert answer.returncode == 3
        assert str(daemon.state_dir) in answer.stderr


def test_a_second_daemon_is_refused(daemon: DaemonProcess) -> None:
    """One state directory, one daemon: the second one names the first and ends, the first is not disturbed."""
    daemon.start()
    second = DaemonProcess(daemon.state_dir, daemon.config)
    second.launch(log="second.log")
    assert second.process is not None
    assert second.process.wait(20) == 1
    said = (daemon.state_dir.parent / "second.log").read_text()
    assert f"in use by process {daemon.process.pid}" in said
    assert "Traceback" not in said
    assert daemon.netmote("status").returncode == 0
    assert daemon.stop() == 0


def test_files_are_not_for_others(daemon: DaemonProcess) -> None:
    """Nothing the daemon writes can be read by other users; the socket is its own user's alone."""
    daemon.start()
    assert daemon.stop() == 0
    daemon.start()
    files = list(daemon.state_dir.iterdir())
    assert {"ledger.db", "learned.bin", "control.sock"} <= {path.name for path in files}
    for path in files:
        mode = path.stat().st_mode
        assert mode & stat.S_IRWXO == 0, f"{path.name} {mode:o}"
        assert mode & stat.S_IWGRP == 0, f"{path.name} {mode:o}"
    assert (daemon.state_dir / "control.sock").stat().st_mode & 0o777 == 0o600
    assert daemon.stop() == 0


def test_secrets_are_never_written(daemon: DaemonProcess, tmp_path) -> None:
    """A community, a token: not in the log at its most talkative, not in the status, not in the state directory."""
    secret = "s3cr3t-never-shown"
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "secret").chmod(0o600)
    reference = f"file:{tmp_path / 'secret'}"
    daemon.config["log"] = {"level": "debug"}
    daemon.config["snmp"] = {
        "interval": "1s",
        "targets": [{"name": "box", "address": "127.0.0.1", "port": 9, "community": reference, "timeout": "200ms", "retries": 0}],
    }
    daemon.config["sinks"] = [
        {"type": "webhook", "name": "upstream", "url": "http://127.0.0.1:9/", "token": reference},
    ]
    daemon.start()
    wait_for(lambda: [a for a in daemon.alerts() if a["group"] == "snmp_broken"], 30, "snmp-broken")
    wait_for(lambda: daemon.status()["sinks"][0]["state"] == "retrying", 20, "a delivery tried")
    daemon.config["host"] = {"interval": "never"}
    daemon.write_config()
    daemon.reload()
    shown = daemon.netmote("status").stdout + daemon.netmote("status", "--json").stdout
    assert daemon.stop() == 0
    assert secret not in daemon.log
    assert secret not in shown
    for path in daemon.state_dir.iterdir():
        assert secret.encode() not in path.read_bytes(), path.name
