"""Header decode with scapy as the oracle: frames scapy builds are read back field by field; any bytes at all are accounted for."""

import math
import socket
from collections import Counter

import numpy as np
from frames_in_memory import decode_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from netmote.capture.frames import (
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_NULL,
    LINKTYPE_RAW,
)
from netmote.records.flow import address_text

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ports = st.integers(0, 65_535)
four = st.integers(0, 2**32 - 1).map(lambda number: socket.inet_ntoa(number.to_bytes(4)))
six = st.integers(0, 2**128 - 1).map(lambda number: socket.inet_ntop(socket.AF_INET6, number.to_bytes(16)))


@st.composite
def transports(draw) -> Packet:
    kind = draw(st.sampled_from(["tcp", "udp", "sctp", "icmp", "other"]))
    payload = Raw(draw(st.binary(max_size=40)))
    if kind == "tcp":
        header = TCP(sport=draw(ports), dport=draw(ports), flags=draw(st.integers(0, 255)), seq=draw(st.integers(0, 2**32 - 1)))
        header.options = [("NOP", None)] * draw(st.sampled_from([0, 0, 4, 12, 40]))
        header.dataofs = draw(st.sampled_from([None, None, None, 0, 4, 15]))  # the last ones contradict what is there
        return header / payload
    if kind == "udp":
        # Not 53 or another port whose payload scapy would take for something else and rebuild.
        return UDP(sport=draw(ports), dport=draw(ports)) / payload
    if kind == "sctp":
        return SCTP(sport=draw(ports), dport=draw(ports)) / payload
    if kind == "icmp":
        return ICMP(type=draw(st.integers(0, 255)), code=draw(st.integers(0, 255))) / payload
    return payload


@st.composite
def datagrams(draw) -> Packet:
    transport = draw(transports())
    if draw(st.booleans()):
        packet = IP(
            src=draw(four),
            dst=draw(four),
            tos=draw(st.integers(0, 255)),
            ttl=draw(st.integers(0, 255)),
            options=[IPOption_NOP()] * draw(st.sampled_from([0, 0, 0, 1, 5, 40])),
        )
        if draw(st.integers(0, 4)) == 0:
            packet.flags, packet.frag = draw(st.sampled_from(["MF", 0])), draw(st.sampled_from([0, 1, 185]))
        if not transport.name.startswith(("TCP", "UDP", "SCTP", "ICMP")):
            packet.proto = draw(st.sampled_from([6, 17, 1, 47, 50, 89, 255]))  # 6, 17, 1: too short for their header
        return packet / transport
    packet = IPv6(src=draw(six), dst=draw(six), tc=draw(st.integers(0, 255)), hlim=draw(st.integers(0, 255)))
    chain: list[Packet] = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment, AH]))
        if kind in (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt):
            chain.append(kind(options=[PadN(optdata=b"\0" * draw(st.integers(0, 100)))]))
        elif kind is IPv6ExtHdrFragment:
            chain.append(kind(offset=draw(st.sampled_from([0, 1, 185])), m=draw(st.integers(0, 1)), id=7))
        elif kind is AH:
            chain.append(AH(spi=1, seq=1, icv=b"\0" * 12))
        else:
            chain.append(kind(addresses=["2001:db8::9"] * draw(st.integers(0, 2))))
    for header in chain:
        packet /= header
    if isinstance(transport, ICMP):
        transport = ICMPv6Unknown(type=transport.type, code=transport.code) / transport.payload
    if isinstance(transport, Raw):
        packet.lastlayer().nh = draw(st.sampled_from([59, 6, 17, 58]))
    elif isinstance(transport, ICMPv6Unknown):
        packet.lastlayer().nh = 58
    return packet / transport


def expected(datagram: Packet) -> dict:
    """The fields of a datagram as scapy reads its bytes."""
    raw = bytes(datagram)
    version = raw[0] >> 4
    network = (IP if version == 4 else IPv6)(raw)
    found = {
        "version": version,
        "source": str(network.src),
        "destination": str(network.dst),
        "tos": network.tos if version == 4 else network.tc,
        "ttl": network.ttl if version == 4 else network.hlim,
        "total": network.len if version == 4 else 40 + network.plen,
    }
    protocol, offset, is_fragment, is_first = (
        (network.proto, network.ihl * 4, False, True) if version == 4 else (network.nh, 40, False, True)
    )
    if version == 4:
        is_fragment, is_first = bool(network.flags.MF or network.frag), network.frag == 0
    else:
        while is_first and protocol in (0, 43, 44, 51, 60) and offset + 8 <= len(raw):
            if protocol == 44:
                fragment = IPv6ExtHdrFragment(raw[offset : offset + 8])
                is_fragment, is_first = is_fragment or bool(fragment.offset or fragment.m), fragment.offset == 0
                step = 8
            else:
                step = (raw[offset + 1] + 2) * 4 if protocol == 51 else (raw[offset + 1] + 1) * 8
            protocol, offset = raw[offset], offset + step
    rest = raw[offset:] if is_first else b""
    has_ports = protocol in (6, 17, 132) and len(rest) >= 4
    is_tcp = protocol == 6 and len(rest) > 13
    found |= {
        "protocol": protocol,
        "sequence": TCP(rest.ljust(20, b"\0")).seq if is_tcp else 0,
        "payload": max(0, found["total"] - offset - (rest[12] >> 4) * 4) if is_tcp and not is_fragment else 0,
        "fragment": is_fragment,
        "source_port": int.from_bytes(rest[:2]) if has_ports else 0,
        "destination_port": int.from_bytes(rest[2:4]) if has_ports else 0,
        "bits": rest[13] if is_tcp else 0,
        "icmp": tuple(rest[:2]) if protocol in (1, 58) and len(rest) > 1 else (0, 0),
    }
    return found


def decoded(packets, row: int) -> dict:
    return {
        "version": int(packets.ip_version[row]),
        "source": address_text(packets.source_address[row].tobytes()),
        "destination": address_text(packets.destination_address[row].tobytes()),
        "tos": int(packets.ip_class_of_service[row]),
        "ttl": int(packets.time_to_live[row]),
        "total": int(packets.ip_total_length[row]),
        "protocol": int(packets.protocol_identifier[row]),
        "fragment": bool(packets.is_fragment[row]),
        "sequence": int(packets.tcp_sequence[row]),
        "payload": int(packets.tcp_payload_octets[row]),
        "source_port": int(packets.source_port[row]),
        "destination_port": int(packets.destination_port[row]),
        "bits": int(packets.tcp_control_bits[row]),
        "icmp": (int(packets.icmp_type[row]), int(packets.icmp_code[row])),
    }


def same_address(text: str) -> str:
    """IPv4-mapped IPv6 source addresses print as IPv4; they are the same 16 bytes."""
    return address_text(socket.inet_pton(socket.AF_INET6, text)) if ":" in text else text


@MANY
@given(st.lists(st.tuples(datagrams(), st.integers(0, 2), st.booleans()), min_size=1, max_size=12))
def test_ethernet_frames_are_read_as_scapy_reads_them(cases) -> None:
    """Addresses, ports, protocol, lengths, time to live, flags, sequence, payload, fragments and tags of every frame, in one block."""
    frames, tags = [], []
    for datagram, depth, is_padded in cases:
        link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        link = link / Dot1AD(vlan=7) / Dot1Q(vlan=8) if depth == 2 else link / Dot1Q(vlan=9, prio=3) if depth else link
        frame = bytes(link / datagram)
        frames.append(frame.ljust(60, b"\xee") if is_padded else frame)
        tags.append([(0, 0), (9, 0), (7, 8)][depth])
    packets = decode_frames(frames)
    assert packets.received == len(packets) == len(frames)
    for row, (datagram, _, _) in enumerate(cases):
        want = expected(datagram)
        want["source"], want["destination"] = same_address(want["source"]), same_address(want["destination"])
        assert decoded(packets, row) == want, datagram.summary()
        assert (int(packets.vlan_id[row]), int(packets.inner_vlan_id[row])) == tags[row]
        assert int(packets.wire_length[row]) == len(frames[row])


@MANY
@given(datagrams(), st.sampled_from([LINKTYPE_RAW, LINKTYPE_NULL, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2]), st.booleans())
def test_other_links_lead_to_the_same_datagram(datagram, link_type, is_swapped) -> None:
    """Raw IP, null in either byte order, Linux cooked v1 and v2 give what Ethernet gives."""
    raw = bytes(datagram)
    is_four = raw[0] >> 4 == 4
    ether_type = (0x0800 if is_four else 0x86DD).to_bytes(2)
    header = {
        LINKTYPE_RAW: b"",
        LINKTYPE_NULL: (2 if is_four else 30).to_bytes(4, "big" if is_swapped else "little"),
        LINKTYPE_LINUX_SLL: b"\0\0\0\1\0\6\2\0\0\0\0\1\0\0" + ether_type,
        LINKTYPE_LINUX_SLL2: ether_type + b"\0\0\0\0\0\3\0\1\0\6\2\0\0\0\0\1\0\0",
    }[link_type]
    packets = decode_frames([header + raw], link_type=link_type)
    reference = decode_frames([bytes(Ether(src="02::1", dst="02::2", type=int.from_bytes(ether_type))) + raw])
    assert decoded(packets, 0) == decoded(reference, 0)


@MANY
@given(datagrams(), st.integers(0, 120))
def test_cut_packets_never_show_bytes_that_were_not_captured(datagram, kept) -> None:
    """A snapped packet is decoded as far as it goes or has a reason; ports and flags are right or zero."""
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / datagram)
    kept = min(kept, len(frame))
    packets = decode_frames([frame], captured=[kept])
    assert packets.received == 1
    if not len(packets):
        assert set(packets.undecodable) == {"truncated"}
        return
    want, got = expected(datagram), decoded(packets, 0)
    assert (got["total"], got["ttl"]) == (want["total"], want["ttl"])
    for name in ("source_port", "destination_port", "bits", "sequence", "payload"):
        assert got[name] in (0, want[name])
    if kept == len(frame):
        want["source"], want["destination"] = same_address(want["source"]), same_address(want["destination"])
        assert got == want


@MANY
@given(st.lists(st.binary(max_size=90), min_size=1, max_size=30), st.sampled_from([0, 1, 101, 108, 113, 228, 229, 276, 147]))
def test_any_bytes_are_accounted_for(frames, link_type) -> None:
    """Nothing raises, and every frame is a row or has a reason."""
    packets = decode_frames(frames, link_type=link_type)
    assert len(packets) + sum(packets.undecodable.values()) == len(frames)
    assert set(packets.ip_version.tolist()) <= {4, 6}


labels = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=40)


@MANY
@given(
    st.lists(
        st.tuples(st.lists(labels, min_size=1, max_size=5), st.booleans(), st.integers(0, 15), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_dns_messages_are_read(messages) -> None:
    """Query or response, RCODE, and length and entropy of the question name as the formula gives them."""
    frames = []
    for name, is_response, code, is_six in messages:
        network = IPv6(src="2001:db8::1", dst="2001:db8::2") if is_six else IP(src="10.0.0.1", dst="10.0.0.2")
        message = DNS(qr=int(is_response), rcode=code, qd=DNSQR(qname=".".join(name)))
        sent = UDP(sport=53 if is_response else 40000, dport=40000 if is_response else 53)
        frames.append(bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network / sent / message))
    dns = decode_frames(frames).dns
    assert dns.position.tolist() == list(range(len(messages)))
    for row, (name, is_response, code, _) in enumerate(messages):
        text = ".".join(name)
        counts = Counter(text.lower()).values()
        entropy = -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
        assert bool(dns.is_response[row]) == is_response
        assert int(dns.response_code[row]) == (code if is_response else 0)
        assert int(dns.question_octets[row]) == (0 if is_response else len(text))
        assert abs(int(dns.question_entropy_millibits[row]) - (0 if is_response else 1000 * entropy)) <= 0.51


def test_a_block_of_many_packets_is_read_like_each_alone() -> None:
    """Batches larger than the cached part give what single frames give."""
    frames = [
        bytes(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            / IP(src="10.0.0.1", dst="10.0.0.2")
            / TCP(sport=port, dport=80)
        )
        for port in range(1, 20)
    ]
    many = decode_frames(frames * 1000)
    alone = decode_frames(frames)
    assert np.array_equal(many.source_word, np.tile(alone.source_word, 1000))
    assert len(many) == 19_000


def test_every_cut_of_a_plain_packet_shows_exactly_what_is_there() -> None:
    """Ports from the 24th octet of the datagram, control bits from the 34th, nothing before the 20th; whatever lies behind."""
    frame = bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IP(src="10.0.0.1", dst="10.0.0.2")
        / TCP(sport=1234, dport=80, flags="SA")
        / Raw(b"x" * 20)
    )
    kept = list(range(len(frame) + 1))
    packets = decode_frames([frame] * len(kept), captured=kept)
    assert packets.undecodable == {"truncated": 34}
    there = np.array(kept[34:]) - 14
    assert packets.source_port.tolist() == np.where(there >= 24, 1234, 0).tolist()
    assert packets.destination_port.tolist() == np.where(there >= 24, 80, 0).tolist()
    assert packets.tcp_control_bits.tolist() == np.where(there >= 34, 0x12, 0).tolist()
    # The same when it is the IP header that says the packet is short, as padding behind it does not count.
    short = [frame[:16] + length.to_bytes(2) + frame[18:] for length in range(20, 80)]
    packets = decode_frames(short)
    assert packets.source_port.tolist() == [1234 if length >= 24 else 0 for length in range(20, 80)]
    assert packets.tcp_control_bits.tolist() == [0x12 if length >= 34 else 0 for length in range(20, 80)]
