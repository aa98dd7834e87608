"""Forwarding tables of real switches, as their recordings hold them."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest
from snmp_simulator import Recording, Simulator

from netmote.clock import SystemClock
from netmote.snmp.backends import Backends
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.details.details_reader import DetailsReader
from netmote.snmp.details.found import Station
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.profiles.loader import ProfileSet
from netmote.snmp.reading import DeviceReader

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(120)]

# What is odd about each.
SWITCHES = {
    "network/switch/ruijie-s5750-24gt12sfp": "both tables, its own addresses among them",
    "network/switch/bdcom-s5612": "the VLAN's table only, 721 rows in no order: snmpbulkwalk gives it up",
    "network/switch/hpe-procurve-516733-b21": "entries without a port",
    "network/router/huawei-s5720": "the older table only",
    "network/switch/cisco-c3750": "the older table only; bridge ports that are not ifIndexes",
    "network/router/juniper-mx960-12-3r6-6": "bridge ports without an ifIndex",
    "network/switch/zte-zxr10-5250": "rows without a status, in no order",
}
# Of each recording, so that snmpsim is ready soon: system, interfaces, bridge ports, and the two tables.
OBJECTS = (
    "1.3.6.1.2.1.1.",
    "1.3.6.1.2.1.2.",
    "1.3.6.1.2.1.31.1.1.1.",
    "1.3.6.1.2.1.17.1.",
    "1.3.6.1.2.1.17.4.",
    "1.3.6.1.2.1.17.7.1.2.2.",
)
Q, D = ("1.3.6.1.2.1.17.7.1.2.2.1", 7), ("1.3.6.1.2.1.17.4.3.1", 6)


@pytest.fixture(scope="module")
def simulator(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    if not shutil.which("snmpget"):
        pytest.skip("the snmp tools are not installed")
    pytest.importorskip("snmpsim")
    served = Simulator(tmp_path_factory.mktemp("snmpsim"), data / "snmp", list(SWITCHES), only=OBJECTS)
    served.start()
    yield served
    served.stop()


@pytest.fixture
async def backend() -> AsyncIterator[Backends]:
    opened = Backends(clock=SystemClock(), random=Random(1))
    yield opened
    await opened.close()


def numbers(recording: Recording, column: str) -> dict[str, int]:
    prefix = f"{column}."
    return {
        oid.removeprefix(prefix): cell[1] for oid, cell in recording.items() if oid.startswith(prefix) and type(cell[1]) is int
    }


def expected(recording: Recording, names: dict[int, str]) -> set[tuple[str, str, int | None]]:
    """Name of the port, else the number of the bridge port; address; filtering database; straight from the recording."""
    if_index = numbers(recording, "1.3.6.1.2.1.17.1.4.1.2")
    entry, arcs = next((entry, arcs) for entry, arcs in (Q, D) if numbers(recording, f"{entry}.2"))
    states = numbers(recording, f"{entry}.3")
    found = set()
    for index, port in numbers(recording, f"{entry}.2").items():
        parts = [int(arc) for arc in index.split(".")]
        if port > 0 and states.get(index) not in (2, 4) and len(parts) == arcs:
            address = ":".join(f"{octet:02x}" for octet in parts[-6:])
            name = names.get(if_index.get(str(port), 0), str(port))
            found.add((name, address, parts[0] if arcs == 7 else None))
    return found


@pytest.mark.parametrize("name", SWITCHES)
async def test_every_station_is_as_recorded(backend: Backends, simulator: Simulator, name: str) -> None:
    """All of them, each behind its own port by its name in IF-MIB, in as many readings as it takes."""
    target = TargetConfig(name="d", address="127.0.0.1", port=simulator.port, timeout=15.0)
    session = PacedSession(await backend.open(target, Community(name)), SendWindow(4), retries=0)
    details = DetailsReader("d", interval=60.0, profiles=ProfileSet(), max_gauges=2000, clock=SystemClock())
    stations: tuple[Station, ...] = ()
    async with asyncio.timeout(100):
        reading = await DeviceReader(clock=SystemClock(), max_repetitions=20).read(session)
        for _ in range(10):
            await details.advance(session, reading, requests=500)
            stations = details.details.stations
            if stations:
                break
    assert "forwarding" not in details.details.failed
    ports = zip(reading.ports.if_index.tolist(), reading.ports.if_name, reading.ports.if_descr, strict=True)
    recorded = expected(simulator.recording(name), {index: called or descr or str(index) for index, called, descr in ports})
    assert {tuple(station) for station in stations} == recorded
    gauges = {gauge.name: gauge.value for gauge in details.details.gauges["forwarding"]}
    assert max(gauges.values()) == len(recorded)
