"""Who claims which address: what ARP, neighbour discovery and DHCP servers say, told in the order of arrival; what claims nothing is not."""

import socket
from dataclasses import replace

import numpy as np
import pytest
from frames_in_memory import decode_frames, frames_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from netmote.capture.headers import decode
from netmote.capture.packets import Claim, PacketColumns
from netmote.capture.ring import Ring
from netmote.records.flow import address_text

LINK = Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff")
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def told(packets: PacketColumns) -> list[tuple[str, str, str, int, int]]:
    """(kind, address, hardware address, segment, rows before)."""
    claims = packets.claims
    return [
        (
            Claim(int(claims.kind[i])).reason,
            address_text(claims.address[i].tobytes()),
            ":".join(f"{octet:02x}" for octet in int(claims.hardware[i]).to_bytes(6)),
            int(claims.segment[i]),
            int(claims.position[i]),
        )
        for i in range(len(claims))
    ]


def arp(operation: int = 1, *, sender: str = "10.0.0.1", target: str = "10.0.0.2", hardware: str = A, **fields) -> Packet:
    return LINK / ARP(op=operation, psrc=sender, pdst=target, hwsrc=hardware, **fields)


def advertisement(target: str = "2001:db8::1", hardware: str = A, *, override: int = 1, hops: int = 255) -> Packet:
    body = ICMPv6ND_NA(tgt=target, O=override, R=0) / ICMPv6NDOptDstLLAddr(lladdr=hardware)
    return LINK / IPv6(src="fe80::1", dst="ff02::1", hlim=hops) / body


def solicitation(source: str = "2001:db8::1", hardware: str = A) -> Packet:
    body = ICMPv6ND_NS(tgt="2001:db8::9") / ICMPv6NDOptMTU() / ICMPv6NDOptSrcLLAddr(lladdr=hardware)
    return LINK / IPv6(src=source, dst="ff02::1:ff00:9") / body


def reply(server: str = "10.0.0.1", *, operation: int = 2, port: int = 67) -> Packet:
    return (
        LINK
        / IP(src=server, dst="255.255.255.255")
        / UDP(sport=port, dport=68)
        / BOOTP(op=operation)
        / DHCP(options=[("message-type", "offer"), "end"])
    )


SYN = LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=67, dport=80)


def test_claims_stand_in_the_order_of_arrival_between_the_rows() -> None:
    """All kinds mixed with packets that claim nothing: each once, with the rows that came before it."""
    frames = [arp(), SYN, advertisement(), arp(2, hardware=B), reply(), solicitation(hardware=B), arp(1, target="10.0.0.1")]
    packets = decode_frames([bytes(frame) for frame in frames])
    assert told(packets) == [
        ("arp_request", "10.0.0.1", A, 0, 0),
        ("neighbour_advertisement", "2001:db8::1", A, 0, 1),
        ("arp_reply", "10.0.0.1", B, 0, 2),
        ("dhcp_server", "10.0.0.1", "02:00:00:00:00:01", 0, 2),
        ("neighbour_solicitation", "2001:db8::1", B, 0, 3),
        ("gratuitous_arp", "10.0.0.1", A, 0, 4),
    ]
    assert packets.undecodable == {"arp": 3}
    start = 1_700_000_000_000_000_000
    assert ((packets.claims.timestamp_ns - start) // 1_000_000_000).tolist() == [0, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "frame",
    [
        arp(sender="0.0.0.0"),  # a probe
        arp(sender="255.255.255.255"),
        arp(sender="224.0.0.1"),
        arp(hardware="00:00:00:00:00:00"),
        arp(hardware="ff:ff:ff:ff:ff:ff"),
        arp(3),  # reverse ARP
        arp(hwtype=6),
        arp(ptype=0x86DD),
        advertisement(override=0),
        advertisement(hops=64),
        advertisement(hardware="00:00:00:00:00:00"),
        advertisement("ff02::1"),
        solicitation("::"),
        LINK / IPv6(src="fe80::1", dst="ff02::1") / ICMPv6ND_NA(tgt="2001:db8::1"),
        LINK / IPv6(src="fe80::1", dst="ff02::1") / ICMPv6ND_NA(tgt="2001:db8::1") / ICMPv6NDOptSrcLLAddr(lladdr=A),
        reply(operation=1),
        reply("0.0.0.0"),
        reply(port=68),
        SYN,
        LINK / ARP(hwlen=8),
    ],
    ids=lambda frame: frame.summary()[:60],
)
def test_what_claims_nothing(frame: Packet) -> None:
    """Probes and questions, addresses that are none, proxies, what comes from beyond the link, and what only looks alike."""
    assert told(decode_frames([bytes(frame)])) == []


def test_segments_are_told_by_their_tags() -> None:
    """The same address in two VLANs is two addresses; a tag the kernel took out counts as one in the frame."""
    tagged = bytes(LINK / Dot1Q(vlan=7) / arp().payload)
    twice = bytes(LINK / Dot1AD(vlan=7) / Dot1Q(vlan=9) / arp().payload)
    assert [claim[3] for claim in told(decode_frames([bytes(arp()), tagged, twice]))] == [0, 7, 7 | 9 << 16]
    frames = frames_of([bytes(arp())])
    frames = replace(
        frames,
        is_tagged=np.ones(1, "?"),
        tag_control=np.array([0x6007], "u2"),
        tag_protocol=np.array([0x8100], "u2"),
        wire_length=frames.wire_length + 4,
    )
    assert [claim[3] for claim in told(decode(frames, "x"))] == [7]


def test_cut_packets_claim_nothing() -> None:
    """A claim needs all of its bytes; whatever lies behind a cut frame is not read."""
    for frame, needed in ((arp(), 42), (advertisement(), 86), (solicitation(), 94), (reply(), 43)):
        whole = bytes(frame)
        for kept in range(len(whole) + 1):
            found = told(decode_frames([whole], captured=[kept]))
            assert len(found) == (kept >= needed), (frame.summary(), kept)


def test_what_the_ring_keeps_of_them_is_enough() -> None:
    """69 bytes hold ARP and the head of a DHCP answer; neighbour discovery is kept longer (`snap_filter`)."""
    assert len(told(decode_frames([bytes(arp()), bytes(reply())], captured=[42, 69]))) == 2


def test_a_packet_without_a_time_claims_nothing() -> None:
    """A damaged timestamp may not move event time, whatever the packet says."""
    frames = frames_of([bytes(arp()), bytes(SYN), bytes(arp(hardware=B)), bytes(advertisement())])
    packets = decode(replace(frames, timestamp_ns=np.array([-1, 5, 6, -1])), "x")
    assert told(packets) == [("arp_request", "10.0.0.1", B, 0, 1)]


@given(st.lists(st.sampled_from([arp(), SYN, advertisement(), reply()]), min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_a_block_can_be_split_anywhere(frames, data) -> None:
    """The two parts claim together what the whole claims, positions counted anew."""
    packets = decode_frames([bytes(frame) for frame in frames])
    at = data.draw(st.integers(0, len(packets)))
    first, second = packets.split(at)
    assert told(first) + [(*claim[:4], claim[4] + at) for claim in told(second)] == told(packets)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1), st.booleans()), min_size=1, max_size=20))
def test_addresses_are_read_as_scapy_writes_them(claims) -> None:
    """Any sender, as request or as reply: told when it is an address of a host and of hardware."""
    frames, expected = [], []
    for sender, hardware, is_reply in claims:
        address = socket.inet_ntoa(sender.to_bytes(4))
        mac = ":".join(f"{octet:02x}" for octet in hardware.to_bytes(6))
        frames.append(bytes(arp(2 if is_reply else 1, sender=address, target="1.2.3.4", hardware=mac)))
        if sender >> 24 and sender >> 28 != 14 and sender != 2**32 - 1 and hardware not in (0, 2**48 - 1):
            kind = "gratuitous_arp" if address == "1.2.3.4" else "arp_reply" if is_reply else "arp_request"
            expected.append((kind, address, mac, 0, 0))
    assert told(decode_frames(frames)) == expected


@given(st.lists(st.binary(min_size=0, max_size=100), min_size=1, max_size=10), st.sampled_from([b"\x08\x06", b"\x86\xdd"]))
def test_any_bytes_are_read_without_an_exception(bodies, ether_type) -> None:
    """A neighbour solicitation or ARP of arbitrary bytes."""
    start = b"\x60\0\0\0\0\x30\x3a\xff" + bytes(32) + b"\x87\0" if ether_type == b"\x86\xdd" else b""
    packets = decode_frames([bytes(12) + ether_type + start + body for body in bodies])
    assert packets.received == len(bodies)
    assert packets.claims.position.tolist() == sorted(packets.claims.position.tolist())


@pytest.mark.root
def test_claims_reach_the_ring(wire) -> None:
    """Over a real interface, with what the kernel's filter keeps of each: ARP, neighbour discovery, a DHCP answer; tagged too."""
    frames = [arp(), advertisement(), solicitation(), reply(), LINK / Dot1Q(vlan=7) / advertisement().payload]
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=1 << 20, promiscuous=True)
    found = []
    try:
        with wire.sender() as sender:
            for frame in frames:
                sender.send(bytes(frame))
        for _ in range(20):
            packets = ring.read(0.25)
            found += told(packets) if packets is not None else []
            if len(found) == len(frames):
                break
    finally:
        ring.close()
    expected = told(decode_frames([bytes(frame) for frame in frames]))
    assert [claim[:4] for claim in found] == [claim[:4] for claim in expected]
    assert len(found) == 5
