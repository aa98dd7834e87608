"""The status page's place in the daemon: opened and closed with its settings. Without it everything else runs on, and says so."""

import logging
from typing import TYPE_CHECKING

from netmote.telemetry.health import Level
from netmote.web.config import WebConfig
from netmote.web.server import StatusServer

if TYPE_CHECKING:
    from netmote.daemon.lifecycle import Daemon

log = logging.getLogger(__name__)

COMPONENT = "web"


class Page:
    """Of one daemon. `server`: None while nothing listens."""

    def __init__(self, daemon: "Daemon") -> None:
        self.server: StatusServer | None = None
        self._daemon = daemon

    async def open(self, config: WebConfig) -> None:
        """Listen as configured. An address that cannot be had is a reason in health, not an error."""
        daemon = self._daemon
        if not config.listens_at:
            daemon.health.recover(COMPONENT)
            return
        server = StatusServer(config, snapshot=daemon.survey.snapshot, alert=daemon.store.alert, metrics=daemon.metrics)
        try:
            await server.open()
        except OSError as error:
            daemon.health.degrade(COMPONENT, Level.FULL, f"no status page on {config.listens_at}: {error.strerror}")
            log.warning("no status page: %s", error, extra={"component": COMPONENT})
            return
        self.server = server
        daemon.health.recover(COMPONENT)
        log.info("status page: %s", server.url, extra={"component": COMPONENT})

    async def close(self) -> None:
        """Stop listening. Safe without open, safe twice."""
        server, self.server = self.server, None
        if server is not None:
            await server.close()
