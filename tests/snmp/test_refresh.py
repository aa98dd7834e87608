"""Agents that read their counters seldom: the period is learnt, and rates are told from refresh to refresh."""

import math
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.snmp.refresh import LEAST_PACKETS, Freshness, RefreshPeriod

RATE = 1_000.0  # packets a second that truly pass


@dataclass
class Agent:
    """Counts steadily and shows it every `period` seconds."""

    period: float
    phase: float
    jitter: float = 0.0  # of each refresh, seconds
    random: Random = field(default_factory=lambda: Random(1))
    offsets: dict[int, float] = field(default_factory=dict)

    def refreshed(self, now: float) -> float:
        """When it last read its counters."""
        number = math.floor((now - self.phase) / self.period)
        while self.phase + number * self.period + self._offset(number) > now:
            number -= 1
        return self.phase + number * self.period + self._offset(number)

    def _offset(self, number: int) -> float:
        return self.offsets.setdefault(number, self.random.uniform(0, self.jitter) if self.jitter else 0.0)

    def counter(self, now: float) -> int:
        return round(self.refreshed(now) * RATE)


@dataclass
class Poller:
    """Polls an agent and compares as `history` does."""

    agent: Agent
    learner: RefreshPeriod = field(default_factory=RefreshPeriod)
    at: float = 100.0
    before: int = 0
    base: int = 0

    def __post_init__(self) -> None:
        self.before = self.base = self.agent.counter(self.at)
        self.learner.interrupted()

    def poll(self, elapsed: float) -> tuple[Freshness, float | None]:
        """What the poll shows, and the rate it claims; None when it claims nothing."""
        self.at += elapsed
        value, before = self.agent.counter(self.at), self.before
        self.before = value
        refresh = self.learner.observe(elapsed, has_moved=value != before, packets=value - before)
        rate = None
        if refresh.freshness is Freshness.LIVE:
            rate = (value - before) / elapsed
        elif refresh.freshness is Freshness.FRESH:
            rate = (value - self.base) / refresh.seconds
        if refresh.freshness is not Freshness.HELD:
            self.base = value
        return refresh.freshness, rate


def test_net_snmp_polled_every_second() -> None:
    """0, 0, 3.0 becomes one rate every 3 s, which is the true one."""
    poller = Poller(Agent(3.0, 0.4))
    rates = [poller.poll(1.0) for _ in range(200)]
    assert poller.learner.seconds == pytest.approx(3.0, rel=0.01)
    tail = rates[-60:]
    assert [freshness for freshness, _ in tail].count(Freshness.FRESH) == 20
    assert [freshness for freshness, _ in tail].count(Freshness.HELD) == 40
    assert all(rate == pytest.approx(RATE, rel=0.02) for freshness, rate in tail if freshness is Freshness.FRESH)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1.2, 30.0),
    st.floats(0.0, 1.0),
    st.floats(0.1, 0.85),
    st.integers(0, 2**32),
)
def test_steady_traffic_reads_steadily_at_any_phase(period: float, phase: float, share: float, seed: int) -> None:
    """Any period, any phase, any interval shorter than the period, polls a little late: within 2 %, and never a false zero."""
    chance = Random(seed)
    poller = Poller(Agent(period, phase * period))
    claims = []
    for _ in range(1_000):
        freshness, rate = poller.poll(share * period * chance.uniform(0.99, 1.01))
        if freshness is not Freshness.LIVE and rate is not None:
            claims.append(rate)
    assert poller.learner.seconds == pytest.approx(period, rel=0.02)
    assert len(claims) * period > 0.5 * (poller.at - 100.0), "most of the time is told of"
    assert min(claims) > 0
    assert all(rate == pytest.approx(RATE, rel=0.02 + 1 / RATE) for rate in claims)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([3.0, 5.0, 15.0]), st.integers(0, 2**32))
def test_lost_polls_and_late_timers_make_no_false_rates(period: float, seed: int) -> None:
    """One poll in fifty is lost, the agent's timer wanders by 20 ms: what is claimed stays right."""
    chance = Random(seed)
    poller = Poller(Agent(period, 0.3, jitter=0.02, random=Random(seed)))
    claims, waited = [], 0.0
    for _ in range(1_000):
        waited += 1.0
        if chance.random() < 0.02:
            continue
        freshness, rate = poller.poll(waited)
        waited = 0.0
        if freshness is not Freshness.LIVE and rate is not None:
            claims.append(rate)
    assert len(claims) > 50
    assert all(rate == pytest.approx(RATE, rel=0.03) for rate in claims)


def test_an_agent_that_reads_for_every_poll_is_left_alone() -> None:
    """Every poll shows a change: nothing is learnt, nothing held."""
    poller = Poller(Agent(0.01, 0.0))
    assert {poller.poll(10.0)[0] for _ in range(300)} == {Freshness.LIVE}
    assert poller.learner.seconds is None


@given(st.integers(0, 2**32))
def test_a_quiet_line_is_no_slow_agent(seed: int) -> None:
    """Packets that come seldom and by chance are never taken for refreshes."""
    chance, learner = Random(seed), RefreshPeriod()
    for _ in range(500):
        packets = sum(chance.random() < 0.3 for _ in range(3))
        assert learner.observe(1.0, has_moved=packets > 0, packets=packets).freshness is Freshness.LIVE


def test_bursts_by_chance_are_no_grid() -> None:
    """Large bursts at irregular times fit no grid."""
    for seed in range(50):
        chance, learner = Random(seed), RefreshPeriod()
        shown = [
            learner.observe(1.0, has_moved=moved, packets=10 * LEAST_PACKETS).freshness
            for moved in (chance.random() < 0.4 for _ in range(1_000))
        ]
        assert shown.count(Freshness.LIVE) > 900


def test_silence_on_the_line_is_told_as_none() -> None:
    """Known period, traffic stops: after the refresh that finds nothing new a true 0 is told, and traffic afterwards is right again."""
    poller = Poller(Agent(3.0, 0.4))
    while poller.learner.seconds is None:
        poller.poll(1.0)
    stopped = [poller.learner.observe(1.0, has_moved=False, packets=0) for _ in range(12)]
    told = [refresh.seconds for refresh in stopped if refresh.freshness is Freshness.FRESH]
    assert sum(told) == pytest.approx(12, abs=3.5)
    assert min(told) > 2.0


def test_a_restart_keeps_the_period_and_not_the_grid() -> None:
    """The first change after it is not claimed, for the time it covers is not known; the second is."""
    poller = Poller(Agent(3.0, 0.4))
    while poller.learner.seconds is None:
        poller.poll(1.0)
    poller.learner.interrupted()
    poller.agent.phase = 1.9
    poller.before = poller.base = poller.agent.counter(poller.at)
    shown = [poller.poll(1.0) for _ in range(30)]
    first = next(freshness for freshness, _ in shown if freshness is not Freshness.HELD)
    assert first is Freshness.REBASED
    rates = [rate for _, rate in shown if rate is not None]
    assert len(rates) >= 7
    assert all(rate == pytest.approx(RATE, rel=0.02) for rate in rates)


def test_another_rhythm_is_learnt_anew() -> None:
    """The agent is reconfigured from 3 s to 5 s: the old period is given up, the new one learnt."""
    poller = Poller(Agent(3.0, 0.4))
    while poller.learner.seconds is None:
        poller.poll(1.0)
    poller.agent = Agent(5.0, 0.2)
    for _ in range(400):
        poller.poll(1.0)
    assert poller.learner.seconds == pytest.approx(5.0, rel=0.02)
