"""Once a minute: the store is maintained, its figures are passed on, and a log that somebody holds is told."""

import asyncio

from daemon_legs import Legs, until

from netmote.daemon.maintenance import COMPONENT, Maintenance
from netmote.store.store import StoreStatistics


async def test_each_turn_is_told(legs: Legs) -> None:
    """The figures of each turn reach who shows them."""
    store, told = await legs.store(), list[StoreStatistics]()
    maintenance = Maintenance(store, told=told.append, health=legs.health, seconds=0.01)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(maintenance.run())
        await until(lambda: len(told) >= 3)
        task.cancel()
    assert told[-1].held_log_bytes == 0
    assert not legs.health.reasons


async def test_a_held_log_is_a_reason(legs: Legs) -> None:
    """While a reader holds much of a log it stands among the reasons, and leaves them with the reader."""
    maintenance = Maintenance(await legs.store(), told=lambda _: None, health=legs.health)
    maintenance.judge(2**23)
    assert not legs.health.reasons
    maintenance.judge(2**25)
    maintenance.judge(2**25 + 1)
    (reason,) = legs.health.reasons
    assert (reason.component, reason.text) == (
        COMPONENT,
        "somebody reads the store in one long transaction: about 30 MB of log cannot be brought in",
    )
    maintenance.judge(0)
    assert not legs.health.reasons
