"""From frames to alerts: an address taken over, two that claim it, one more DHCP server; and an ordinary segment, which is silent."""

import asyncio
from pathlib import Path

import pytest
from capture_files import SECOND, pcap
from daemon_legs import Legs, until
from frames_in_memory import decode_frames
from manual_clock import ManualClock
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from veth_link import Link

from netmote.analysis.assembly import assemble
from netmote.analysis.outcome import Outcome
from netmote.capture.config import CaptureConfig
from netmote.capture.packets import PacketColumns
from netmote.clock import SystemClock
from netmote.daemon.config import Config
from netmote.daemon.observation import Observation
from netmote.daemon.replay import replay_capture
from netmote.daemon.ring_metering import RingMetering
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_meter import FlowMeter
from netmote.metering.neighbours import Neighbours
from netmote.records.batch import Batch
from netmote.records.fact import FactBatch

START = 1_700_000_000 * SECOND
CONFIG = Config.model_validate({"sensor": "s1", "metering": {"max_flows": 1024}})
GATEWAY, HOST, STRANGER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:66"
RULES = {"arp_spoofing", "address_conflict", "rogue_dhcp"}


def reply(hardware: str, address: str = "10.0.0.1") -> Packet:
    return Ether(src=hardware, dst=HOST) / ARP(op=2, hwsrc=hardware, psrc=address, hwdst=HOST, pdst="10.0.0.2")


def advertisement(hardware: str) -> Packet:
    body = ICMPv6ND_NA(tgt="fe80::1", O=1) / ICMPv6NDOptDstLLAddr(lladdr=hardware)
    return Ether(src=hardware, dst=HOST) / IPv6(src="fe80::1", dst="fe80::2") / body


def offer(hardware: str, address: str) -> Packet:
    frame = Ether(src=hardware, dst="ff:ff:ff:ff:ff:ff") / IP(src=address, dst="255.255.255.255") / UDP(sport=67, dport=68)
    return frame / BOOTP(op=2) / DHCP(options=[("message-type", "offer"), "end"])


ORDINARY = [
    Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=HOST, psrc="0.0.0.0", pdst="10.0.0.2"),
    Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=HOST, psrc="10.0.0.2", pdst="10.0.0.1"),
    reply(GATEWAY),
    advertisement(GATEWAY),
    offer(GATEWAY, "10.0.0.1"),
    Ether(src=HOST, dst=GATEWAY) / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=1000, dport=80, flags="S"),
]


def alerts(tmp_path: Path, frames: list[Packet]) -> set[tuple[str, str]]:
    """(rule, entity) of the alerts about addresses, of frames a second apart."""
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap([(START + number * SECOND, bytes(frame)) for number, frame in enumerate(frames)]))
    outcomes: list[Outcome] = []
    replay_capture(path, CONFIG, assemble(CONFIG, sensor="s1").analysis, interface="eth0", outcome=outcomes.append)
    found = {(alert.group.partition("/")[0], str(alert.entity)) for alert in Outcome.joined(outcomes).alerts}
    return {each for each in found if each[0] in RULES}


def test_an_ordinary_segment_is_silent(tmp_path: Path) -> None:
    """Probes, questions, answers and leases, over and over: no rule fires."""
    assert alerts(tmp_path, ORDINARY * 20) == set()


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([reply(STRANGER)], {("arp_spoofing", "host:10.0.0.1")}),
        ([reply(STRANGER), reply(GATEWAY)], {("arp_spoofing", "host:10.0.0.1"), ("address_conflict", "host:10.0.0.1")}),
        ([advertisement(STRANGER)], {("arp_spoofing", "host:fe80::1")}),
        ([offer(STRANGER, "10.0.0.66")], {("rogue_dhcp", "host:10.0.0.66")}),
    ],
)
def test_what_is_disputed_is_an_alert(tmp_path: Path, frames: list[Packet], expected: set[tuple[str, str]]) -> None:
    """One frame of a stranger suffices, over IPv4 and IPv6; the alert is of the address."""
    assert alerts(tmp_path, ORDINARY + frames + ORDINARY[-1:]) == expected


class Wire:
    """A packet source that hands on the blocks it was given."""

    interface = "eth0"

    def __init__(self, *blocks: list[Packet]) -> None:
        self.blocks = [decode_frames([bytes(frame) for frame in block]) for block in blocks]

    def read(self, timeout: float) -> PacketColumns | None:
        return self.blocks.pop(0) if self.blocks else None

    def take_dropped(self) -> int:
        return 0

    def is_up(self) -> bool:
        return True


def test_the_live_path_tells_them_with_its_panes() -> None:
    """Facts are taken once, after the step that read their packets; without neighbours there are none."""
    for neighbours, expected in ((Neighbours(source="capture:eth0"), ["neighbour_changed"]), (None, [])):
        wire = Wire([reply(GATEWAY)], [reply(STRANGER)])
        metering = RingMetering(
            wire,
            lambda: FlowMeter.configured(CONFIG.metering, source="capture:eth0", interface="eth0"),
            clock=ManualClock(),
            link=wire,
            neighbours=neighbours,
        )
        told = []
        for _ in range(3):
            metering.step(0.0)
            told.append([fact.name for batch in metering.take_facts() for fact in batch.facts])
        assert told == [[], expected, []]


@pytest.mark.root
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stranger_on_the_wire_is_a_fact(legs: Legs, link: Link, workers: int) -> None:
    """Frames on a real interface, through ring, decode and neighbours to the batch that ingest gets: each dispute once, in order."""
    link.create()
    seen: list[Batch] = []
    observed = Observation(
        "wire0",
        CaptureConfig(interfaces=("wire0",), ring_size=2**18, workers=workers),
        MeteringConfig(max_flows=1024),
        sensor="s1",
        clock=SystemClock(),
        emit=seen.append,
        health=legs.health,
    )

    def told() -> list[tuple[str, str]]:
        facts = [fact for batch in seen if isinstance(batch, FactBatch) for fact in batch.facts]
        return [(fact.name, str(fact.entity)) for fact in facts if not fact.name.startswith("capture_")]

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        link.send_frames([bytes(frame) for frame in ORDINARY])
        await until(lambda: len(observed.neighbours) == 3)
        await asyncio.sleep(0.5)  # the offer too has come from whichever worker
        link.send_frames([bytes(each) for each in (reply(STRANGER), advertisement(STRANGER), offer(STRANGER, "10.0.0.66"))] * 3)
        await until(lambda: len(told()) >= 3)
        await asyncio.sleep(1.1)  # within a second a claim counts once
        link.send_frames([bytes(reply(GATEWAY))])
        await until(lambda: len(told()) >= 4)
        task.cancel()
    # Workers see each a part, and tell it a moment apart.
    assert (told() if workers == 1 else sorted(told(), key=lambda fact: fact[0] != "neighbour_changed")) == [
        ("neighbour_changed", "host:10.0.0.1"),
        ("neighbour_changed", "host:fe80::1"),
        ("dhcp_server", "host:10.0.0.66"),
        ("address_conflict", "host:10.0.0.1"),
    ]
    assert observed.neighbours.claims_passed_over == 0
