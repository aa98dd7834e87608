"""What the store and this process need once a minute: retention, expiry, the disk, and memory given back."""

import asyncio
import logging
from collections.abc import Callable

from netmote.daemon.memory import settle, trim
from netmote.store.store import Store, StoreStatistics
from netmote.telemetry.health import Health, Level

log = logging.getLogger(__name__)

COMPONENT = "store_log"
_SECONDS = 60.0
_HELD_LOG_BYTES = 2**24  # more than the log of a busy minute


class Maintenance:
    """Of one daemon. `told` gets the statistics of each turn."""

    def __init__(
        self, store: Store, *, told: Callable[[StoreStatistics], None], health: Health, seconds: float = _SECONDS
    ) -> None:
        self._store, self._told, self._health, self._seconds = store, told, health, seconds

    async def run(self) -> None:
        """Maintain until cancelled; the first turn is at once."""
        await self._maintain()
        await asyncio.sleep(self._seconds)
        # What came after the start (the SNMP library, learned state) stays as well.
        settle()
        while True:
            await self._maintain()
            await asyncio.to_thread(trim)
            await asyncio.sleep(self._seconds)

    async def _maintain(self) -> None:
        statistics = await self._store.maintain()
        self._told(statistics)
        self.judge(statistics.held_log_bytes)

    def judge(self, held_log_bytes: int) -> None:
        """Say so while a reader keeps the logs from being brought in: the disk fills by what it holds."""
        if held_log_bytes < _HELD_LOG_BYTES:
            self._health.recover(COMPONENT)
            return
        megabytes = round(held_log_bytes / 1e6, -1)  # in tens, so that it is not news each minute
        said = f"somebody reads the store in one long transaction: about {megabytes:.0f} MB of log cannot be brought in"
        if self._health.degrade(COMPONENT, Level.FULL, said):
            log.warning(said, extra={"component": COMPONENT})
