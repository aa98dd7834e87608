"""Sending alerts again: what a request asks for, and how it is carried out where no daemon runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netmote.clock import Clock
from netmote.daemon.config import Config
from netmote.store.store import Store


async def resend(store: Store, request: dict[str, Any], *, sinks: Sequence[str]) -> dict[str, Any]:
    """Offer again what was committed since `since_ns` or is numbered `first` to `last`, to one of these sinks or to all.

    Answers how many alerts were taken up for each sink. Raises ValueError when the request names neither or an unknown sink.
    """
    since_ns, first, last = (_number(request, key) for key in ("since_ns", "first", "last"))
    if since_ns is None and first is None and last is None:
        raise ValueError("a resend names a time or numbers")
    if first is not None and last is not None and first > last:
        raise ValueError(f"{first} to {last} is no range")
    named = request.get("sink")
    if named is not None and named not in sinks:
        raise ValueError(f"no sink is called {named!r}; there are: {', '.join(sinks)}")
    chosen = sinks if named is None else [str(named)]
    return {"asked": {sink: await store.resend(sink, since_ns=since_ns, first=first, last=last) for sink in chosen}}


async def resend_without_daemon(state_dir: Path, config: Config, request: dict[str, Any], *, clock: Clock) -> dict[str, Any]:
    """The same where no daemon runs: they go out after its next start. The store's lock keeps one from starting in between."""
    store = Store(state_dir, config.store, sensor=config.sensor_name, clock=clock)
    await store.open(with_telemetry=False)
    try:
        sinks = [sink.name for sink in config.sinks]
        for sink in sinks:
            await store.register_sink(sink)
        return await resend(store, request, sinks=sinks)
    finally:
        await store.close()


def _number(request: dict[str, Any], key: str) -> int | None:
    value = request.get(key)
    return None if value is None else int(value)
