"""From the command line to a running event loop: configuration, log, signals, exit status."""

import asyncio
import logging
import os
import signal
import sys
from itertools import count
from pathlib import Path
from random import SystemRandom

from pydantic import ValidationError

from netmote.clock import SystemClock
from netmote.daemon.config import Config, load_config
from netmote.daemon.lifecycle import Daemon
from netmote.daemon.memory import bound_heaps
from netmote.daemon.state_dir import resolve_state_dir
from netmote.errors import ConfigError, Problem
from netmote.snmp.profiles.loader import load_profiles
from netmote.telemetry.logging_setup import set_up_logging

log = logging.getLogger(__name__)

EXIT_ABANDONED = 1
# How long a thread that computes (metering, analysis) may keep the interpreter while the event loop waits for it. Python's own
# 5 ms, times three such threads, is more than the 10 ms the loop may be late.
_SWITCH_SECONDS = 0.001


def run_daemon(config_path: Path | None, state_dir: Path | None, log_level: str | None) -> int:
    """Run until a signal ends it. Returns the exit status. Raises ConfigError before anything was opened."""
    # Records name hosts and their habits: no file of ours is for others to read.
    os.umask(0o027)
    bound_heaps()

    def load() -> Config:
        config = Config() if config_path is None else load_config(config_path)
        load_profiles(config.snmp.profiles)  # a reload whose profiles are wrong is refused as a whole
        return config if log_level is None else _with_log_level(config, log_level)

    config = load()
    bound_heaps(config.capture.ring_size)
    set_up_logging(config.log)
    daemon = Daemon(
        config,
        load=None if config_path is None else load,
        state_dir=resolve_state_dir(state_dir, config),
        clock=SystemClock(),
        random=SystemRandom(),
    )
    set_up_logging(config.log, on_held_back=daemon.metrics.log_lines_held_back_total.inc)
    return asyncio.run(_run(daemon))


async def _run(daemon: Daemon) -> int:
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    requests = count(1)

    def stop() -> None:
        # The first request ends in good order, the second at once: kill -9 costs nothing durable either.
        if next(requests) > 1:
            running.cancel()
        daemon.request_stop()

    sys.setswitchinterval(_SWITCH_SECONDS)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.request_reload)
    try:
        await daemon.run()
    except asyncio.CancelledError:
        log.warning("stopped at once; what was not finished, the next start does from the store")
        return EXIT_ABANDONED
    return 0


def _with_log_level(config: Config, level: str) -> Config:
    try:
        return config.model_copy(update={"log": config.log.model_validate({**config.log.model_dump(), "level": level})})
    except ValidationError as error:
        raise ConfigError([Problem("--log-level", None, "", error.errors()[0]["msg"])]) from error
