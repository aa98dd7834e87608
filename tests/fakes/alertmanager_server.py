"""Debian's Alertmanager as a process, and somebody whom it notifies."""

import json
import shutil
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from server_process import ServerProcess, low_port

PROGRAM = "prometheus-alertmanager"
HEARTBEAT = "NetmoteHeartbeat"


class AlertmanagerServer(ServerProcess):
    """One Alertmanager on loopback, alone. It notifies `notify` at once, and of changes each second."""

    def __init__(self, folder: Path, *, notify: str = "http://127.0.0.1:9/", web_config: dict[str, Any] | None = None) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            pytest.skip(f"{PROGRAM} is not installed")
        folder.mkdir(exist_ok=True)
        config = {
            "route": {
                "receiver": "test",
                "group_by": ["..."],
                "group_wait": "50ms",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "test", "webhook_configs": [{"url": notify, "send_resolved": True}]}],
        }
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        port = low_port()
        command = [program, f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        if web_config is not None:
            (folder / "web.yml").write_text(yaml.safe_dump(web_config))
            command.append(f"--web.config.file={folder / 'web.yml'}")
        super().__init__(command, port=port, log=folder / "log")
        self.url = f"{'http' if web_config is None else 'https'}://127.0.0.1:{port}"

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds as active, by our numbers; heartbeats too."""
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5, context=unverified) as answer:
            found = json.load(answer)
        return sorted(found, key=lambda alert: int(alert["annotations"].get("seq", "0")))


class Notified:
    """Takes Alertmanager's notifications: `[(state, labels, annotations)]` in order of arrival."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, dict[str, str], dict[str, str]]] = []

    async def start(self, port: int = 0) -> None:
        application = web.Application()
        application.add_routes([web.post("/", self._post)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            self.note(alert["status"], alert["labels"], alert["annotations"])
        return web.Response()

    def note(self, state: str, labels: dict[str, str], annotations: dict[str, str]) -> None:
        self.alerts.append((state, labels, annotations))
