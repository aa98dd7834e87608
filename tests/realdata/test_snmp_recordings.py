"""Recordings of real devices, served by snmpsim: every port and counter as it was recorded, and the same through either back end."""

import asyncio
import csv
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path
from random import Random

import numpy as np
import pytest
from snmp_simulator import Recording, Simulator

from netmote.clock import SystemClock
from netmote.snmp import mib
from netmote.snmp.backends import Backends
from netmote.snmp.config import TargetConfig
from netmote.snmp.counters import MALFORMED_BITS, NARROW, WIDE
from netmote.snmp.credentials import Community
from netmote.snmp.history import DeviceHistory
from netmote.snmp.oid import oid_text
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.reading import DeviceReader, DeviceReading

INDEX = Path(__file__).resolve().parents[3] / "shared" / "data" / "snmp" / "INDEX.csv"


def recordings_of(index: Path) -> list[str]:
    with index.open(newline="") as lines:
        return [row["file"].removesuffix(".bz2").removesuffix(".snmprec") for row in csv.DictReader(lines)]


# One of each kind of trouble. Ports and counters are compared for all 83; the slower comparisons for these, unless
# NETMOTE_ALL_RECORDINGS=1 asks for all of them (7 min).
SAMPLE = {
    "UPS/apc-7902b": "no 64-bit counters, values computed by a variation module",
    "UPS/phoenixtec-power": "counters of another type",
    "UPS/vertiv-power": "ports without any name",
    "camera/wds-ips-1022": "two rows of one name and description",
    "iot/geist-temperature-sensor": "a single port",
    "network/firewall/clavister-amaranten": "32-bit counters only",
    "network/firewall/venus-vsos-v0600r0705b20180507": "64-bit objects that answer as Counter32",
    "network/switch/cts-media-converter": "three ports, all of it",
    "network/switch/metel-poe-box": "counters of another type, sparse ifIndex",
    "network/wifi/ubiquiti-m5": "Linux behind a radio",
    "os/linux/slackware": "net-snmp, ifSpeed of lo",
    "os/windows/XP": "sparse ifIndex 1, 65539 ...",
    "os/linux/ibm-power-chrp": "a foreign agent",
    "network/wifi/sangfor-wac": "nine names twice: rows that the agent left behind",
    "network/router/cisco-unmarked-0": "one port with 64-bit counters among 28, sparse ifIndex",
    "network/switch/dlink-des3038": "64-bit counters at 0 whose 32-bit twins count",
    "network/switch/hpe-procurve-516733-b21": "two ports called lo0, told apart by ifDescr",
}
ALL = os.environ.get("NETMOTE_ALL_RECORDINGS") == "1"
pytestmark = [pytest.mark.realdata, pytest.mark.timeout(500 if ALL else 180)]
EVERY = sorted(recordings_of(INDEX)) if INDEX.is_file() else list(SAMPLE)
RECORDINGS = EVERY if ALL else list(SAMPLE)
# What a poll asks for, so that snmpsim is soon ready with all of them; NETMOTE_ALL_RECORDINGS=1 serves them whole.
OBJECTS = (
    "1.3.6.1.2.1.1.", "1.3.6.1.2.1.2.", "1.3.6.1.2.1.31.", "1.3.6.1.2.1.25.1.", "1.3.6.1.2.1.47.1.1.1.1.5.1|",
    "1.3.6.1.2.1.47.1.1.1.1.11.1|", "1.3.6.1.6.3.10.2.1.1.",
)  # fmt: skip


@pytest.fixture(scope="module")
def simulator(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    if not shutil.which("snmpget"):
        pytest.skip("the snmp tools are not installed")
    pytest.importorskip("snmpsim")
    served = Simulator(tmp_path_factory.mktemp("snmpsim"), data / "snmp", EVERY, only=("",) if ALL else OBJECTS)
    served.start()
    yield served
    served.stop()


@pytest.fixture
async def backend() -> AsyncIterator[Backends]:
    opened = Backends(clock=SystemClock(), random=Random(1))
    yield opened
    await opened.close()


def column(recording: Recording, name: str) -> dict[int, tuple[int, bytes | int | None]]:
    prefix = oid_text(mib.COLUMN[name]) + "."
    return {int(oid.removeprefix(prefix)): cell for oid, cell in recording.items() if oid.startswith(prefix)}


def expected_counter(wide: tuple[int, bytes | int | None] | None, narrow: tuple[int, bytes | int | None] | None) -> object:
    """(bits, value) by the rules: 64-bit unless absent, unreadable, or 0 while its twin counts; "any" when computed."""
    usable = wide is not None and wide[0] in (mib.COUNTER32, mib.COUNTER64)
    if usable and wide is not None and not (wide[1] == 0 and narrow is not None and narrow[0] in (65, 70) and narrow[1]):
        chosen = wide
    else:
        chosen = narrow if narrow is not None else wide
    if chosen is None:
        return (0, 0)
    bits = {mib.COUNTER32: NARROW, mib.COUNTER64: WIDE}.get(chosen[0], MALFORMED_BITS)
    return (bits, "any" if chosen[1] is None else chosen[1] if bits != MALFORMED_BITS else 0)


async def read(backend: Backends, port: int, name: str, by: str = "native", version: str = "2c") -> DeviceReading:
    target = TargetConfig(name="d", address="127.0.0.1", port=port, timeout=15.0, backend=by, version=version)
    session = PacedSession(await backend.open(target, Community(name)), SendWindow(4), retries=0)
    async with asyncio.timeout(60):
        return await DeviceReader(clock=SystemClock(), max_repetitions=20).read(session)


@pytest.mark.parametrize("name", EVERY)
async def test_every_port_and_counter_is_as_recorded(backend: Backends, simulator: Simulator, name: str) -> None:
    """Indexes, names, types and each counter with its width; what the recording holds in another type is malformed."""
    recording = simulator.recording(name)
    reading = await read(backend, simulator.port, name)
    columns = {each: column(recording, each) for each in mib.COLUMN}
    counted = [source for pair in mib.COUNTER_SOURCES for source in pair if source]
    indexes = sorted(set().union(*(columns[each] for each in (*counted, "ifAdminStatus", "ifOperStatus"))))
    assert reading.ports.if_index.tolist() == indexes
    for row, index in enumerate(indexes):
        for place, source in enumerate(mib.COUNTER_SOURCES):
            wide = columns[source.wide].get(index) if source.wide else None
            narrow = columns[source.narrow].get(index) if source.narrow else None
            got = (int(reading.counters.bits[row, place]), int(reading.counters.values[row, place]))
            expected = expected_counter(wide, narrow)
            assert isinstance(expected, tuple)
            assert got[0] == expected[0], (index, source)
            assert expected[1] in ("any", got[1]), (index, source)
        recorded_type = columns["ifType"].get(index, (2, 0))[1]
        assert int(reading.counters.if_type[row]) == recorded_type
        recorded_name = columns["ifName"].get(index, (4, b""))[1]
        assert isinstance(recorded_name, bytes)
        assert reading.ports.if_name[row] == "".join(c for c in recorded_name.decode("latin-1") if c.isprintable()).strip()


@pytest.mark.parametrize(
    "name",
    [name for name in SAMPLE if name not in ("UPS/apc-7902b", "os/linux/slackware")],  # those two count on while they are read
)
async def test_snmpbulkwalk_reads_the_same(backend: Backends, simulator: Simulator, name: str) -> None:
    """Net-snmp's own client, over the same agent: as many interfaces, and the very counters."""

    def walked(of: str) -> dict[int, int]:
        command = ["snmpbulkwalk", "-v2c", "-c", name, "-t15", "-OqntU", f"127.0.0.1:{simulator.port}", oid_text(mib.COLUMN[of])]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        cells = (line.partition(" ") for line in lines if "No Such" not in line)
        return {int(oid.rpartition(".")[2]): int(value) for oid, _, value in cells if value.isdigit()}

    wide, narrow, states = walked("ifHCInOctets"), walked("ifInOctets"), walked("ifOperStatus")
    reading = await read(backend, simulator.port, name)
    assert len(reading.ports.if_index) == len(states | narrow | wide)
    for row, index in enumerate(reading.ports.if_index.tolist()):
        bits, value = int(reading.counters.bits[row, 0]), int(reading.counters.values[row, 0])
        if bits in (NARROW, WIDE):
            assert value in (wide.get(index), narrow.get(index)), index


@pytest.mark.parametrize("name", RECORDINGS)
async def test_every_port_has_one_name(backend: Backends, simulator: Simulator, name: str) -> None:
    """No two ports share a name, and each row is a port or known to be stale."""
    reading = await read(backend, simulator.port, name)
    history = DeviceHistory("d")
    batch, _ = history.observe(reading)
    assert max(Counter(batch.interfaces).values()) == 1
    assert sorted([*batch.if_index.tolist(), *history.stale_rows]) == reading.ports.if_index.tolist()
    stale = {"camera/wds-ips-1022": 1, "network/wifi/sangfor-wac": 9}
    assert len(history.stale_rows) == stale.get(name, 0)


@pytest.mark.parametrize("name", RECORDINGS)
async def test_both_back_ends_read_the_same(backend: Backends, simulator: Simulator, name: str) -> None:
    """Every name, state, type and counter of every recording, without exception; only what a variation module computes anew at
    each request may differ.
    """
    native, pysnmp = [await read(backend, simulator.port, name, by) for by in ("native", "pysnmp")]
    assert native.system == pysnmp.system
    assert native.refused_columns == pysnmp.refused_columns
    for ours, theirs in ((native.ports, pysnmp.ports), (native.counters, pysnmp.counters)):
        differing = {
            field.name
            for field in fields(ours)
            if field.name != "values" and not np.array_equal(getattr(ours, field.name), getattr(theirs, field.name))
        }
        assert not differing
    computed = np.zeros(native.counters.values.shape, bool)
    recording = simulator.recording(name)
    columns = {each: column(recording, each) for each in mib.COLUMN}
    for row, index in enumerate(native.ports.if_index):
        for place, source in enumerate(mib.COUNTER_SOURCES):
            cells = [columns[each].get(int(index), (0, 0)) for each in source if each]
            computed[row, place] = any(value is None for _, value in cells)
    assert (native.counters.values == pysnmp.counters.values)[~computed].all()


@pytest.mark.parametrize("name", [name for name in SAMPLE if name in RECORDINGS][:8])
async def test_version_1_reads_the_same_without_64_bits(backend: Backends, simulator: Simulator, name: str) -> None:
    """The same ports by the same names, and each counter that has a 32-bit twin: an agent of v1 has no Counter64 to give."""
    recording = simulator.recording(name)
    reading, of_v2c = [await read(backend, simulator.port, name, version=version) for version in ("1", "2c")]
    assert reading.system == of_v2c.system
    for field in ("if_index", "if_name", "if_descr", "if_alias", "if_oper_status"):
        assert np.array_equal(getattr(reading.ports, field), getattr(of_v2c.ports, field)), field
    assert not (reading.counters.bits == WIDE).any()
    columns = {each: column(recording, each) for each in mib.COLUMN}
    for place, source in enumerate(mib.COUNTER_SOURCES):
        for row, index in enumerate(reading.ports.if_index):
            wide = columns[source.wide].get(int(index)) if source.wide else None
            narrow = columns[source.narrow].get(int(index)) if source.narrow else None
            expected = expected_counter(None if wide is not None and wide[0] == mib.COUNTER64 else wide, narrow)
            assert isinstance(expected, tuple)
            got = (int(reading.counters.bits[row, place]), int(reading.counters.values[row, place]))
            assert got[0] == expected[0], (index, source)
            assert expected[1] in ("any", got[1]), (index, source)
