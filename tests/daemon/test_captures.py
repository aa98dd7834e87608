"""Which interfaces are captured: `auto` follows the machine, within a bound."""

import asyncio

import pytest
from daemon_legs import Legs, until

from netmote.capture.config import CaptureConfig
from netmote.daemon.captures import MAX_AUTOMATIC, Captures
from netmote.metering.config import MeteringConfig
from netmote.records.batch import Batch

pytestmark = pytest.mark.root


class Machine:
    """The interfaces that are up. None of these exists, so each Observation waits for its own."""

    def __init__(self, *names: str) -> None:
        self.up = names

    def select(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each for name in names for each in (self.up if name == "auto" else (name,)))


def captures(legs: Legs, machine: Machine, emitted: list[Batch]) -> Captures:
    return Captures(
        sensor="s1",
        emit=emitted.append,
        supervise=legs.supervised,
        clock=legs.clock,
        health=legs.health,
        select=machine.select,
        look_seconds=0.02,
    )


async def test_auto_follows_the_machine(legs: Legs) -> None:
    """An interface that comes up is captured; one gone for five minutes is no longer waited for; named ones always are."""
    machine, emitted = Machine("nmx0"), []
    captured = captures(legs, machine, emitted)
    config = CaptureConfig.model_validate({"interfaces": ["named0", "auto"], "ring_size": 2**18})

    def names() -> list[str]:
        return [observation.interface for observation in captured.observations]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        captured.start(group, config, MeteringConfig(max_flows=1024))
        assert names() == ["named0", "nmx0"]
        machine.up = ("nmx0", "nmx1")
        await until(lambda: names() == ["named0", "nmx0", "nmx1"])
        machine.up = ("nmx1",)
        await until(lambda: all(each.gone_since is not None for each in captured.observations))
        await asyncio.sleep(0.1)
        assert names() == ["named0", "nmx0", "nmx1"]
        legs.clock.advance(301)
        await until(lambda: names() == ["named0", "nmx1"])
        await until(lambda: legs.reason("capture:nmx0") is None)
        await captured.stop(5.0)
    assert captured.observations == []
    assert not legs.health.reasons


async def test_auto_is_bounded(legs: Legs) -> None:
    """A machine with a hundred links does not get a hundred rings: which are left out is said, and the document can name them."""
    machine, emitted = Machine(*(f"cali{number:02}" for number in range(100))), []
    captured = captures(legs, machine, emitted)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        config = CaptureConfig.model_validate({"interfaces": ["auto"], "ring_size": 2**18})
        captured.start(group, config, MeteringConfig(max_flows=1024))
        assert len(captured.observations) == MAX_AUTOMATIC
        assert f"{100 - MAX_AUTOMATIC} interfaces are not captured" in legs.reason("capture")
        machine.up = machine.up[90:]
        legs.clock.advance(301)
        await asyncio.sleep(0.1)
        assert len(captured.observations) <= 10 + MAX_AUTOMATIC
        machine.up = ("cali99",)
        await until(lambda: all(each.gone_since is not None for each in captured.observations))
        legs.clock.advance(301)
        await until(lambda: [each.interface for each in captured.observations] == ["cali99"])
        assert legs.reason("capture") is None
        await captured.stop(5.0)
