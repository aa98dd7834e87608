"""A heartbeat as a JSON document for people and programs beyond this sensor. Pure; every sink that speaks JSON sends this one.

Version 1. Instants are RFC 3339 in UTC with microseconds; `_seconds` say their unit. What is not known is null.
"""

from typing import Any

from netmote.sinks.alert_document import rfc3339
from netmote.telemetry.heartbeat import Heartbeat

HEARTBEAT_SCHEMA_VERSION = 1

_MAX_REASONS, _MAX_MODELS, _MAX_DROPS, _MAX_TEXT = 32, 16, 256, 512


def heartbeat_document(beat: Heartbeat) -> dict[str, Any]:
    """The document: plain JSON values, bounded."""
    return {
        "schema_version": HEARTBEAT_SCHEMA_VERSION,
        "sensor": beat.sensor,
        "ledger_epoch": beat.ledger_epoch,
        "number": beat.number,
        "interval_seconds": beat.interval_seconds,
        "at": rfc3339(beat.at_ns),
        "started_at": rfc3339(beat.started_at_ns),
        "version": beat.version,
        "level": beat.level.value,
        "reasons": [
            {
                "component": reason.component,
                "text": reason.text[:_MAX_TEXT],
                "since": rfc3339(reason.since_ns),
                "level": reason.level.value,
            }
            for reason in beat.reasons[:_MAX_REASONS]
        ],
        "config_hash": beat.config_hash,
        "rules_hash": beat.rules_hash,
        "models": [
            {"name": model.name, "version": model.version, "content_hash": model.content_hash}
            for model in beat.models[:_MAX_MODELS]
        ],
        "last_seq": beat.last_seq,
        "settled_seq": beat.books.settled_seq,
        "queued": beat.books.queued,
        "withheld": [{"first": each.first, "last": each.last, "reason": each.reason} for each in beat.books.withheld],
        "withheld_from": beat.books.withheld_from,
        "clock": {"offset_seconds": beat.clock_offset_seconds, "is_synchronised": beat.is_clock_synchronised},
        "drops": {place: beat.drops[place] for place in sorted(beat.drops)[:_MAX_DROPS]},
    }
