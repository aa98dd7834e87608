"""The retransmission timer by the numbers of RFC 6298, and what a lossy or slow device makes of it."""

import asyncio
from collections.abc import Sequence

import pytest
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.snmp import mib
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.round_trips import MOST_SECONDS, RoundTrips
from netmote.snmp.session import Question, Reply, RequestTimedOut, UnreadReply


def measured(times: RoundTrips, *samples: float) -> RoundTrips:
    for sample in samples:
        times.answered(sample)
        times.poll_ended()
    return times


def test_the_configured_timeout_counts_until_something_is_measured() -> None:
    """RFC 6298 section 2.1; a poll that asked nothing changes nothing."""
    times = RoundTrips(3.0)
    times.poll_ended()
    assert (times.timeout, times.smoothed) == (3.0, None)


def test_smoothing_is_that_of_the_rfc() -> None:
    """Section 2.2 for the first sample (R + 4 R/2), section 2.3 for the next."""
    times = measured(RoundTrips(10.0), 1.0)
    assert times.timeout == pytest.approx(1.0 + 4 * 0.5)
    measured(times, 2.0)  # RTTVAR = 3/4 * 0.5 + 1/4 * 1; SRTT = 7/8 + 2/8
    assert times.smoothed == pytest.approx(1.125)
    assert times.timeout == pytest.approx(1.125 + 4 * 0.625)


def test_quick_answers_give_a_second_and_a_short_configured_timeout_stays() -> None:
    """The lower bound of section 2.4, unless less is configured."""
    assert measured(RoundTrips(2.0), *[0.001] * 20).timeout == 1.0
    assert measured(RoundTrips(0.3), *[0.001] * 20).timeout == 0.3
    assert measured(RoundTrips(2.0, least=2.0), *[0.001] * 20).timeout == 2.0


def test_one_sample_a_poll_the_slowest() -> None:
    """Hundreds of quick answers do not hide the table that takes a second."""
    times = RoundTrips(2.0)
    for _ in range(20):
        for seconds in (*[0.001] * 100, 1.2, 0.001):
            times.answered(seconds)
        times.poll_ended()
    assert times.timeout > 1.2


def test_silence_doubles_up_to_a_bound_and_an_answer_ends_that() -> None:
    """Sections 5.5 and 5.7; a poll in which something was answered is a measurement, whatever else was lost."""
    times = measured(RoundTrips(2.0), 0.01)
    seen = []
    for _ in range(5):
        times.lost()
        times.poll_ended()
        seen.append(times.timeout)
    assert seen == [2.0, 4.0, 8.0, 8.0, 8.0]
    times.lost()
    measured(times, 0.01)
    assert times.timeout == 1.0
    assert RoundTrips(20.0).timeout_of(5, is_last=False) == MOST_SECONDS


def test_repetitions_wait_twice_as_long_and_the_last_one_no_less_than_configured() -> None:
    """Repeated soon, given up late."""
    times = measured(RoundTrips(5.0), 0.01)
    assert [times.timeout_of(attempt, is_last=attempt == 2) for attempt in range(3)] == [1.0, 2.0, 5.0]
    assert times.timeout_of(0, is_last=True) == 5.0


class Slow(ScriptedSession):
    """Answers after `seconds`, unless its timeout is shorter; remembers every timeout it was asked under."""

    def __init__(self, device: ScriptedDevice, seconds: float) -> None:
        super().__init__(device)
        self.timeout, self.seconds = 0.0, seconds
        self.asked: list[float] = []

    async def get(self, oids: Sequence[bytes]) -> Reply:
        timeout = self.timeout
        self.asked.append(timeout)
        await asyncio.sleep(0)
        if timeout < self.seconds:
            raise RequestTimedOut("too late")
        return (await super().get(oids))._replace(round_trip_seconds=self.seconds)

    async def bulk_together(self, questions: Sequence[Question], monotonic: object) -> list[UnreadReply | Exception]:
        self.asked.append(self.timeout)
        return [UnreadReply(0, 0, b"", self.seconds, 0.0) for _ in questions]


def scripted() -> ScriptedDevice:
    device = ScriptedDevice()
    device.boot(up_time=1)
    return device


async def test_a_device_that_became_slow_is_waited_for() -> None:
    """Its first attempts are in vain until the timer has learnt, its last ones never: no poll fails."""
    times = measured(RoundTrips(2.0), *[0.01] * 10)
    slow = Slow(scripted(), 1.8)
    session = PacedSession(slow, SendWindow(1), retries=1, round_trips=times)
    for _ in range(4):
        await session.get([mib.SYS_UP_TIME])
        times.poll_ended()
    assert slow.asked[:2] == [1.0, 2.0]
    assert slow.asked[-1] > 1.8
    assert session.timeouts < 4


async def test_questions_sent_together_wait_as_long_and_are_measured() -> None:
    """Their answers are round trips like any others."""
    times = RoundTrips(2.0)
    slow = Slow(scripted(), 0.7)
    session = PacedSession(slow, SendWindow(10), retries=1, round_trips=times)
    await session.bulk_together([Question((), (mib.COLUMN["ifName"],), 5)] * 3, lambda: 0.0)
    times.poll_ended()
    assert slow.asked == [2.0]
    assert times.smoothed == 0.7


async def test_requests_side_by_side_have_each_their_own_timeout() -> None:
    """A repetition beside a first attempt: neither is sent under the other's."""
    times = measured(RoundTrips(4.0), 0.01)
    slow = Slow(scripted(), 1.5)
    session = PacedSession(slow, SendWindow(10), retries=1, round_trips=times)
    await asyncio.gather(session.get([mib.SYS_UP_TIME]), session.get([mib.SYS_UP_TIME]))
    assert sorted(slow.asked) == [1.0, 1.0, 4.0, 4.0]
