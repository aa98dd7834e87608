"""Where the agent's log goes and in what form. The one place that touches logging's root; may be called again on reload.

Modules write with the standard library: `log.warning("poll failed: %s", error, extra={"component": "snmp", "device": name})`;
`bind` gives a logger whose lines all carry some fields.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

from logging_journald import JournaldTransport

from netmote.clock import Clock, SystemClock
from netmote.telemetry.config import LogConfig
from netmote.telemetry.journal_handler import JournalHandler
from netmote.telemetry.journal_stream import leads_to_journal
from netmote.telemetry.log_format import JsonFormatter, TextFormatter
from netmote.telemetry.log_limit import RepeatLimit

_STANDARD_ERROR = 2
_SYSTEM_CLOCK = SystemClock()
_NAME = "netmote"

# These report each request or query; what matters of it the agent counts or says itself.
_CHATTY = ("aiohttp.access", "asyncio", "aiosqlite", "pysnmp")


def set_up_logging(
    config: LogConfig,
    *,
    stream: TextIO | None = None,
    clock: Clock = _SYSTEM_CLOCK,
    environ: Mapping[str, str] = os.environ,
    socket_path: Path = JournaldTransport.SOCKET_PATH,
    on_held_back: Callable[[], None] = lambda: None,
) -> logging.Handler:
    """Send the log to the journal (format `auto` under systemd) or to `stream` (default: standard error), replacing an earlier set-up."""
    handler: logging.Handler
    if config.format == "auto" and stream is None and leads_to_journal(_STANDARD_ERROR, environ.get("JOURNAL_STREAM", "")):
        handler = JournalHandler(socket_path)
    else:
        handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
        handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    handler.set_name(_NAME)
    handler.addFilter(RepeatLimit(clock, on_held_back=on_held_back))
    root = logging.getLogger()
    close_logging()
    root.addHandler(handler)
    root.setLevel(config.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    return handler


def close_logging() -> None:
    """Say how many lines were held back and not told yet, and take our handler away."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if handler.get_name() == _NAME]:
        for limit in handler.filters:
            if isinstance(limit, RepeatLimit) and (untold := limit.drain()):
                message = "log lines alike were held back"
                record = logging.LogRecord(__name__, logging.INFO, __file__, 0, message, (), None)
                record.held_back = untold
                handler.emit(record)
        root.removeHandler(handler)
        handler.close()


class BoundLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines carry fields; `extra=` of a call adds to them and goes before them."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}

    def bind(self, **fields: object) -> "BoundLogger":
        """One that carries these fields as well."""
        return BoundLogger(self.logger, {**(self.extra or {}), **fields})


def bind(logger: logging.Logger, **fields: object) -> BoundLogger:
    """A logger whose lines all carry these fields."""
    return BoundLogger(logger, fields)
