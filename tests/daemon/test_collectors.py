"""All collectors of a configuration: started, and changed one by one."""

import asyncio
import itertools
from pathlib import Path
from random import Random

from daemon_legs import Legs, until
from snmp_scripted import ScriptedBackend, ScriptedDevice

from netmote.clock import SystemClock
from netmote.daemon.collectors import Collectors
from netmote.daemon.config import Config
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig


def snmp(*targets: dict[str, object], **more: object) -> SnmpConfig:
    return SnmpConfig.model_validate({"interval": "1s", "targets": targets, **more})


def target(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "address": name, **more}


async def test_a_changed_device_costs_the_others_nothing() -> None:
    """One device is changed, one removed, one added: only those are begun anew, and the unchanged one keeps its second."""
    seen: list[DeviceRecord] = []

    def take(batch: Batch) -> None:
        if isinstance(batch, DeviceRecord):
            seen.append(batch)

    def polls(name: str) -> list[DeviceRecord]:
        return [record for record in seen if record.device.name == name]

    devices = {}
    for name in ("a", "b", "c", "d"):
        devices[name] = ScriptedDevice()
        devices[name].boot(up_time=1000)
        devices[name].port(1, "ge0")
    backend = ScriptedBackend(devices)
    collector = SnmpCollector(
        snmp(target("a"), target("b"), target("c")), clock=SystemClock(), random=Random(1), emit=take, backend=backend
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(collector.run())
        await until(lambda: all(len(polls(name)) >= 2 for name in "abc"))
        kept = collector._targets["a"]
        collector.apply(snmp(target("a"), target("b", timeout="1s"), target("d")))
        await until(lambda: polls("d"))
        assert collector._targets["a"] is kept
        assert collector.target_status("c") is None
        assert [status.name for status in collector.status()] == ["a", "b", "d"]
        ended = len(polls("c"))
        before = len(polls("a"))
        await until(lambda: len(polls("a")) >= before + 2)
        assert len(polls("c")) == ended
        collector.apply(snmp(target("a"), max_in_flight=5))
        await until(lambda: collector._targets["a"] is not kept)
        task.cancel()
    # Compared in whole slots, so that a busy machine does not fail the test: none was left out.
    starts = [record.start_ns / 1e9 for record in polls("a")[1 : before + 2]]
    assert max(later - earlier for earlier, later in itertools.pairwise(starts)) < 1.8


async def test_every_collector_starts_changes_and_stops(legs: Legs, tmp_path: Path) -> None:
    """Targets come and go, the host's interval changes: each part alone, and at the end nothing runs."""
    seen: list[Batch] = []
    collectors = Collectors(
        sensor="s1",
        state_dir=tmp_path,
        emit=seen.append,
        supervise=legs.supervised,
        clock=SystemClock(),
        random=Random(1),
        health=legs.health,
        metrics=legs.metrics,
    )
    plain = Config.model_validate({"capture": {"interfaces": []}, "host": {"interval": "1s"}})
    dead = {"name": "sw1", "address": "127.0.0.1", "port": 9, "timeout": "100ms", "retries": 0}
    with_device = plain.model_copy(update={"snmp": SnmpConfig.model_validate({"interval": "1s", "targets": [dead]})})
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        collectors.start(group, plain)
        assert collectors.snmp_status("sw1") is None
        await collectors.apply(group, with_device, ("snmp",))
        await until(lambda: collectors.snmp_status("sw1") is not None)
        await until(lambda: any(batch.source == "snmp:sw1" for batch in seen))
        await until(lambda: any(batch.source == "host" for batch in seen))
        await collectors.apply(group, with_device, ("host", "snmp", "capture"))
        await collectors.apply(group, plain, ("snmp",))
        assert collectors.snmp_status("sw1") is None
        assert collectors.observations == []
        await collectors.stop(5.0)
    assert not legs.health.reasons
