"""Details of real devices, from their recordings: every shipped profile gives what was recorded, and no recording is read in error."""

import asyncio
import csv
import os
import re
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
from netmote.snmp.details.details_reader import Details, DetailsReader
from netmote.snmp.details.found import ObjectOutcome
from netmote.snmp.details.values import text
from netmote.snmp.oid import parse_oid
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.profiles.document import Profile, ProfileObject
from netmote.snmp.profiles.loader import load_profiles
from netmote.snmp.reading import DeviceReader
from netmote.snmp.session import Varbind

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(500 if os.environ.get("NETMOTE_ALL_RECORDINGS") == "1" else 180)]

INDEX = Path(__file__).resolve().parents[3] / "shared" / "data" / "snmp" / "INDEX.csv"

# Each shipped profile, a recording that it fits, and objects that this one gives: a value of each is checked by the recording.
PROFILED = {
    "cisco": ("network/switch/cisco-c3560", "network/switch/cisco-n5000", "network/router/cisco-unmarked-0"),
    "juniper": ("network/router/juniper-mx960-13-3r9-13",),
    "huawei": ("network/router/huawei-s5720",),
    "h3c": ("network/switch/h3c-e528-1", "network/switch/h3c-comware-7-1-075"),
    "procurve": ("network/switch/hpe-procurve-516733-b21",),
    "dlink": ("network/switch/dlink-des3200",),
    "ubiquiti-airos": ("network/wifi/ubiquiti-m5",),
    "apc-pdu": ("UPS/apc-7902b", "UPS/apc-8641"),
    "ups": ("UPS/eaton-93e-80", "UPS/phoenixtec-power", "UPS/ingrasys-power-switch"),
    "brocade-fc": ("network/switch/brocade-ds-5100b",),
    "brocade-icx": ("network/switch/brocade-icx6430-24",),
    "ruijie": ("network/switch/ruijie-s5750-24gt12sfp",),
    "aruba-controller": ("network/wifi/aruba-7210",),
    "paloalto": ("network/firewall/paloalto-pa-5000",),
    "netapp": ("storage/netapp-fas3270",),
    "isilon": ("storage/isilon-onefs",),
    "hp-bladesystem": ("bmc/hp-onboard-administrator",),
    "bdcom": ("network/switch/bdcom-s5612",),
}
CASES = [(profile, name) for profile, names in PROFILED.items() for name in names]
OTHERS = ("os/linux/unknown-006", "os/windows/XP", "cloud/arista-dcs-7150s-52-cl", "os/linux/netmanage", "unclassified/01")


def wanted() -> list[str]:
    if not INDEX.exists():
        return []
    with INDEX.open(newline="") as lines:
        names = [row["file"].removesuffix(".bz2").removesuffix(".snmprec") for row in csv.DictReader(lines)]
    sample = {*OTHERS, *(name for _, name in CASES)}
    return [name for name in names if name in sample or os.environ.get("NETMOTE_ALL_RECORDINGS") == "1"]


@pytest.fixture(scope="module")
def simulator(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    if not shutil.which("snmpget"):
        pytest.skip("the snmp tools are not installed")
    pytest.importorskip("snmpsim")
    served = Simulator(tmp_path_factory.mktemp("snmpsim"), data / "snmp", wanted())
    served.start()
    yield served
    served.stop()


@pytest.fixture
async def backend() -> AsyncIterator[Backends]:
    opened = Backends(clock=SystemClock(), random=Random(1))
    yield opened
    await opened.close()


async def read(backend: Backends, port: int, name: str) -> Details:
    target = TargetConfig(name="d", address="127.0.0.1", port=port, timeout=15.0)
    session = PacedSession(await backend.open(target, Community(name)), SendWindow(4), retries=0)
    profiles = load_profiles(("builtin",))
    details = DetailsReader("d", interval=60.0, profiles=profiles, max_gauges=2000, clock=SystemClock())
    async with asyncio.timeout(120):
        reading = await DeviceReader(clock=SystemClock(), max_repetitions=20).read(session)
        await details.advance(session, reading, requests=2000)
    return details.details


def recorded_number(cell: tuple[int, bytes | int | None]) -> float | None:
    """The number that a recording holds."""
    value = cell[1]
    if isinstance(value, bytes):
        match = re.match(r"\s*([+-]?\d+(\.\d+)?)", value.decode("latin-1"))
        return float(match[1]) if match else None
    return None if value is None else float(value)


def expected(recording: Recording, each: ProfileObject) -> list[float]:
    """What the recording says an object is worth, row by row, without what the profile calls unavailable or unbelievable."""
    if each.scalar is not None:
        cells = {each.scalar: recording[each.scalar]} if each.scalar in recording else {}
    else:
        prefix = f"{each.column}."
        cells = {oid.removeprefix(prefix): cell for oid, cell in recording.items() if oid.startswith(prefix)}
        if each.where is not None:
            of_row = {index: recording.get(f"{each.where.column}.{index}", (0, None))[1] for index in cells}
            allowed, denied = set(each.where.any_of), set(each.where.none_of)
            cells = {
                index: cell
                for index, cell in cells.items()
                if of_row[index] is not None and (of_row[index] in allowed if allowed else of_row[index] not in denied)
            }
    raw = [number for cell in cells.values() if (number := recorded_number(cell)) is not None and number not in each.unavailable]
    low = float("-inf") if each.minimum is None else each.minimum
    high = float("inf") if each.maximum is None else each.maximum
    return sorted(value * each.scale for value in raw if low <= value * each.scale <= high)


def labels(recording: Recording, each: ProfileObject) -> set[str]:
    prefix = f"{each.label}."
    cells = [cell[1] for oid, cell in recording.items() if oid.startswith(prefix)]
    return {text(Varbind(b"", 4, value)) for value in cells if isinstance(value, bytes)}


def profile_named(name: str) -> Profile:
    return next(profile for profile in load_profiles(("builtin",)).profiles if profile.profile == name)


def test_every_shipped_profile_has_a_recording() -> None:
    """No profile is shipped whose values were not compared with a real device's."""
    assert {profile.profile for profile in load_profiles(("builtin",)).profiles} == set(PROFILED)


def test_every_object_is_given_by_some_recording(data: Path, tmp_path: Path) -> None:
    """No object is shipped that no recording has: its OID would be a guess."""
    reader = Simulator(tmp_path, data / "snmp", [name for _, name in CASES])
    for profile, names in PROFILED.items():
        recordings = [reader.recording(name) for name in names]
        missing = [each.name for each in profile_named(profile).objects if not any(expected(one, each) for one in recordings)]
        assert not missing, profile


@pytest.mark.parametrize(("profile", "name"), CASES)
async def test_a_profile_gives_what_was_recorded(backend: Backends, simulator: Simulator, profile: str, name: str) -> None:
    """The profile is chosen by sysObjectID, and each object has the recording's values, scaled, under the recording's names."""
    recording = simulator.recording(name)
    details = await read(backend, simulator.port, name)
    assert details.profile == profile
    assert not details.failed
    given = 0
    for each, outcome in zip(profile_named(profile).objects, details.outcomes, strict=True):
        prefix = each.scalar or f"{each.column}."
        if any(cell[1] is None for oid, cell in recording.items() if oid.startswith(prefix)):
            continue  # computed anew at each request
        values = expected(recording, each)
        assert sorted(gauge.value for gauge in outcome.gauges) == pytest.approx(values), each.name
        assert bool(outcome.gauges) != bool(outcome.nothing), each.name
        given += len(values)
        check_names(outcome, each, recording)
    assert given


def check_names(outcome: ObjectOutcome, each: ProfileObject, recording: Recording) -> None:
    known = labels(recording, each) if each.label else set()
    for gauge in outcome.gauges:
        assert gauge.unit == each.unit
        if each.scalar is None:
            row = gauge.name.removeprefix(f"{each.name}/")
            assert row in known or row.rpartition(" #")[0] in known or re.fullmatch(r"[\d.]+", row), gauge.name
        else:
            assert gauge.name == each.name


@pytest.mark.parametrize("name", wanted())
async def test_a_recording_is_read_without_error(backend: Backends, simulator: Simulator, name: str) -> None:
    """Every group is there or absent; none fails, and each gauge is a finite number under a name of its own."""
    details = await read(backend, simulator.port, name)
    assert not details.failed
    assert not details.excess
    names = [gauge.name for gauges in details.gauges.values() for gauge in gauges]
    assert len(names) == len(set(names))
    assert all(abs(gauge.value) < float("inf") for gauges in details.gauges.values() for gauge in gauges)


async def test_sensors_have_their_unit_and_scale(backend: Backends, simulator: Simulator) -> None:
    """ENTITY-SENSOR of a switch: each working sensor's value by the recorded scale and precision."""
    name = "cloud/arista-dcs-7150s-52-cl"
    recording = simulator.recording(name)
    details = await read(backend, simulator.port, name)
    base = "1.3.6.1.2.1.99.1.1.1"
    rows = {oid.removeprefix(f"{base}.4."): cell[1] for oid, cell in recording.items() if oid.startswith(f"{base}.4.")}

    def column(arc: int, row: str) -> int:
        value = recording[f"{base}.{arc}.{row}"][1]
        assert isinstance(value, int)
        return value

    working = [row for row in rows if column(5, row) == 1 and isinstance(rows[row], int)]
    by_hand = sorted(int(rows[row] or 0) * 10.0 ** (3 * (column(2, row) - 9) - column(3, row)) for row in working)
    sensors = [gauge for gauge in details.gauges["sensors"] if gauge.name.startswith("entPhySensorValue/")]
    assert sorted(gauge.value for gauge in sensors) == pytest.approx(by_hand)
    assert {"celsius", "amperes", "voltsDC", "watts"} <= {gauge.unit for gauge in sensors}


async def test_neighbours_are_named(backend: Backends, simulator: Simulator) -> None:
    """LLDP of a switch: system names, addresses and ports as recorded, under the switch's own port names."""
    name = "network/switch/cisco-n5000"
    recording = simulator.recording(name)
    details = await read(backend, simulator.port, name)
    prefix = "1.0.8802.1.1.2.1.4.1.1.9."
    names = sorted(text(Varbind(b"", 4, value)) for oid, (_, value) in recording.items() if oid.startswith(prefix) and value)
    assert sorted(each.sys_name for each in details.neighbours if each.sys_name) == names
    assert len(details.neighbours) == 9
    assert all(each.chassis_id and each.port_id and each.local_port for each in details.neighbours)


def test_oids_of_profiles_are_instances_of_scalars() -> None:
    """A scalar is written with its instance, so that a GET finds it."""
    objects = [each for profile in load_profiles(("builtin",)).profiles for each in profile.objects]
    assert all(parse_oid(each.scalar)[-1] == 0 for each in objects if each.scalar)
