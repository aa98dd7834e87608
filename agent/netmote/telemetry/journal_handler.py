"""Log lines as native journal entries, through logging-journald's transport; the fields are ours."""

import logging
import sys
from pathlib import Path
from typing import Any

from logging_journald import JournaldTransport

from netmote.telemetry.log_format import component, fields, one_line

# RFC 5424 section 6.2.1 severities of logging's levels.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


def entry(record: logging.LogRecord, traceback: str = "") -> list[tuple[str, Any]]:
    """Fields of the journal entry of a record (systemd.journal-fields(7)); those of `extra` begin with NETMOTE_."""
    pairs: list[tuple[str, Any]] = [
        ("MESSAGE", one_line(record.getMessage()) + (f"\n{traceback}" if traceback else "")),
        ("PRIORITY", next((priority for level, priority in _PRIORITIES if record.levelno >= level), _DEBUG)),
        ("SYSLOG_IDENTIFIER", "netmote"),
        ("CODE_FILE", record.pathname),
        ("CODE_LINE", record.lineno),
        ("CODE_FUNC", record.funcName),
        ("LOGGER", record.name),
        ("NETMOTE_COMPONENT", component(record)),
    ]
    for name, value in fields(record).items():
        key = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())[:50]
        if key != "COMPONENT":
            pairs.append((f"NETMOTE_{key}", str(value)))
    return pairs


class JournalHandler(logging.Handler):
    """Sends each record as one datagram. A journal that takes nothing loses the line to standard error, never blocks."""

    def __init__(self, socket_path: Path = JournaldTransport.SOCKET_PATH) -> None:
        super().__init__()
        self._transport = JournaldTransport(socket_path=socket_path, connected=False)
        self._transport.socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        try:
            self._transport.send(entry(record, traceback))
        except OSError:
            # Under systemd standard error leads to the journal by another socket; "<4>" is its way to write PRIORITY.
            priority = next((priority for level, priority in _PRIORITIES if record.levelno >= level), _DEBUG)
            print(f"<{priority}>{one_line(record.getMessage())}", file=sys.stderr)  # noqa: T201 - the last resort of logging

    def close(self) -> None:
        self._transport.socket.close()
        super().close()
