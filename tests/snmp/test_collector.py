"""All devices side by side, against real agents."""

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, AgentProcess, free_port
from snmp_scripted import ScriptedBackend, ScriptedDevice

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.fact import Fact, FactBatch
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig
from netmote.snmp.reachability import DeviceState

IN_OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")


class Running:
    """A collector that runs while the block lasts, and what it emitted."""

    def __init__(self, *targets: dict[str, object], **config: object) -> None:
        self.emitted: list[Batch] = []
        self._news = asyncio.Event()
        self.collector = SnmpCollector(
            SnmpConfig.model_validate({"interval": "1s", "targets": targets, **config}),
            clock=SystemClock(),
            random=Random(1),
            emit=self._take,
        )

    def _take(self, batch: Batch) -> None:
        self.emitted.append(batch)
        self._news.set()

    @contextlib.asynccontextmanager
    async def __call__(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.collector.run())
            yield self
            task.cancel()

    def of(self, device: str) -> list[Batch]:
        return [batch for batch in self.emitted if batch.source == f"snmp:{device}"]

    def records(self, device: str) -> list[DeviceRecord]:
        return [batch for batch in self.of(device) if isinstance(batch, DeviceRecord)]

    def interfaces(self, device: str) -> list[InterfaceBatch]:
        return [batch for batch in self.of(device) if isinstance(batch, InterfaceBatch)]

    def facts(self, device: str, name: str) -> list[Fact]:
        return [fact for batch in self.of(device) if isinstance(batch, FactBatch) for fact in batch.facts if fact.name == name]

    async def wait(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                self._news.clear()
                await self._news.wait()


def device(name: str, port: int, **more: object) -> dict[str, object]:
    return {"name": name, "address": "127.0.0.1", "port": port, "timeout": "300ms", "retries": 0, **more}


async def test_the_counters_are_those_that_net_snmp_reads(agent: AgentProcess) -> None:
    """Names, indexes, types and states of every port as `snmpbulkwalk` gives them; differences from the second poll on."""
    running = Running(device("host", agent.port))
    async with running():
        await running.wait(lambda: len(running.interfaces("host")) >= 2)
    batch = running.interfaces("host")[1]
    names = {oid.rpartition(".")[2]: value for oid, value in agent.walk("1.3.6.1.2.1.31.1.1.1.1").items()}
    types = {oid.rpartition(".")[2]: value for oid, value in agent.walk("1.3.6.1.2.1.2.2.1.3").items()}
    states = {oid.rpartition(".")[2]: value for oid, value in agent.walk("1.3.6.1.2.1.2.2.1.8").items()}
    ours = {
        str(index): (entity.name.removeprefix("host/"), str(kind), str(state))
        for index, entity, kind, state in zip(batch.if_index, batch.interfaces, batch.if_type, batch.if_oper_status, strict=True)
    }
    assert ours == {index: (names[index], types[index], states[index]) for index in names}
    assert (batch.invalid[:, IN_OCTETS] == InvalidReason.VALID).all()
    assert batch.duration_ns == pytest.approx(batch.end_ns - batch.start_ns, abs=1e8), "the agent's clock and ours agree"


async def test_stopping_the_agent_raises_and_its_return_clears(own_agent: AgentProcess) -> None:
    """Within two intervals and their timeouts SNMP is broken, on a host that is there; the first answer after ends it."""
    running = Running(device("host", own_agent.port))
    async with running():
        await running.wait(lambda: running.records("host"))
        assert [fact.value for fact in running.facts("host", "snmp_broken")] == [0.0]
        own_agent.stop()
        await running.wait(lambda: running.facts("host", "snmp_broken")[-1].value == 1.0, seconds=2 * 1.0 + 2 * 0.3 + 0.5)
        status = running.collector.target_status("host")
        assert status is not None
        assert status.state is DeviceState.SNMP_BROKEN
        assert "AgentNotListening" in status.last_error, "ICMP says so at once"
        own_agent.start()
        await running.wait(lambda: running.facts("host", "snmp_broken")[-1].value == 0.0, seconds=20)
        await running.wait(lambda: running.interfaces("host")[-1].invalid[0, IN_OCTETS] == InvalidReason.VALID)
    # snmpd restarted, the machine did not: hrSystemUptime tells, and the kernel's counters are kept
    assert [fact.name for fact in running.facts("host", "agent_restarted")] == ["agent_restarted"]
    assert not running.facts("host", "device_restarted")
    assert [fact.value for fact in running.facts("host", "device_unreachable")] == [0.0]


async def test_troubled_devices_delay_nobody(agent: AgentProcess, tmp_path: Path) -> None:
    """Dead, wrongly configured and secretless devices beside a live one: its polls keep their second."""
    (tmp_path / "auth").write_text("not-the-password")
    (tmp_path / "priv").write_text(PRIV_PASSWORD)
    wrong = {
        "security_name": "sha256",
        "auth_password": f"file:{tmp_path / 'auth'}",
        "priv_password": f"file:{tmp_path / 'priv'}",
    }
    dead = [device(f"dead-{number}", free_port(), timeout="900ms") for number in range(6)]
    running = Running(
        device("live", agent.port),
        device("wrong", agent.port, version="3", user=wrong),
        device("secretless", agent.port, community="file:/nonexistent"),
        *dead,
        max_in_flight=2,
    )
    async with running():
        await running.wait(lambda: len(running.records("live")) >= 5)
        await running.wait(lambda: running.facts("wrong", "snmp_authentication_failure"))
    records = running.records("live")
    gaps = [(later.start_ns - earlier.start_ns) / 1e9 for earlier, later in itertools.pairwise(records)]
    assert all(gap == pytest.approx(1.0, abs=0.2) for gap in gaps)
    assert all((record.end_ns - record.start_ns) / 1e9 < 0.6 for record in records)
    states = {status.name: status for status in running.collector.status()}
    assert states["live"].state is DeviceState.UP
    assert states["wrong"].state is DeviceState.SNMP_BROKEN
    assert "AuthenticationFailed" in states["wrong"].last_error
    assert states["secretless"].state is DeviceState.UNKNOWN
    assert "/nonexistent" in states["secretless"].last_error
    assert {states[f"dead-{number}"].state for number in range(6)} == {DeviceState.SNMP_BROKEN}


async def test_v3_and_v2c_of_one_device_agree(agent: AgentProcess, tmp_path: Path) -> None:
    """The same ports over both versions, side by side."""
    (tmp_path / "auth").write_text(AUTH_PASSWORD)
    (tmp_path / "priv").write_text(PRIV_PASSWORD)
    user = {
        "security_name": "sha512",
        "auth_protocol": "sha512",
        "priv_protocol": "aes256",
        "auth_password": f"file:{tmp_path / 'auth'}",
        "priv_password": f"file:{tmp_path / 'priv'}",
    }
    running = Running(device("two", agent.port), device("three", agent.port, version="3", user=user))
    async with running():
        await running.wait(lambda: running.interfaces("two") and running.interfaces("three"))
    two, three = running.interfaces("two")[0], running.interfaces("three")[0]
    assert two.if_index.tolist() == three.if_index.tolist()
    assert [each.name.partition("/")[2] for each in two.interfaces] == [each.name.partition("/")[2] for each in three.interfaces]


async def test_the_loop_is_never_held(agent: AgentProcess) -> None:
    """While ten devices are polled no turn of the event loop takes more than 10 ms of CPU, once the engine is built.

    CPU time of this thread, so that a busy machine is no failure; the garbage collector's rare pass over the engine's
    objects (14 ms) is kept out by freezing them, as a daemon may after its start.
    """
    running = Running(*(device(f"host-{number}", agent.port) for number in range(10)))
    async with running():
        await running.wait(lambda: all(running.records(f"host-{number}") for number in range(10)))
        gc.collect()
        gc.freeze()
        try:
            held, until = [], asyncio.get_running_loop().time() + 2.0
            while asyncio.get_running_loop().time() < until:
                before = time.thread_time()
                await asyncio.sleep(0)
                held.append(time.thread_time() - before)
        finally:
            gc.unfreeze()
    assert max(held) < 0.010, f"{max(held) * 1000:.1f} ms"


async def test_a_changed_configuration_begins_only_changed_devices_anew() -> None:
    """One device stays, one gets another address, one goes, one comes: who stays keeps its session and its history."""
    devices = {}
    for name in ("stays", "changes", "goes", "comes"):
        devices[name] = scripted = ScriptedDevice()
        scripted.boot(up_time=1)
        scripted.port(1, "eth1")
    backend = ScriptedBackend(devices)
    emitted: asyncio.Queue[Batch] = asyncio.Queue()

    def config(*targets: tuple[str, str]) -> SnmpConfig:
        listed = [{"name": name, "address": address} for name, address in targets]
        return SnmpConfig.model_validate({"interval": "1s", "targets": listed})

    collector = SnmpCollector(
        config(("stays", "192.0.2.1"), ("changes", "192.0.2.2"), ("goes", "192.0.2.3")),
        clock=SystemClock(),
        random=Random(1),
        emit=emitted.put_nowait,
        backend=backend,
    )

    async def polled(*names: str) -> None:
        wanted = {f"snmp:{name}" for name in names}
        while wanted:
            wanted.discard((await emitted.get()).source)

    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(collector.run())
        await polled("stays", "changes", "goes")
        before = len(backend.sessions)
        collector.apply(config(("comes", "192.0.2.4"), ("stays", "192.0.2.1"), ("changes", "192.0.2.22")))
        await polled("comes", "changes", "stays")
        assert [status.name for status in collector.status()] == ["comes", "stays", "changes"]
        assert len(backend.sessions) == before + 2, "the one that stays keeps its session"
        assert sum(session.is_closed for session in backend.sessions) == 2
        task.cancel()


async def test_another_back_end_is_taken_up_while_running(agent: AgentProcess) -> None:
    """`snmp.backend` changed for all: devices that have no choice of their own are begun anew over it."""
    running = Running(device("all", agent.port), device("own", agent.port, backend="native"))

    def backends() -> list[str]:
        return [status.backend for status in running.collector.status()]

    async with running():
        await running.wait(lambda: running.records("all") and running.records("own"))
        assert backends() == ["native", "native"]
        changed = {
            "interval": "1s",
            "backend": "pysnmp",
            "targets": [device("all", agent.port), device("own", agent.port, backend="native")],
        }
        running.collector.apply(SnmpConfig.model_validate(changed))
        await running.wait(lambda: backends() == ["pysnmp", "native"])
        polls = len(running.records("all"))
        await running.wait(lambda: len(running.records("all")) > polls)
        assert running.records("all")[-1].is_reachable


async def test_without_targets_it_waits() -> None:
    """Nothing configured: nothing opened, nothing emitted, and cancellation ends it."""
    running = Running()
    async with running():
        await asyncio.sleep(0.05)
    assert running.emitted == []
    assert running.collector.status() == ()
    assert running.collector.target_status("nobody") is None


async def test_another_back_end_is_closed_with_the_collector() -> None:
    """The back end belongs to the run: its sessions are closed when it ends."""
    scripted = ScriptedDevice()
    scripted.boot(up_time=1)
    scripted.port(1, "eth1")
    backend = ScriptedBackend({"sw": scripted})
    emitted: asyncio.Queue[Batch] = asyncio.Queue()
    collector = SnmpCollector(
        SnmpConfig.model_validate({"interval": "1s", "targets": [{"name": "sw", "address": "192.0.2.1"}]}),
        clock=SystemClock(),
        random=Random(1),
        emit=emitted.put_nowait,
        backend=backend,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(collector.run())
        async with asyncio.timeout(3):
            await emitted.get()
        task.cancel()
    assert backend.is_closed
    assert all(session.is_closed for session in backend.sessions)
