"""A heartbeat as a JSON document for people and programs beyond this sensor. Pure; every sink that speaks JSON sends this one.

Version 1. Instants are RFC 3339 in UTC with microseconds; `_seconds` say their unit. What is not known is null. Like an alert it fits
into 64 KiB with its envelope; `omitted` names what is cut.
"""

from typing import Any

from netmote.sinks.alert_document import bounded_text, rfc3339
from netmote.sinks.announcement import one_line
from netmote.telemetry.heartbeat import Heartbeat

HEARTBEAT_SCHEMA_VERSION = 1

_MAX_REASONS, _MAX_MODELS, _MAX_DROPS = 24, 16, 100
_MAX_TEXT, _MAX_NAME = 200, 48


def heartbeat_document(beat: Heartbeat) -> dict[str, Any]:
    """The document: plain JSON values, UTF-8 encodable, bounded."""
    limits = (
        ("reasons", len(beat.reasons), _MAX_REASONS),
        ("models", len(beat.models), _MAX_MODELS),
        ("drops", len(beat.drops), _MAX_DROPS),
    )
    return {
        "schema_version": HEARTBEAT_SCHEMA_VERSION,
        "sensor": bounded_text(beat.sensor),
        "ledger_epoch": beat.ledger_epoch,
        "number": beat.number,
        "interval_seconds": beat.interval_seconds,
        "at": rfc3339(beat.at_ns),
        "started_at": rfc3339(beat.started_at_ns),
        "version": beat.version,
        "level": beat.level.value,
        "reasons": [
            {
                "component": _line(reason.component, _MAX_NAME),
                "text": _line(reason.text, _MAX_TEXT),
                "since": rfc3339(reason.since_ns),
                "level": reason.level.value,
            }
            for reason in beat.reasons[:_MAX_REASONS]
        ],
        "config_hash": beat.config_hash,
        "rules_hash": beat.rules_hash,
        "models": [
            {"name": _line(model.name, _MAX_NAME), "version": _line(model.version, _MAX_NAME), "content_hash": model.content_hash}
            for model in beat.models[:_MAX_MODELS]
        ],
        "last_seq": beat.last_seq,
        "settled_seq": beat.books.settled_seq,
        "queued": beat.books.queued,
        # Never cut here: `withheld_from` says from where on it is whole, and whoever asked the ledger has bounded it.
        "withheld": [{"first": each.first, "last": each.last, "reason": each.reason} for each in beat.books.withheld],
        "withheld_from": beat.books.withheld_from,
        "clock": {"offset_seconds": beat.clock_offset_seconds, "is_synchronised": beat.is_clock_synchronised},
        "drops": {_line(place, _MAX_NAME): beat.drops[place] for place in sorted(beat.drops)[:_MAX_DROPS]},
        "omitted": [name for name, count, kept in limits if count > kept],
    }


def _line(text: str, limit: int) -> str:
    return bounded_text(one_line(text), limit)
