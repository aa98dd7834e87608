"""From the command line to a running event loop: configuration, log, signals, exit status."""

import asyncio
import logging
import signal
from pathlib import Path
from random import SystemRandom

from netmote.clock import SystemClock
from netmote.daemon.config import Config, load_config
from netmote.daemon.lifecycle import Daemon
from netmote.daemon.state_dir import resolve_state_dir
from netmote.telemetry.logging_setup import set_up_logging

log = logging.getLogger(__name__)


def run_daemon(config_path: Path | None, state_dir: Path | None, log_level: str | None) -> int:
    """Run until a signal ends it. Returns the exit status. Raises ConfigError before anything was opened."""
    config = Config() if config_path is None else load_config(config_path)
    if log_level is not None:
        config = config.model_copy(update={"log": config.log.model_validate({**config.log.model_dump(), "level": log_level})})
    set_up_logging(config.log)
    daemon = Daemon(
        config,
        config_path=config_path,
        state_dir=resolve_state_dir(state_dir, config),
        clock=SystemClock(),
        random=SystemRandom(),
    )
    asyncio.run(_run(daemon))
    return 0


async def _run(daemon: Daemon) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.request_stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.request_reload)
    await daemon.run()
