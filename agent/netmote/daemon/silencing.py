"""Silences: what a request asks for, and how it is carried out where no daemon runs."""

import uuid
from pathlib import Path
from typing import Any

from netmote.alerts.alert import Silence
from netmote.clock import Clock
from netmote.daemon.config import Config
from netmote.records.entity import Entity
from netmote.store.store import Store

MAX_SECONDS = 366 * 86_400.0


def silence_from(request: dict[str, Any], now_ns: int) -> Silence:
    """The silence a request asks for. Raises ValueError (KeyError for a missing key) when it is not one."""
    seconds, reason = float(request["seconds"]), str(request["reason"]).strip()
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError("a silence lasts more than 0 s and at most 366 days")
    if not reason:
        raise ValueError("a silence needs a reason")
    group, entity = request.get("group"), request.get("entity")
    if group is None and entity is None:
        raise ValueError("a silence names a rule, an entity, or both")
    return Silence(
        silence_id=uuid.uuid4().hex[:12],
        created_at_ns=now_ns,
        ends_at_ns=now_ns + round(seconds * 1e9),
        reason=reason,
        group=None if group is None else str(group),
        entity=None if entity is None else Entity.parse(str(entity)),
    )


async def change_silences(store: Store, command: str, request: dict[str, Any], *, clock: Clock) -> dict[str, Any]:
    """Carry out `silence` or `unsilence` on an open store."""
    if command == "unsilence":
        silence_id = str(request["silence_id"])
        if not await store.expire_silence(silence_id):
            raise ValueError(f"no silence {silence_id} is in force")
        return {}
    added = silence_from(request, clock.now_ns())
    await store.add_silence(added)
    return {"silence_id": added.silence_id}


async def change_without_daemon(
    state_dir: Path, config: Config, command: str, request: dict[str, Any], *, clock: Clock
) -> dict[str, Any]:
    """The same where no daemon runs: the store's lock keeps one from starting in between."""
    store = Store(state_dir, config.store, sensor=config.sensor_name, clock=clock)
    await store.open()
    try:
        return await change_silences(store, command, request, clock=clock)
    finally:
        await store.close()
