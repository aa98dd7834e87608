"""The real daemon and a real Alertmanager: what fires is there, through kills of both, until it is silenced."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from alertmanager_server import HEARTBEAT, AlertmanagerServer
from processes import DaemonProcess, wait_for

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AlertmanagerServer]:
    """Killed afterwards."""
    made = AlertmanagerServer(tmp_path / "alertmanager")
    made.start()
    yield made
    made.kill()


def test_what_fires_is_there_until_it_is_silenced(daemon: DaemonProcess, server: AlertmanagerServer) -> None:
    """Told again after Alertmanager was killed, after the daemon was, and no more once it is silenced; the heartbeat beside it."""
    daemon.config["heartbeat"] = {"interval": "10s"}
    daemon.config["sinks"] = [{"type": "alertmanager", "name": "people", "url": server.url, "resend": "1s"}]
    daemon.start()
    wait_for(lambda: daemon.status()["inputs"][0]["received_total"], 20, "readings")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

        def held() -> list[dict[str, str]]:
            found = [each for each in server.alerts() if f"port {port} " in each["annotations"]["summary"]]
            return [{**each["labels"], **each["annotations"]} for each in found]

        (first,) = wait_for(held, 20, "the alert")
        assert (first["sensor"], first["severity"], first["entity"]) == ("e2e", "notice", "sensor:e2e")
        assert first["alertname"].startswith("new_listener")
        wait_for(lambda: [each for each in server.alerts() if each["labels"]["alertname"] == HEARTBEAT], 15, "the heartbeat")

        server.kill()
        server.start()
        assert [each["alert_id"] for each in wait_for(held, 15, "the alert after a kill of Alertmanager")] == [first["alert_id"]]

        daemon.kill()
        server.kill()
        server.start()
        daemon.start()
        assert [each["alert_id"] for each in wait_for(held, 15, "the alert after a kill of both")] == [first["alert_id"]]

        answer = daemon.netmote("alerts", "silence", first["alert_id"], "--reason", "ours")
        assert answer.returncode == 0, answer.stderr
        wait_for(lambda: not held(), 15, "its end in Alertmanager")
    assert daemon.stop() == 0
