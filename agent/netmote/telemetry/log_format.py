"""How a log line is written: one line of text or of JSON, whatever a device put into its values. Pure."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

# What logging itself puts on a record; everything else came in through `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields a caller gave with `extra=`, in order."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def component(record: logging.LogRecord) -> str:
    """The component a line is about: its field, else the room of the logger that wrote it."""
    given = getattr(record, "component", None)
    if given:
        return str(given)
    parts = record.name.split(".")
    return parts[1] if parts[0] == "netmote" and len(parts) > 1 else record.name


def one_line(text: str) -> str:
    """With control characters escaped, so that a value from the network forges no second line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _value(value: Any) -> str:
    text = str(value)
    if text and all(c.isprintable() and c not in ' "=' for c in text):
        return text
    return json.dumps(text, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`2026-11-22T10:00:00.000Z warning snmp: poll failed device=sw-1`; a traceback follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        instant = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        pairs = "".join(f" {name}={_value(value)}" for name, value in fields(record).items() if name != "component")
        line = f"{instant}Z {record.levelname.lower()} {one_line(component(record))}: {one_line(record.getMessage())}{one_line(pairs)}"
        if record.exc_info:
            line += "\n" + "\n".join(f"    {one_line(part)}" for part in self.formatException(record.exc_info).splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, component, message, logger, the fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "component": component(record),
            "message": record.getMessage(),
            "logger": record.name,
            **{name: value for name, value in fields(record).items() if name != "component"},
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str, ensure_ascii=True)
