"""Going over to the other back end: only when it reads what the first cannot, and visibly."""

import logging
from collections.abc import Callable

import pytest
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.fallback_session import FallbackSession
from netmote.snmp.session import RequestTimedOut, SnmpSession, UndecodableAnswer


class Named(ScriptedSession):
    def __init__(self, name: str, fail: Callable[[], Exception | None] = lambda: None) -> None:
        device = ScriptedDevice()
        device.boot(up_time=1)
        device.fail = fail
        super().__init__(device)
        self.backend = name


def undecodable() -> Exception:
    return UndecodableAnswer("a length lies")


class Opened:
    """Two sessions and the one before them; counts how often the other was opened."""

    def __init__(self, first: Named, other: Named | NetmoteError) -> None:
        self.first, self.other, self.openings = first, other, 0
        self.session = FallbackSession(first, self._open, device="sw-1")

    async def _open(self) -> SnmpSession:
        self.openings += 1
        if isinstance(self.other, NetmoteError):
            raise self.other
        return self.other


async def test_goes_over_when_the_other_reads_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Twice unreadable, then read by the other: from now on it speaks, and says so once, by device and reason."""
    opened = Opened(Named("native", undecodable), Named("pysnmp"))
    assert (opened.session.backend, opened.session.fallback_reason) == ("native", "")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await opened.session.get([mib.SYS_UP_TIME])).error_status == 0
    assert (await opened.session.bulk([], [mib.SYS_UP_TIME[:-1]], 1)).varbinds[0].oid == mib.SYS_UP_TIME
    assert (opened.session.backend, opened.session.fallback_reason) == ("pysnmp", "a length lies")
    assert opened.openings == 1
    assert len(opened.first.device.requests) == 2
    (line,) = caplog.records
    assert (line.device, line.message) == (
        "sw-1",
        "goes over to pysnmp, since the native back end cannot read its answers: a length lies",
    )
    await opened.session.close()
    assert opened.first.is_closed


async def test_one_odd_answer_changes_nothing() -> None:
    """The second try of the same request is read."""
    failures = iter([undecodable(), None, None])
    opened = Opened(Named("native", lambda: next(failures)), Named("pysnmp"))
    for _ in range(2):
        assert (await opened.session.get([mib.SYS_UP_TIME])).error_status == 0
    assert (opened.session.backend, opened.openings) == ("native", 0)


async def test_other_errors_are_no_reason() -> None:
    """A device that is silent, or refuses, is as silent to the other."""
    opened = Opened(Named("native", lambda: RequestTimedOut("no answer")), Named("pysnmp"))
    with pytest.raises(RequestTimedOut):
        await opened.session.get([mib.SYS_UP_TIME])
    assert opened.openings == 0


@pytest.mark.parametrize("other", [Named("pysnmp", undecodable), RequestTimedOut("cannot open")])
async def test_when_neither_reads_it_the_first_stays(other: Named | NetmoteError) -> None:
    """The first one's error is raised, and the other is not tried again by this session."""
    opened = Opened(Named("native", undecodable), other)
    for _ in range(3):
        with pytest.raises(UndecodableAnswer):
            await opened.session.get([mib.SYS_UP_TIME])
    assert (opened.session.backend, opened.session.fallback_reason, opened.openings) == ("native", "", 1)
    if isinstance(other, Named):
        assert other.is_closed
