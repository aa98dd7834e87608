"""Resends: what a request must hold, through a daemon and without one."""

from pathlib import Path
from typing import Any

import pytest
from collector import Collector
from daemon_legs import Legs, until
from manual_clock import ManualClock
from running_daemon import ask, config, running
from sample_alert import sample_alert

from netmote.control.client import CommandRefusedError
from netmote.daemon.config import Config
from netmote.daemon.resending import resend, resend_without_daemon


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "a time or numbers"),
        ({"first": 5, "last": 3}, "5 to 3 is no range"),
        ({"first": 1, "sink": "gone"}, "no sink is called 'gone'; there are: up"),
    ],
)
async def test_a_bad_request_is_refused_with_what_is_allowed(legs: Legs, request_: dict[str, Any], message: str) -> None:
    """A resend names what, and a sink there is."""
    store = await legs.store()
    await store.register_sink("up")
    with pytest.raises(ValueError, match=message):
        await resend(store, request_, sinks=["up"])


async def test_through_the_socket(tmp_path: Path) -> None:
    """A receiver that asks for a range gets it again at once, with the same ids."""
    async with Collector(tmp_path / "up.db") as upstream:
        settings = config(sinks=[{"type": "webhook", "name": "up", "url": upstream.url}])
        async with running(tmp_path / "state", settings) as daemon:
            rows = await daemon.store.commit([sample_alert(n) for n in range(4)], None)
            daemon.deliveries.wake()
            await until(lambda: {row.alert.event_id for row in rows} <= set(upstream.ids))
            assert await ask(tmp_path / "state", "resend", sink="up", first=rows[1].seq, last=rows[2].seq) == {"asked": {"up": 2}}
            # It knows them by their ids: received twice, held once.
            await until(lambda: upstream.tally()["received"] == len(upstream.ids) + 2)
            with pytest.raises(CommandRefusedError, match="a time or numbers"):
                await ask(tmp_path / "state", "resend")


async def test_without_a_daemon(legs: Legs, tmp_path: Path) -> None:
    """The command takes the lock itself; what it asked for waits for the next start."""
    store = await legs.store()
    await store.register_sink("journal")
    await store.commit([sample_alert(1)], None)
    await store.acknowledge("journal", [1])
    await store.close()
    answer = await resend_without_daemon(tmp_path, Config(), {"since_ns": 0}, clock=ManualClock())
    assert answer == {"asked": {"journal": 1}}
    again = await legs.store()
    assert [row.seq for row in await again.pending("journal", limit=9)] == [1]
