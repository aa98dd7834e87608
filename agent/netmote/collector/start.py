"""From a checked configuration to a listening collector: signals, and a last word on standard output."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable

from netmote.clock import SystemClock
from netmote.collector.config import CollectorConfig
from netmote.collector.server import Collector
from netmote.errors import Permanent, Retryable
from netmote.telemetry.config import LogConfig
from netmote.telemetry.logging_setup import set_up_logging

log = logging.getLogger(__name__)


async def run_collector(config: CollectorConfig, *, say: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT. `say` is told where it listens. Raises Retryable or Permanent when it cannot begin."""
    os.umask(0o027)
    set_up_logging(LogConfig())
    collector = Collector(config, clock=SystemClock())
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await collector.open()
    except OSError as error:
        raise Permanent(f"cannot listen: {error}") from error
    loop.add_signal_handler(signal.SIGHUP, _renew, collector)
    try:
        say(f"listening on {collector.url}")
        if config.page_address:
            say(f"page on {collector.page_url}")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(collector.run())
            await stopped.wait()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    finally:
        await collector.close()


def _renew(collector: Collector) -> None:
    try:
        collector.reload_certificates()
    except Retryable as error:
        log.error("the old certificates go on: %s", error)
    else:
        log.info("certificates read anew")
