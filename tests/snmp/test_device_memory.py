"""What is kept of devices over a restart: whole or put aside, bounded, and used from the first request on."""

import asyncio
import itertools
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from snmp_scripted import ScriptedBackend, ScriptedDevice

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.fact import Fact, FactBatch
from netmote.records.interface import InterfaceBatch
from netmote.snmp import mib
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig
from netmote.snmp.device_identity import DeviceIdentity
from netmote.snmp.device_memory import MAX_BYTES, MOST_ADDRESSES, MOST_NAMES, DeviceMemory, RememberedDevice
from netmote.snmp.identity import PortIdentities, PortMarks, PortRow
from netmote.snmp.oid import encode_arcs
from netmote.snmp.quirks import Quirks
from netmote.snmp.session import RequestTimedOut

CISCO = b"\x2b\x06\x01\x04\x01\x09"
KNOWN = RememberedDevice(
    Quirks(CISCO, has_no_bulk=True, most_varbinds=7, is_unordered=True, refresh_seconds=15.0),
    serial="FOC1234",
    engine_id=b"\x80\0\0\x09\x01",
    addresses=frozenset({"0011223344aa", "0011223344bb"}),
    marks=PortMarks(frozenset({"lo0"}), {"Gi0/1": 2}),
)


@pytest.fixture
def memory(tmp_path: Path) -> DeviceMemory:
    return DeviceMemory(tmp_path / "snmp-devices.bin")


def test_a_round_trip(memory: DeviceMemory) -> None:
    """Everything comes back, and of a device without peculiarities nothing but its name is written."""
    assert memory.load() == {}
    devices = {"sw1": KNOWN, "plain": RememberedDevice()}
    assert memory.save(devices)
    assert DeviceMemory(memory.path).load() == devices
    assert b'"plain":{}' in memory.path.read_bytes()
    assert [path.name for path in memory.path.parent.iterdir()] == ["snmp-devices.bin"]


def test_what_is_on_disk_already_is_not_written_again(memory: DeviceMemory) -> None:
    """Flash wears: the same content costs no write, another one does."""
    memory.save({"sw1": KNOWN})
    first = memory.path.stat().st_mtime_ns, memory.path.stat().st_ino
    again = DeviceMemory(memory.path)
    again.load()
    assert again.save({"sw1": KNOWN})
    assert (memory.path.stat().st_mtime_ns, memory.path.stat().st_ino) == first
    assert again.save({})
    assert memory.path.stat().st_ino != first[1]


def written(entry: object) -> bytes:
    """A file with a right checksum around anything."""
    body = json.dumps({"devices": {"sw1": entry}}).encode()
    return b"netmote-snmp-devices-1\n" + sha256(body).digest() + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"another-format\n" + bytes(40),
        written({"most_varbinds": 7})[:-1],
        written({"most_varbinds": 7}) + b"x",
        written({"most_varbinds": 0}),
        written({"most_varbinds": True}),
        written({"most_varbinds": 10**9}),
        written({"refresh_seconds": -1}),
        written({"refresh_seconds": "15"}),
        written({"engine_id": "zz"}),
        written({"sys_object_id": 9}),
        written({"generations": {"a": 0}}),
        written({"generations": [1]}),
        written({"serial": ["x"]}),
        written([]),
        b"netmote-snmp-devices-1\n" + sha256(b"[]").digest() + b"[]",
        b"netmote-snmp-devices-1\n" + sha256(b"{").digest() + b"{",
    ],
    ids=itertools.count(),
)
def test_a_damaged_file_is_put_aside_and_said(memory: DeviceMemory, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    """Also one whose checksum is right and whose content no version of ours wrote: nothing of it is used, and it stays to be looked at."""
    memory.path.write_bytes(content)
    assert memory.load() == {}
    assert "learnt anew" in caplog.text
    assert [path.name for path in memory.path.parent.iterdir()] == ["snmp-devices.bad"]
    assert memory.save({"sw1": KNOWN})
    assert DeviceMemory(memory.path).load() == {"sw1": KNOWN}


def test_every_octet_is_covered_by_the_checksum(memory: DeviceMemory) -> None:
    """A flipped bit anywhere is found."""
    memory.save({"sw1": KNOWN})
    sound = memory.path.read_bytes()
    for place in range(len(sound)):
        memory.path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1 :])
        assert DeviceMemory(memory.path).load() == {}, place


def test_bounds(memory: DeviceMemory, caplog: pytest.LogCaptureFixture) -> None:
    """Too large a file is not read; of a device no more than so many names are kept, and no addresses where there are too many."""
    addresses = frozenset(f"{number:012x}" for number in range(MOST_ADDRESSES + 1))
    marks = PortMarks(frozenset(f"p{number}" for number in range(1_000)), {f"p{number}": 1 for number in range(1_000)})
    kept = RememberedDevice.of(Quirks(), DeviceIdentity("s" * 300, b"e" * 300, addresses), marks)
    assert (len(kept.marks.apart), len(kept.marks.generations)) == (MOST_NAMES, MOST_NAMES)
    assert (kept.serial, kept.engine_id, kept.addresses) == ("", b"", frozenset())
    with memory.path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert memory.load() == {}
    assert "is larger than" in caplog.text


def test_a_full_or_forbidden_disk_costs_only_this_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The room that is kept for alerts is not touched; a path that cannot be written is said."""
    assert not DeviceMemory(tmp_path / "a", free_space_floor=2**62).save({"sw1": KNOWN})
    (tmp_path / "file").write_text("")
    assert not DeviceMemory(tmp_path / "file" / "b").save({"sw1": KNOWN})
    assert caplog.text.count("is not saved") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_ambiguous_port_keeps_its_name() -> None:
    """What was Gi0/1~1 before the restart is not called Gi0/1 after it, and the next ambiguity goes on counting."""
    rows = [PortRow(1, "a", "", 0, is_up=True, phys_address="01"), PortRow(2, "b", "", 0, is_up=True, phys_address="02")]
    exchanged = [rows[0]._replace(phys_address="02"), rows[1]._replace(phys_address="01")]
    before = PortIdentities()
    before.resolve(rows, ())
    names = before.resolve(exchanged, ())
    assert set(names.index_of) == {"a~1", "b~1"}
    after = PortIdentities.remembering(before.marks)
    assert after.resolve(exchanged, ()).index_of == names.index_of
    assert set(after.resolve(rows, ()).index_of) == {"a~2", "b~2"}


class Life:
    """A collector that runs until it has polled so often, from one start to the next."""

    def __init__(self, path: Path, device: ScriptedDevice) -> None:
        self.path, self.device = path, device

    async def run(self, polls: int) -> list[Batch]:
        emitted: list[Batch] = []
        done = asyncio.Event()

        def emit(batch: Batch) -> None:
            emitted.append(batch)
            if sum(isinstance(each, DeviceRecord) for each in emitted) >= polls:
                done.set()

        config = {"interval": "1s", "targets": [{"name": "sw", "address": "192.0.2.1", "retries": 0}], "max_gauges": 0}
        collector = SnmpCollector(
            SnmpConfig.model_validate(config),
            clock=SystemClock(),
            random=Random(1),
            emit=emit,
            backend=ScriptedBackend({"sw": self.device}),
            memory=DeviceMemory(self.path),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(collector.run())
            async with asyncio.timeout(10):
                await done.wait()
            task.cancel()
        return emitted

    def facts(self, emitted: list[Batch]) -> Mapping[str, Fact]:
        return {fact.name: fact for batch in emitted if isinstance(batch, FactBatch) for fact in batch.facts}


async def test_a_start_that_ends_at_once_forgets_nothing(tmp_path: Path) -> None:
    """Stopped before anything was polled, or even read: what was known stays; what left the configuration goes."""
    path = tmp_path / "snmp-devices.bin"
    DeviceMemory(path).save({"sw": KNOWN, "gone": KNOWN})
    for seconds in (0.0, 0.2):
        collector = SnmpCollector(
            SnmpConfig.model_validate({"interval": "1h", "targets": [{"name": "sw", "address": "192.0.2.1"}]}),
            clock=SystemClock(),
            random=Random(1),
            emit=lambda _: None,
            backend=ScriptedBackend({"sw": ScriptedDevice()}),
            memory=DeviceMemory(path),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(collector.run())
            await asyncio.sleep(seconds)
            task.cancel()
        assert DeviceMemory(path).load()["sw"] == KNOWN
    assert DeviceMemory(path).load().keys() == {"sw"}


def chassis(serial: str) -> ScriptedDevice:
    device = ScriptedDevice()
    device.boot(up_time=1_000)
    device.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, CISCO)
    device.put(mib.ENT_PHYSICAL_CLASS_1, mib.INTEGER, mib.CHASSIS)
    device.put(mib.ENT_PHYSICAL_SERIAL_NUM_1, mib.OCTET_STRING, serial)
    device.port(1, "eth1")
    device.put(mib.COLUMN["ifPhysAddress"] + encode_arcs([1]), mib.OCTET_STRING, b"\0\x11\x22\x33\x44\x55")
    device.fail = lambda: RequestTimedOut("no answer (scripted)") if device.requests[-1][0] == "bulk" else None
    return device


async def test_a_restart_knows_the_quirks_and_notices_another_device(tmp_path: Path) -> None:
    """The first start tries GETBULK in vain, the second never; a chassis that was exchanged in between is told at the first poll; what
    another kind of device needs begins anew.
    """
    path = tmp_path / "state" / "snmp-devices.bin"
    first = Life(path, chassis("A1"))
    await first.run(1)
    assert "bulk" in {kind for kind, _ in first.device.requests}
    second = Life(path, chassis("A1"))
    told = second.facts(await second.run(2))
    assert {kind for kind, _ in second.device.requests} == {"get", "get_next"}
    assert "device_replaced" not in told
    third = Life(path, chassis("B2"))
    emitted = await third.run(1)
    assert third.facts(emitted)["device_replaced"].annotations["earlier_serial"] == "A1"
    assert any(isinstance(batch, InterfaceBatch) for batch in emitted)
    other = chassis("B2")
    other.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, b"\x2b\x06\x01\x04\x01\x0b")
    other.fail = lambda: None
    fourth = Life(path, other)
    await fourth.run(2)
    assert DeviceMemory(path).load()["sw"].quirks == Quirks(b"\x2b\x06\x01\x04\x01\x0b")
    assert "bulk" in {kind for kind, _ in other.requests}
