"""Who an alert is: names derived from what it is about, never drawn, so that replay and restart give equal ones."""

import hashlib
import json
from uuid import UUID, uuid5

from netmote.records.entity import Entity

# The namespace of alert ids (RFC 9562 section 5.5, name-based UUIDs). Fixed for ever: a change would rename every alert.
ALERT_NAMESPACE = UUID("6f0e5a3c-6e65-5d6f-8a74-652d616c6572")


def fingerprint_of(sensor: str, group: str, entity: Entity) -> str:
    """32 hexadecimal digits that stay the same for ever for this sensor, rule or contributor group, and entity."""
    body = json.dumps([sensor, group, entity.kind.value, entity.name], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(body.encode("ascii")).hexdigest()[:32]


def alert_id_of(fingerprint: str, started_at_ns: int) -> str:
    """The UUID of one episode: version 5 over the fingerprint and the event time at which it began."""
    return str(uuid5(ALERT_NAMESPACE, f"{fingerprint}/{started_at_ns}"))
