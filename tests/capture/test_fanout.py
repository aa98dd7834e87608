"""Rings that share an interface: each packet is in exactly one of them, and all of a flow in the same."""

from collections import Counter

import numpy as np
import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet, Raw

from netmote.capture.fanout import FanoutGroup
from netmote.capture.ring import Ring
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE

pytestmark = pytest.mark.root

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def both_ways(number: int) -> list[Packet]:
    """The packets of one pair of hosts, in both directions and in every disguise that a hash over ports would take for another flow."""
    here, there = f"10.1.{number // 250}.{1 + number % 250}", "192.0.2.7"
    six, far = f"2001:db8::{number:x}", "2001:db8:ffff::7"
    port = 20_000 + number
    first, *later = fragment(IP(src=here, dst=there, id=number) / UDP(sport=port, dport=9) / Raw(b"f" * 1200), fragsize=500)
    option = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    return [
        IP(src=here, dst=there) / TCP(sport=port, dport=80, flags="S"),
        IP(src=there, dst=here) / TCP(sport=80, dport=port, flags="SA"),
        IP(src=here, dst=there) / UDP(sport=port, dport=9) / Raw(b"whole"),
        first,
        *later,
        IP(src=there, dst=here) / ICMP(type=0, id=number),
        # Labelled in one direction alone: the kernel's own hash stops at the label.
        IPv6(src=six, dst=far, fl=0xABCDE) / TCP(sport=port, dport=443, flags="S"),
        IPv6(src=far, dst=six) / TCP(sport=443, dport=port, flags="SA"),
        IPv6(src=six, dst=far) / option / UDP(sport=port, dport=53) / Raw(b"x" * 20),
        IPv6(src=far, dst=six) / UDP(sport=53, dport=port) / Raw(b"x" * 20),
        IPv6(src=six, dst=far) / IPv6ExtHdrFragment(offset=0, m=1, id=9) / UDP(sport=port, dport=7) / Raw(b"y" * 32),
        IPv6(src=six, dst=far) / IPv6ExtHdrFragment(offset=5, m=0, id=9) / Raw(b"y" * 32),
        Dot1Q(vlan=100) / IP(src=here, dst=there) / TCP(sport=port, dport=81, flags="S"),
        Dot1Q(vlan=100) / IP(src=there, dst=here) / TCP(sport=81, dport=port, flags="SA"),
        Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP(src=here, dst=there) / UDP(sport=port, dport=82) / Raw(b"q" * 20),
        Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP(src=there, dst=here) / UDP(sport=82, dport=port) / Raw(b"q" * 20),
        # Labelled towards one side alone, as before the last router of a path.
        MPLS(label=16, s=0) / MPLS(label=17, s=1) / IP(src=here, dst=there) / TCP(sport=port, dport=84, flags="S"),
        IP(src=there, dst=here) / TCP(sport=84, dport=port, flags="SA"),
        MPLS(label=18, s=1) / IPv6(src=six, dst=far) / TCP(sport=port, dport=85, flags="S"),
        Dot1Q(vlan=100) / PPPoE(sessionid=number) / PPP() / IP(src=here, dst=there) / UDP(sport=port, dport=86) / Raw(b"p" * 20),
        PPPoE(sessionid=number) / PPP() / IPv6(src=six, dst=far) / UDP(sport=port, dport=87) / Raw(b"p" * 20),
        Dot1AD(vlan=7) / Dot1Q(vlan=8) / IPv6(src=six, dst=far) / UDP(sport=port, dport=83) / Raw(b"q" * 20),
        Dot1AD(vlan=7) / Dot1Q(vlan=8) / IPv6(src=far, dst=six) / UDP(sport=83, dport=port) / Raw(b"q" * 20),
    ]


def frames(hosts: int) -> list[bytes]:
    packets = [bytes(ETHER / packet) for number in range(hosts) for packet in both_ways(number)]
    return [*packets, *(bytes(ETHER / ARP(pdst=f"10.0.0.{number}")) for number in range(20))]


def metered(rings: list[Ring]) -> tuple[list[np.ndarray], list[int]]:
    """The slices of all flows by ring, and the packets each received."""
    slices, counts = [], []
    for ring in rings:
        meter = FlowMeter(
            source="capture:x",
            interface="x",
            max_flows=8192,
            active_timeout_ns=3600 * 10**9,
            idle_timeout_ns=3600 * 10**9,
            when_full="refuse",
            pane_ns=3600 * 10**9,
        )
        count = 0
        while (packets := ring.read(0.4)) is not None:
            meter.meter(packets, dropped=ring.take_dropped())
            count += packets.received
        assert meter.accounting.dropped == 0
        batches = meter.flush()
        slices.append(np.concatenate([np.zeros(0, FLOW_DTYPE), *(batch.slices for batch in batches)]))
        counts.append(count)
    return slices, counts


def untimed(slices: np.ndarray) -> Counter[bytes]:
    """Slices without what a meter numbers, and without times: the kernel looks at the clock for each ring."""
    plain = slices.copy()
    for name in FLOW_DTYPE.names:
        if name == "flow_id" or name.endswith("_ns") or "interarrival" in name:
            plain[name] = 0
    return Counter(row.tobytes() for row in plain)


@pytest.mark.parametrize("workers", [2, 3])
def test_shares_add_up_to_the_whole_and_no_flow_is_split(wire, workers: int) -> None:
    """The flows of the shares are those of a ring that sees everything at the same time; every ring has its part."""
    sent = frames(60)
    group = FanoutGroup()
    with wire.inside_right():
        whole = Ring(wire.right, ring_size=2_000_000, promiscuous=True)
        shares = [Ring(wire.right, ring_size=2_000_000, promiscuous=True, fanout=group) for _ in range(workers)]
    sender = wire.sender()
    try:
        sender.send(sent[0])  # nothing is let in before all have joined
        assert whole.read(1.0) is not None
        for ring in shares:
            ring.begin()
        for frame in sent:
            sender.send(frame)
        found, counts = metered([whole, *shares])
    finally:
        sender.close()
        for ring in (whole, *shares):
            ring.close()
    assert counts[0] == len(sent) == sum(counts[1:])
    assert min(counts[1:]) > len(sent) / workers / 3
    assert int(found[0]["responder_packets"].sum()) == 7 * 60  # seven conversations of each pair are answered
    assert sum((untimed(each) for each in found[1:]), Counter()) == untimed(found[0])


def test_a_ring_taken_over_goes_on_where_the_other_was(wire) -> None:
    """What waited while nobody read is read by the next one, each packet once, and the share stays the ring's."""
    sent = frames(20)
    group = FanoutGroup()
    with wire.inside_right():
        rings = [Ring(wire.right, ring_size=2_000_000, promiscuous=True, fanout=group) for _ in range(2)]
        for ring in rings:
            ring.begin()
    sender = wire.sender()
    try:
        for frame in sent:
            sender.send(frame)
        _, before = metered(rings)
        kept = rings[0].detach()
        for frame in sent:
            sender.send(frame)
        with wire.inside_right():
            rings[0] = Ring(wire.right, ring_size=2_000_000, promiscuous=True, adopted=kept)
        _, after = metered(rings)
    finally:
        sender.close()
        for ring in rings:
            ring.close()
    assert sum(before) == len(sent)
    assert after == before
    assert min(before) > 0


def test_loopback_is_seen_once(wire) -> None:
    """On loopback each packet passes twice; in a group too only its arrival is read."""
    import socket

    group = FanoutGroup()
    with wire.inside_right():
        rings = [Ring("lo", ring_size=2**18, promiscuous=True, fanout=group) for _ in range(2)]
        for ring in rings:
            ring.begin()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for host in range(1, 30):
                sender.sendto(b"once", (f"127.0.0.{host}", 9))
    slices, _ = metered(rings)
    for ring in rings:
        ring.close()
    # Every datagram is answered by an ICMP message: nobody listens at that port.
    datagrams = [each[each["protocol_identifier"] == 17] for each in slices]
    assert [int(each["initiator_packets"].sum()) > 0 for each in datagrams] == [True, True]
    assert sum(int(each["initiator_packets"].sum()) for each in datagrams) == 29
