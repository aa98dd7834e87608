"""Components are kept alive: a crash is logged and counted, back-off grows and is forgotten, a reason lasts as long as the trouble."""

import asyncio
from random import Random

import pytest
from daemon_legs import Legs, until

from netmote.daemon.supervisor import Supervised
from netmote.errors import Retryable, Unavailable
from netmote.telemetry.health import Level


class Recorded(Random):
    """Draws nothing, and remembers the longest delay it might have drawn."""

    def __init__(self) -> None:
        super().__init__(0)
        self.ceilings: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.ceilings.append(b)
        return a


def failing(times: int, error: Exception, then: asyncio.Event) -> object:
    """A component that fails so often and then runs."""
    left = times

    async def run() -> None:
        nonlocal left
        if left:
            left -= 1
            raise error
        then.set()
        await asyncio.Event().wait()

    return run


async def test_a_crash_is_logged_counted_and_recovered_from(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """A bug costs a restart with its traceback; while it lasts the level says so, and when it runs well again nothing is left."""
    well = asyncio.Event()
    leg = legs.supervised("leg", failing(2, ZeroDivisionError("x"), well), level=Level.COLLECT, well_seconds=0.05)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
        await well.wait()
        assert legs.health.level is Level.COLLECT
        assert legs.reason("leg") == "restarted after ZeroDivisionError: x"
        await until(lambda: not legs.health.reasons)
        await leg.stop(1.0)
    assert leg.restarts == 2
    assert 'netmote_component_restarts_total{component="leg"} 2.0' in legs.metrics.render().decode()
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True, True]


@pytest.mark.parametrize("error", [Unavailable("needs CAP_NET_RAW"), Retryable("disk I/O error")])
async def test_what_is_outside_is_no_crash(legs: Legs, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """Trouble that is not ours is said once, without a traceback and without a count, and tried again."""
    well = asyncio.Event()
    leg = legs.supervised("leg", failing(3, error, well), well_seconds=0.05)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
        await well.wait()
        await until(lambda: not legs.health.reasons)
        await leg.stop(1.0)
    assert leg.restarts == 0
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].exc_info is None


async def test_back_off_grows_and_is_forgotten_after_a_minute(legs: Legs) -> None:
    """Delays double from half a second; a component that ran for over a minute starts again from the shortest."""
    random, runs = Recorded(), 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 5:
            legs.clock.advance(61)
        raise ZeroDivisionError

    leg = Supervised("leg", run, health=legs.health, metrics=legs.metrics, clock=legs.clock, random=random)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
        await until(lambda: runs >= 7)
        await leg.stop(1.0)
    assert random.ceilings[:6] == [0.5, 1.0, 2.0, 4.0, 0.5, 1.0]


async def test_the_peers_own_wish_is_kept(legs: Legs) -> None:
    """`after` of a Retryable is the least delay."""
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        raise Retryable("later", after=30.0)

    leg = legs.supervised("leg", run)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
        await until(lambda: leg.is_waiting)
        await asyncio.sleep(0.2)
        assert runs == 1
        await leg.stop(1.0)


async def test_a_reason_of_the_components_own_is_left_alone(legs: Legs) -> None:
    """Running well withdraws what the supervisor said, not what the component says of itself under the same name."""
    well = asyncio.Event()
    leg = legs.supervised("leg", failing(1, ZeroDivisionError("x"), well), well_seconds=0.05)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
        await well.wait()
        legs.health.degrade("leg", Level.FULL, "the receiver is down")
        await asyncio.sleep(0.2)
        assert legs.reason("leg") == "the receiver is down"
        await leg.stop(1.0)
    assert legs.reason("leg") == "the receiver is down"


async def test_a_normal_return_ends_it_and_stop_is_safe_at_any_time(legs: Legs) -> None:
    """A component that is done is not run again; stop without start, twice, and after the end does nothing."""
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1

    leg = legs.supervised("leg", run)
    await leg.stop(0.1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
    await leg.stop(0.1)
    await leg.stop(0.1)
    assert runs == 1


async def test_one_that_does_not_stop_in_time_is_said(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """The stop goes on after the deadline, and the log names who did not come."""
    release = asyncio.Event()

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    leg = legs.supervised("slow", run)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leg.start(group)
        await asyncio.sleep(0)
        await leg.stop(0.05)
        assert "did not stop in time" in caplog.text
        release.set()
