"""One device: schedule, deadline, probation, and what each kind of failure becomes."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from manual_clock import ManualClock
from snmp_scripted import ScriptedBackend, ScriptedDevice, ScriptedSession

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.fact import FactBatch
from netmote.records.interface import InterfaceBatch, InvalidReason
from netmote.snmp.config import TargetConfig
from netmote.snmp.host_probe import Sighting
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.reachability import DeviceState
from netmote.snmp.session import AddressUnknown, AgentNotListening, AuthenticationFailed, Reply, UnreadableAnswer
from netmote.snmp.target import PollOutcome, Target, schedule_phase


class Bench:
    """A target over an agent in memory, polled by hand on a manual clock."""

    def __init__(self, *, interval: float = 10.0, **config: object) -> None:
        self.clock = ManualClock()
        self.device = ScriptedDevice()
        self.ticks = 1_000_000
        self.device.boot(up_time=self.ticks)
        self.device.port(1, "eth1", octets=100)
        self.backend = ScriptedBackend({"sw": self.device})
        self.emitted: list[Batch] = []
        self.looks: list[tuple[str, int]] = []
        self.is_host_there = False
        self.target = Target(
            TargetConfig.model_validate({"name": "sw", "address": "192.0.2.1", "retries": 0, **config}),
            interval=interval,
            backend=self.backend,
            window=SendWindow(10),
            clock=self.clock,
            random=Random(1),
            emit=self.emitted.append,
            host_probe=self,
        )

    async def look(self, address: str, port: int) -> Sighting:
        """Implements Looks: the host is there when it is said to be."""
        self.looks.append((address, port))
        return Sighting(self.is_host_there, "as it is said")

    async def poll(self, seconds: float = 10.0) -> PollOutcome:
        self.clock.advance(seconds)
        self.ticks += round(seconds * 100)
        self.device.boot(up_time=self.ticks)
        self.emitted.clear()
        self.device.requests.clear()
        return await self.target.poll()

    def facts(self) -> list[tuple[str, float]]:
        return [(fact.name, fact.value) for batch in self.emitted if isinstance(batch, FactBatch) for fact in batch.facts]

    @property
    def record(self) -> DeviceRecord:
        last = self.emitted[-1]
        assert isinstance(last, DeviceRecord)
        return last


async def test_a_poll_emits_interfaces_facts_and_the_device() -> None:
    """In this order, so that the record that closes the interval comes last; all of one source."""
    bench = Bench()
    assert await bench.poll() is PollOutcome.ANSWERED
    assert [type(batch) for batch in bench.emitted] == [InterfaceBatch, FactBatch, DeviceRecord]
    assert {batch.source for batch in bench.emitted} == {"snmp:sw"}
    assert bench.facts() == [("device_unreachable", 0.0), ("snmp_broken", 0.0), ("interface_down", 0.0)]
    assert bench.record.is_reachable
    assert bench.record.requests == len(bench.device.requests)
    assert bench.record.sys_up_time == bench.ticks
    await bench.poll()
    assert [type(batch) for batch in bench.emitted] == [InterfaceBatch, DeviceRecord]


async def test_silence_is_announced_at_the_second_poll_and_ended_by_the_first_answer() -> None:
    """One lost poll says LOST_POLL only; the second begins `device_unreachable`; the answer ends it and fills the gap."""
    bench = Bench()
    await bench.poll()
    bench.device.is_silent = True
    assert await bench.poll() is PollOutcome.TIMEOUT
    assert bench.facts() == []
    assert isinstance(bench.emitted[0], InterfaceBatch)
    assert (bench.emitted[0].invalid[0, :13] == InvalidReason.LOST_POLL).all()
    assert not bench.record.is_reachable
    assert (bench.record.requests, bench.record.timeouts) == (1, 1)
    await bench.poll()
    assert bench.facts() == [("device_unreachable", 1.0)]
    assert bench.target.status().state is DeviceState.UNREACHABLE
    assert bench.target.status().is_on_probation
    await bench.poll()
    assert bench.facts() == []
    bench.device.is_silent = False
    bench.device.count(1, 4_100)
    assert await bench.poll() is PollOutcome.ANSWERED
    assert bench.facts() == [("device_unreachable", 0.0), ("counters_stuck", 0.0)]
    batch = bench.emitted[0]
    assert isinstance(batch, InterfaceBatch)
    assert batch.deltas[0, 0] == 4_000
    assert batch.duration_ns == 40_000_000_000
    status = bench.target.status()
    assert (status.state, status.is_on_probation, status.last_error) == (DeviceState.UP, False, "")
    assert status.polls == {"answered": 2, "timeout": 3}


async def test_a_silent_agent_of_a_host_that_is_there_is_broken_not_unreachable() -> None:
    """Looked for once a poll, not at the first silence; when the host goes too it has to be missed twice; the answer ends all."""
    bench = Bench()
    await bench.poll()
    bench.device.is_silent, bench.is_host_there = True, True
    told = []
    for is_there in (True, True, True, False, False, True):
        bench.is_host_there = is_there
        await bench.poll()
        told.append((bench.facts(), bench.target.status().state.value, len(bench.looks)))
    assert told == [
        ([], "up", 0),
        ([("snmp_broken", 1.0)], "snmp_broken", 1),
        ([], "snmp_broken", 2),
        ([], "snmp_broken", 3),
        ([("snmp_broken", 0.0), ("device_unreachable", 1.0)], "unreachable", 4),
        ([("device_unreachable", 0.0), ("snmp_broken", 1.0)], "snmp_broken", 5),
    ]
    assert set(bench.looks) == {("192.0.2.1", 161)}
    assert bench.target.status().reason == "RequestTimedOut: no answer (scripted); as it is said"
    bench.device.is_silent = False
    await bench.poll()
    assert bench.facts()[:1] == [("snmp_broken", 0.0)]
    assert len(bench.looks) == 5
    assert bench.target.status().reason == ""


async def test_a_host_that_says_so_itself_is_not_looked_for() -> None:
    """ICMP port unreachable is word enough, and a name without an address leaves nobody to look for."""
    bench = Bench()
    for error, state in ((AgentNotListening("refused"), "snmp_broken"), (AddressUnknown("no address"), "unreachable")):
        bench.device.fail = lambda error=error: error  # type: ignore[misc]
        for _ in range(3):
            assert await bench.poll() is PollOutcome.TIMEOUT
        assert bench.target.status().state.value == state
    assert bench.looks == []


async def test_a_dead_device_is_asked_one_cheap_question() -> None:
    """On probation a poll costs one request of one object, unrepeated, until it is answered."""
    bench = Bench(retries=3)
    bench.device.is_silent = True
    await bench.poll()
    assert len(bench.device.requests) == 4
    await bench.poll()
    await bench.poll()
    assert bench.device.requests == [("get", 1)]
    bench.device.is_silent = False
    assert await bench.poll() is PollOutcome.ANSWERED


async def test_a_device_that_answers_uselessly_is_broken_not_unreachable() -> None:
    """Scalars are answered, the walk times out: the device is there, SNMP is not."""
    bench = Bench()
    await bench.poll()

    def no_bulk(asked: Sequence[object]) -> None:
        if bench.device.requests[-1][0] == "bulk":
            raise UnreadableAnswer("garbage")

    bench.device.refuse = no_bulk
    told = []
    for _ in range(3):
        assert await bench.poll() is PollOutcome.REFUSED
        told.append(bench.facts())
        assert bench.record.is_reachable
    assert told == [[], [("snmp_broken", 1.0)], []]
    assert bench.target.status().state is DeviceState.SNMP_BROKEN
    assert bench.target.status().reason == "UnreadableAnswer: garbage"


async def test_refused_credentials_are_a_fact_once_and_read_anew() -> None:
    """The fact is told at the first refusal; each try looks the secret up again, for it may have been mended."""
    bench = Bench()
    bench.device.fail = lambda: AuthenticationFailed("wrong password")
    facts = []
    for _ in range(3):
        assert await bench.poll() is PollOutcome.CREDENTIALS
        facts += bench.facts()
    assert facts == [("device_unreachable", 0.0), ("snmp_authentication_failure", 1.0), ("snmp_broken", 1.0)]
    assert len(bench.backend.sessions) == 3
    assert all(session.is_closed for session in bench.backend.sessions)


async def test_a_missing_secret_degrades_only_this_device(tmp_path: Path) -> None:
    """It says nothing about the device, is shown by name, and is tried again until it is there."""
    secret = tmp_path / "community"
    bench = Bench(community=f"file:{secret}")
    assert await bench.poll() is PollOutcome.SECRET
    assert bench.facts() == []
    assert not bench.backend.sessions
    status = bench.target.status()
    assert status.state is DeviceState.UNKNOWN
    assert str(secret) in status.last_error
    secret.write_text("public")
    assert await bench.poll() is PollOutcome.ANSWERED


async def test_a_bug_costs_one_poll(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong inside is logged with its traceback, counted, and the device begun anew."""
    bench = Bench()
    await bench.poll()
    bench.device.rewrite = lambda varbinds: [*varbinds[:1], object()]  # type: ignore[list-item]
    assert await bench.poll() is PollOutcome.BUG
    assert "Traceback" in caplog.text
    assert bench.facts() == []
    bench.device.rewrite = lambda varbinds: varbinds
    assert await bench.poll() is PollOutcome.ANSWERED
    assert isinstance(bench.emitted[0], InterfaceBatch)
    assert (bench.emitted[0].invalid[0, :13] == InvalidReason.FIRST).all()


async def test_a_chassis_is_turned_into_columns_in_a_thread() -> None:
    """Hundreds of ports give the same records; the loop goes on meanwhile."""
    bench = Bench()
    for index in range(1, 400):
        bench.device.port(index, f"eth{index}", octets=index)
    for _ in range(2):
        assert await bench.poll() is PollOutcome.ANSWERED
    batch = bench.emitted[0]
    assert isinstance(batch, InterfaceBatch)
    assert len(batch.interfaces) == 399
    assert (batch.invalid[:, :13] == InvalidReason.VALID).all()


async def test_a_silent_device_is_looked_up_again() -> None:
    """After five failures the session is opened anew: the name may mean another address by now."""
    bench = Bench()
    bench.device.is_silent = True
    for _ in range(6):
        await bench.poll()
    assert len(bench.backend.sessions) == 2


async def test_an_unknown_name_counts_as_silence() -> None:
    """A device whose name has no address is as unreachable as one that is switched off."""
    bench = Bench()

    async def unknown(target: TargetConfig, credentials: object) -> ScriptedSession:
        raise AddressUnknown("sw has no address")

    bench.backend.open = unknown  # type: ignore[method-assign, assignment]
    assert [await bench.poll(), await bench.poll()] == [PollOutcome.TIMEOUT] * 2
    assert bench.facts() == [("device_unreachable", 1.0)]


class HangingSession(ScriptedSession):
    """Never answers GETBULK."""

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError


class Scheduled:
    """A target running by itself on the machine's clock."""

    def __init__(self, *, interval: float, session: type[ScriptedSession] = ScriptedSession) -> None:
        self.device = ScriptedDevice()
        self.device.port(1, "eth1")
        self.backend = ScriptedBackend({"sw": self.device})
        clock = SystemClock()

        async def open_session(target: TargetConfig, credentials: object) -> ScriptedSession:
            return session(self.device)

        self.backend.open = open_session  # type: ignore[method-assign, assignment]
        self.records: list[DeviceRecord] = []
        self.target = Target(
            TargetConfig(name="sw", address="192.0.2.1", retries=0),
            interval=interval,
            backend=self.backend,
            window=SendWindow(10),
            clock=clock,
            random=Random(1),
            emit=lambda batch: self.records.append(batch) if isinstance(batch, DeviceRecord) else None,
        )

    async def run(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.target.run()


async def test_polls_keep_their_distance() -> None:
    """Starts lie one interval apart on the grid of the device's phase, without drift."""
    scheduled = Scheduled(interval=0.2)
    await scheduled.run(1.5)
    starts = [record.start_ns / 1e9 for record in scheduled.records]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert len(gaps) >= 4
    assert all(gap == pytest.approx(0.2, abs=0.06) for gap in gaps)
    assert starts[-1] - starts[0] == pytest.approx(0.2 * len(gaps), abs=0.06)


async def test_a_poll_that_hangs_is_cut_off_at_its_interval() -> None:
    """The deadline ends it; it counts by name, the device is not called unreachable, since it did answer something."""
    scheduled = Scheduled(interval=0.2, session=HangingSession)
    await scheduled.run(0.9)
    status = scheduled.target.status()
    assert status.polls["deadline"] >= 2
    assert status.state is DeviceState.SNMP_BROKEN
    assert all((record.end_ns - record.start_ns) / 1e9 < 0.35 for record in scheduled.records)


def test_phases_are_stable_and_spread() -> None:
    """The same at every start, and even over many devices: no tenth of the interval holds more than twice its share."""
    assert schedule_phase("core-switch") == schedule_phase("core-switch")
    phases = [schedule_phase(f"switch-{number}") for number in range(1_000)]
    tenths = [sum(int(phase * 10) == tenth for phase in phases) for tenth in range(10)]
    assert max(tenths) < 200
    assert min(tenths) > 50
