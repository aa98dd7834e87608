"""Pacing and retries above the seam."""

import asyncio
from collections.abc import Sequence

import pytest
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.snmp import mib
from netmote.snmp.paced_session import HOLD_SECONDS, PacedSession, SendWindow
from netmote.snmp.session import AuthenticationFailed, Reply, RequestTimedOut


def device() -> ScriptedDevice:
    scripted = ScriptedDevice()
    scripted.boot(up_time=1)
    return scripted


async def test_a_lost_request_is_sent_again() -> None:
    """One loss costs one repetition, and both are counted."""
    scripted = device()
    losses = iter([RequestTimedOut("lost"), None])
    scripted.fail = lambda: next(losses)
    session = PacedSession(ScriptedSession(scripted), SendWindow(1), retries=1)
    reply = await session.get([mib.SYS_UP_TIME])
    assert reply.varbinds[0].tag == mib.TIME_TICKS
    assert (session.requests, session.timeouts, session.answers) == (2, 1, 1)


async def test_retries_end() -> None:
    """After the last repetition the error is the caller's; a cheap question is not repeated at all."""
    scripted = device()
    scripted.is_silent = True
    session = PacedSession(ScriptedSession(scripted), SendWindow(1), retries=2)
    with pytest.raises(RequestTimedOut):
        await session.bulk([], [mib.COLUMN["ifName"]], 1)
    assert session.requests == 3
    with pytest.raises(RequestTimedOut):
        await session.get_once([mib.SYS_UP_TIME])
    assert (session.requests, session.timeouts) == (4, 4)


async def test_a_refusal_is_not_repeated() -> None:
    """Wrong credentials do not become right by asking again."""
    scripted = device()
    scripted.fail = lambda: AuthenticationFailed("no")
    session = PacedSession(ScriptedSession(scripted), SendWindow(1), retries=3)
    with pytest.raises(AuthenticationFailed):
        await session.get([mib.SYS_UP_TIME])
    assert session.requests == 1


class SlowSession(ScriptedSession):
    """Answers when told to; knows how many wait at once."""

    def __init__(self, device: ScriptedDevice) -> None:
        super().__init__(device)
        self.gate = asyncio.Event()
        self.waiting = self.most = 0

    async def get(self, oids: Sequence[bytes]) -> Reply:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return await super().get(oids)


async def test_requests_in_flight_are_bounded() -> None:
    """Twenty callers, a window of three: never more than three answers are awaited at once while answers come."""
    slow = SlowSession(device())
    slow.gate.set()
    window = SendWindow(3)
    await asyncio.gather(*(PacedSession(slow, window, retries=0).get([mib.SYS_UP_TIME]) for _ in range(20)))
    assert slow.most <= 3
    assert len(slow.device.requests) == 20


async def test_silent_devices_do_not_hold_the_window() -> None:
    """Three devices that never answer fill the window for a fifth of a second, not for their timeout."""
    dead, live = SlowSession(device()), ScriptedSession(device())
    window = SendWindow(3)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(PacedSession(dead, window, retries=0).get([mib.SYS_UP_TIME])) for _ in range(3)]
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        await PacedSession(live, window, retries=0).get([mib.SYS_UP_TIME])
        took = asyncio.get_running_loop().time() - began
        assert HOLD_SECONDS * 0.9 <= took < HOLD_SECONDS * 3
        assert not any(task.done() for task in waiting)
        dead.gate.set()


async def test_one_silent_device_after_another_holds_the_window_a_fifth_of_a_second_each() -> None:
    """Those that wait are let in one by one, also when nobody ever answers."""
    dead, live = SlowSession(device()), ScriptedSession(device())
    window = SendWindow(1)
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(PacedSession(dead, window, retries=0).get([mib.SYS_UP_TIME]))
        await asyncio.sleep(0)
        await PacedSession(live, window, retries=0).get([mib.SYS_UP_TIME])
        took = asyncio.get_running_loop().time() - began
        assert HOLD_SECONDS * 2.9 <= took < HOLD_SECONDS * 4.5
        assert dead.waiting == 3
        dead.gate.set()


async def test_cancelled_callers_give_their_slot_back() -> None:
    """Neither cancellation while waiting for a slot nor while waiting for an answer leaks one."""
    slow = SlowSession(device())
    window = SendWindow(1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(PacedSession(slow, window, retries=0).get([mib.SYS_UP_TIME]))
        second = group.create_task(PacedSession(slow, window, retries=0).get([mib.SYS_UP_TIME]))
        await asyncio.sleep(0.01)
        second.cancel()
        first.cancel()
    slow.gate.set()
    async with asyncio.timeout(0.1):
        for _ in range(3):
            await PacedSession(slow, window, retries=0).get([mib.SYS_UP_TIME])
    assert slow.most == 1
