"""Several snmpd on a /28 of loopback: found, told apart, joined, within the pace; and the proposal that comes of it."""

import asyncio
import random
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, AgentProcess

from netmote.clock import SystemClock
from netmote.config.document import check_document, load_document
from netmote.daemon.config import Config
from netmote.snmp.backends import Backends
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community, Credentials, UsmUser
from netmote.snmp.discovery import Discovery, FoundDevice, Progress, addresses_in, joined
from netmote.snmp.proposal import device_names, proposal

NETWORK = "127.66.0.0/28"


class Farm(NamedTuple):
    """Two snmpd: sw-a at 127.66.0.2 and .9, sw-b at 127.66.0.5."""

    port: int


def shared_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.66.0.2", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    if not shutil.which("snmpd") or not shutil.which("snmpget"):
        pytest.skip("snmpd and the snmp tools are not installed")
    port = shared_port()
    agents = []
    try:
        for name, addresses in (("sw-a", ("127.66.0.2", "127.66.0.9")), ("sw-b", ("127.66.0.5",))):
            agent = AgentProcess(tmp_path_factory.mktemp(name))
            file = agent.directory / "agent.conf"
            more = "".join(f",udp:{address}:{port}" for address in addresses)
            first, _, rest = file.read_text().partition("\n")
            file.write_text(f"{first}{more}\nsysName {name}\n{rest}")
            agent.start()
            agents.append(agent)
        yield Farm(port)
    finally:
        for agent in agents:
            agent.stop()


async def search(
    farm: Farm, credentials: Credentials | None = None, *, rate: float = 1000.0, **more: object
) -> tuple[Progress, list[FoundDevice]]:
    pattern = TargetConfig.model_validate(
        {"name": "x", "address": "x", "port": farm.port, "timeout": "500ms", "retries": 0, "backend": "native", **more}
    )
    backend = Backends(clock=SystemClock(), random=random.Random(1))
    addresses = addresses_in([NETWORK])
    progress = Progress(len(addresses))
    try:
        discovery = Discovery(pattern, credentials or Community("public"), backend=backend, packets_per_second=rate)
        await discovery.search(addresses, progress)
    finally:
        await backend.close()
    return progress, joined(progress.found)


async def test_every_agent_of_the_network_is_found_once(farm: Farm) -> None:
    """Named by sysName; the one that answers at two addresses is one device."""
    progress, devices = await search(farm)
    assert (progress.asked, progress.addresses, len(progress.found)) == (14, 14, 3)
    assert [(device.sys_name, device.address, device.also_at) for device in devices] == [
        ("sw-a", "127.66.0.2", ("127.66.0.9",)),
        ("sw-b", "127.66.0.5", ()),
    ]
    assert all(device.sys_object_id.startswith("1.3.6.1.4.1.8072") for device in devices)
    assert all(device.engine_id and device.up_seconds is not None for device in devices)


async def test_users_of_v3_find_devices_and_wrong_passwords_are_named(farm: Farm) -> None:
    """The right user finds both; the wrong password is a device that refuses, in the proposal a comment."""
    user = {"security_name": "sha", "auth_protocol": "none", "priv_protocol": "none"}
    right = UsmUser("sha", "sha", "aes128", AUTH_PASSWORD, PRIV_PASSWORD)
    _, devices = await search(farm, right, version="3", user=user)
    assert [device.sys_name for device in devices] == ["sw-a", "sw-b"]
    _, devices = await search(farm, replace(right, auth_password="wrong-password"), version="3", user=user)
    assert {device.refusal.partition(":")[0] for device in devices} == {"AuthenticationFailed"}
    assert "No device answered" in proposal(devices, searched=NETWORK, settings={})


async def test_the_pace_is_kept(farm: Farm) -> None:
    """14 addresses and what is asked of the found ones, at 20 packets a second."""
    began = time.monotonic()
    progress, _ = await search(farm, rate=20.0)
    assert len(progress.found) == 3
    assert time.monotonic() - began >= 13 / 20


async def test_an_interrupted_search_keeps_what_it_found(farm: Farm) -> None:
    """Cancelled in the middle: what was found stays."""
    pattern = TargetConfig.model_validate({"name": "x", "address": "x", "port": farm.port, "timeout": "30s", "backend": "native"})
    backend = Backends(clock=SystemClock(), random=random.Random(1))
    addresses = addresses_in(["127.66.0.2", "127.66.0.5"])
    progress = Progress(100)
    both = asyncio.Event()
    discovery = Discovery(
        pattern,
        Community("public"),
        backend=backend,
        packets_per_second=20.0,
        on_step=lambda now: both.set() if len(now.found) > 1 else None,
    )
    task = asyncio.ensure_future(discovery.search(addresses * 50, progress))
    await asyncio.wait_for(both.wait(), 10)
    task.cancel()
    await asyncio.wait([task])
    await backend.close()
    assert {device.sys_name for device in progress.found} == {"sw-a", "sw-b"}


def test_networks_are_bounded() -> None:
    """At most 4,096 addresses, each once, network and broadcast left out."""
    assert addresses_in(["192.0.2.0/30", "192.0.2.1"]) == ["192.0.2.1", "192.0.2.2"]
    assert addresses_in(["2001:db8::1"]) == ["2001:db8::1"]
    assert len(addresses_in(["10.0.0.0/20"])) == 4094
    for networks in (["10.0.0.0/19"], ["2001:db8::/64"], ["10.0.0.0/20", "10.1.0.0/24"]):
        with pytest.raises(ValueError, match="search in parts"):
            addresses_in(networks)
    with pytest.raises(ValueError, match="does not appear"):
        addresses_in(["somewhere"])


DEVICE = FoundDevice("192.0.2.1", "sw", "1.3.6.1.4.1.9.1.1", "Cisco", 5.0, "8000", "S1")


def test_clones_with_names_of_their_own_are_two_devices() -> None:
    """Equal engine ids happen to machines made from one image."""
    assert len(joined([DEVICE, replace(DEVICE, address="192.0.2.2", sys_name="sw2", serial="")])) == 2
    assert len(joined([DEVICE, replace(DEVICE, address="192.0.2.2", engine_id="")])) == 1
    assert (
        len(joined([replace(DEVICE, engine_id="", serial=""), replace(DEVICE, address="192.0.2.2", engine_id="", serial="")]))
        == 2
    )


_HOSTILE = st.one_of(
    st.text(max_size=120), st.sampled_from(["a/b", "a b:c", "x\n- name: evil", "sw", "#", "sw-2", "'\"", "\u2028"])
)


@given(
    st.lists(
        st.builds(
            FoundDevice,
            address=st.ip_addresses().map(str),
            sys_name=_HOSTILE,
            sys_object_id=st.just("1.3"),
            sys_descr=_HOSTILE,
            up_seconds=st.none(),
            engine_id=st.just(""),
            serial=_HOSTILE,
        ),
        max_size=12,
    )
)
def test_a_proposal_fits_whatever_devices_call_themselves(devices: list[FoundDevice]) -> None:
    """YAML of exactly these targets, unique names that the configuration takes; foreign text makes no key and no line."""
    text = proposal(devices, searched="192.0.2.0/28", settings={"version": "1"})
    document = yaml.safe_load(text)
    targets = document["snmp"]["targets"] if devices else []
    assert [target["address"] for target in targets] == [device.address for device in devices]
    assert all(target.keys() == {"name", "address", "version"} for target in targets)
    assert [TargetConfig.model_validate(target).name for target in targets] == device_names(devices)
    assert len({target["name"] for target in targets}) == len(devices)


def test_a_proposal_is_a_drop_in(tmp_path: Path) -> None:
    """Checked as the daemon checks it, users and references included."""
    user = {"security_name": "ops", "auth_protocol": "sha256", "priv_protocol": "none", "auth_password": "file:/etc/x"}
    text = proposal([DEVICE], searched="192.0.2.0/28", settings={"port": 1161, "version": "3", "user": user})
    file = tmp_path / "proposal.yaml"
    file.write_text(text)
    (target,) = check_document(load_document(file), Config).snmp.targets
    assert (target.name, target.port, target.version) == ("sw", 1161, "3")
