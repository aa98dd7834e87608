"""Recorded router counters, served by a live agent and polled in compressed time: the rates are the recording's, its faults are alerts.

Cisco's IOS-XR recordings with timed faults (cisco-ie/telemetry), a reading about every 10 s. The agent tells every port up, always,
so an alert can come of counters alone.
"""

import csv
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from counter_replay import CounterReplay, Instant, read_recording
from manual_clock import ManualClock
from snmp_fault_agent import FaultAgent

from netmote.alerts.alert import Alert, AlertState
from netmote.analysis.assembly import assemble
from netmote.analysis.config import AnalysisConfig
from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.snmp.backends import Backends
from netmote.snmp.config import TargetConfig
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.target import PollOutcome, Target

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(300)]

IN, OUT = (INTERFACE_COUNTERS.index(name) for name in ("if_hc_in_octets", "if_hc_out_octets"))
INTERVAL = 10.0


@dataclass
class Polled:
    """What a target emitted while the recording was played to it."""

    batches: list[Batch] = field(default_factory=list)
    outcomes: set[PollOutcome] = field(default_factory=set)

    @property
    def interfaces(self) -> list[InterfaceBatch]:
        return [batch for batch in self.batches if isinstance(batch, InterfaceBatch)]


@pytest.fixture
async def backend() -> AsyncIterator[Backends]:
    opened = Backends(clock=SystemClock(), random=Random(1))
    yield opened
    await opened.close()


async def play(instants: list[Instant], backend: Backends, monkeypatch: pytest.MonkeyPatch, name: str) -> Polled:
    """Poll the agent at each instant of the recording, by a clock that jumps from one to the next."""
    monkeypatch.setenv("REPLAY_COMMUNITY", "public")
    clock = ManualClock(round(instants[0].time * 1e9))
    replay = CounterReplay(instants, lambda: clock.now_ns() / 1e9)
    polled = Polled()
    async with FaultAgent(replay) as agent:
        replay.fill(agent.table)
        config = TargetConfig(name=name, address="127.0.0.1", port=agent.port, community="env:REPLAY_COMMUNITY", timeout=5.0)
        target = Target(
            config,
            interval=INTERVAL,
            backend=backend,
            window=SendWindow(10),
            clock=clock,
            random=Random(1),
            emit=polled.batches.append,
        )
        for instant in instants:
            clock.advance(instant.time - clock.now_ns() / 1e9)
            polled.outcomes.add(await target.poll())
        await target.close()
    return polled


@pytest.mark.parametrize("name", ["200121_0803_ecmp/leaf4", "200121_0803_ecmp/spine3"])
async def test_rates_are_those_of_the_recording(
    name: str, data: Path, backend: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every interval, for every port, octets a second in and out are within 1 % of the recording's, or no claim is made."""
    instants = read_recording(data / "counters" / "cisco" / f"{name}.csv.gz")
    polled = await play(instants, backend, monkeypatch, "router")
    assert polled.outcomes == {PollOutcome.ANSWERED}
    batches = polled.interfaces
    assert len(batches) == len(instants)
    compared = 0
    for earlier, later, batch in zip(instants, instants[1:], batches[1:], strict=False):
        seconds = later.time - earlier.time
        for row, port in enumerate(batch.interfaces):
            before, after = (at.ports.get(port.name.partition("/")[2]) for at in (earlier, later))
            assert after is not None
            for column, counter in ((IN, "in_octets"), (OUT, "out_octets")):
                if batch.invalid[row, column] != InvalidReason.VALID:
                    assert (
                        before is None
                        or after[counter] < before[counter]
                        or batch.invalid[row, column] == InvalidReason.IMPLAUSIBLE
                    )
                    continue
                assert before is not None
                rate = batch.deltas[row, column] / (batch.duration_ns / 1e9)
                assert rate == pytest.approx((after[counter] - before[counter]) / seconds, rel=0.01, abs=1.0)
                compared += 1
    assert compared > 0.99 * 2 * (len(instants) - 1) * len(instants[0].ports)


async def test_a_port_that_is_shut_is_alerted(data: Path, backend: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes of a router under load, then one of its ports is shut: one alert, of that port, within 80 s, and no other.

    The window is a minute, so that is how long the silence must be seen.
    """
    folder = data / "counters" / "cisco" / "ds11_leaf7_ifshut_bfd"
    with (folder / "events.csv").open(newline="") as stream:
        shut = next(row for row in csv.DictReader(stream) if row["event"] == "shutdown_interface")
    at = float(shut["timestamp"])
    instants = [instant for instant in read_recording(folder / "leaf7.csv.gz") if instant.time < at + 120]
    polled = await play(instants, backend, monkeypatch, "leaf7")
    analysis = assemble(AnalysisConfig(), sensor="s").analysis
    alerts: list[Alert] = [alert for batch in polled.batches for alert in analysis.observe(batch).alerts]
    firing = {alert.alert_id: alert for alert in alerts if alert.state is AlertState.FIRING}
    (alert,) = firing.values()
    assert alert.entity.name == f"leaf7/{shut['interface']}"
    assert alert.group == "interface_silent"
    assert 0 < alert.fired_at_ns / 1e9 - at < 80
    assert {each.feature for each in alert.contributors} >= {"in_packets_per_second", "out_packets_per_second"}
