"""Tunnels with scapy as the builder: the inner packet reads as it does alone, the outer one where nobody asked or nothing can be read."""

import pytest
from frames_in_memory import decode_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.mpls import MPLS
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, GRE, GRE_PPTP, Dot1Q, Ether
from scapy.layers.ppp import PPP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from netmote.capture.packets import ROW_COLUMNS, PacketColumns

ALL = ("gre", "ipip", "vxlan", "geneve", "gtpu")
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
WITHIN = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")  # without a destination scapy would ask the network for one
ports = st.integers(1024, 2000)  # none that scapy would read the payload of, none of a tunnel


@st.composite
def outers(draw) -> Packet:
    four = IP(src="192.0.2.1", dst="192.0.2.2")
    return draw(st.sampled_from([four, IPv6(src="2001:db8:1::1", dst="2001:db8:1::2")])).copy()


@st.composite
def payloads(draw) -> Packet:
    """An IP packet that goes inside."""
    network = draw(
        st.sampled_from([IP(src="10.0.0.1", dst="10.0.0.2", ttl=9), IPv6(src="fd00::1", dst="fd00::2", hlim=9)])
    ).copy()
    if isinstance(network, IPv6) and draw(st.booleans()):
        network /= IPv6ExtHdrHopByHop()
    if draw(st.integers(0, 4)) == 0:
        if isinstance(network, IP):
            network.flags = "MF"
        else:
            network /= IPv6ExtHdrFragment(m=1)
    transport = draw(st.sampled_from([TCP(flags="PA", seq=77), UDP()])).copy()
    transport.sport, transport.dport = draw(ports), draw(ports)
    return network / transport / Raw(draw(st.binary(max_size=50)))


def in_ip(outer: Packet, protocol: int) -> Packet:
    outer = outer.copy()
    if isinstance(outer, IP):
        outer.proto = protocol
    else:
        outer.nh = protocol
    return outer


def ether(inner: Packet, *, is_tagged: bool) -> Packet:
    link = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
    return link / Dot1Q(vlan=5) / inner if is_tagged else link / inner


@st.composite
def wrapped(draw, inner: Packet, outer: Packet | None = None) -> tuple[Packet, str]:  # noqa: PLR0911 - a kind each
    """The inner packet in a tunnel of any kind, and which."""
    outer = draw(outers()) if outer is None else outer
    kind = draw(st.sampled_from(["gre", "gre ethernet", "gre mpls", "pptp", "erspan", "ipip", "vxlan", "geneve", "gtpu"]))
    flags = {f"{name}_present": int(draw(st.booleans())) for name in ("chksum", "key", "seqnum")}
    is_four = isinstance(inner, IP)
    if kind == "gre":
        return in_ip(outer, 47) / GRE(**flags) / inner, "gre"
    if kind == "gre ethernet":
        return in_ip(outer, 47) / GRE(proto=0x6558, **flags) / ether(inner, is_tagged=draw(st.booleans())), "gre"
    if kind == "gre mpls":
        return in_ip(outer, 47) / GRE(proto=0x8847, **flags) / MPLS(label=20, s=1, ttl=3) / inner, "gre"
    if kind == "pptp":
        head = GRE_PPTP(seqnum_present=flags["seqnum_present"], acknum_present=int(draw(st.booleans())))
        return in_ip(outer, 47) / head / Raw(b"\xff\x03" * draw(st.integers(0, 1))) / PPP(
            proto=0x21 if is_four else 0x57
        ) / inner, "gre"
    if kind == "erspan":
        frame = ether(inner, is_tagged=False)
        version = draw(st.sampled_from([1, 2, 3]))
        if version == 1:
            return in_ip(outer, 47) / GRE(proto=0x88BE) / Raw(bytes(frame)), "gre"
        mirror = ERSPAN_II() if version == 2 else ERSPAN_III()
        return in_ip(outer, 47) / GRE(proto=0x88BE if version == 2 else 0x22EB, seqnum_present=1) / mirror / frame, "gre"
    if kind == "ipip":
        return in_ip(outer, 4 if is_four else 41) / inner, "ipip"
    if kind == "vxlan":
        frame = ether(inner, is_tagged=draw(st.booleans()))
        return in_ip(outer, 17) / UDP(sport=draw(ports), dport=4789) / VXLAN(vni=7, flags=8) / frame, "vxlan"
    if kind == "geneve":
        options = bytes.fromhex("0102 03 01 deadbeef") * draw(st.integers(0, 3))
        payload = ether(inner, is_tagged=draw(st.booleans())) if draw(st.booleans()) else inner
        ether_type = 0x6558 if isinstance(payload, Ether) else 0x0800 if is_four else 0x86DD
        header = GENEVE(vni=7, proto=ether_type, optionlen=len(options) // 4)
        return in_ip(outer, 17) / UDP(sport=draw(ports), dport=6081) / Raw(bytes(header) + options) / payload, "geneve"
    header = GTP_U_Header(teid=9, gtp_type=255)
    if draw(st.booleans()):
        header = GTP_U_Header(teid=9, gtp_type=255, E=1, next_ex=0x85) / GTPPDUSessionContainer(type=0, QFI=1)
    elif draw(st.booleans()):
        header = GTP_U_Header(teid=9, gtp_type=255, S=1, seq=4)
    return in_ip(outer, 17) / UDP(sport=draw(ports), dport=2152) / header / inner, "gtpu"


def same(packets: PacketColumns, row: int, reference: PacketColumns, *, vlan: int = 0) -> None:
    """Every column of the row is that of the reference, but for the frame's length, time and VLAN."""
    for name in ROW_COLUMNS:
        if name not in ("wire_length", "flow_class", "timestamp_ns"):
            assert int(getattr(packets, name)[row]) == int(getattr(reference, name)[0]), name
    assert int(packets.flow_class[row]) == int(reference.flow_class[0]) | vlan << 16
    assert packets.source_address[row] == reference.source_address[0]
    assert packets.destination_address[row] == reference.destination_address[0]


def alone(packet: Packet) -> PacketColumns:
    return decode_frames([bytes(LINK / packet)])


@MANY
@given(st.lists(payloads(), min_size=1, max_size=6), st.data())
def test_the_inner_packet_takes_the_place_of_the_outer_one(inners, data) -> None:
    """Of every kind of tunnel, mixed with packets in none, tagged and not: the inner packet when asked, the outer one otherwise."""
    frames, expected, outer, vlans = [], [], [], []
    for inner in inners:
        vlan = data.draw(st.sampled_from([0, 9]))
        link = LINK / Dot1Q(vlan=9) if vlan else LINK
        packet, _ = data.draw(wrapped(inner)) if data.draw(st.integers(0, 3)) else (inner, "")
        frames.append(bytes(link / packet))
        expected.append(alone(inner))
        outer.append(decode_frames([frames[-1]]))
        vlans.append(vlan)
    asked, not_asked = decode_frames(frames, tunnels=ALL), decode_frames(frames)
    assert len(asked) == len(not_asked) == len(frames)
    assert asked.wire_length.tolist() == [len(frame) for frame in frames]
    for row, (inside, outside, vlan) in enumerate(zip(expected, outer, vlans, strict=True)):
        same(asked, row, inside, vlan=vlan)
        same(not_asked, row, outside)


@MANY
@given(payloads(), st.data())
def test_only_the_tunnels_asked_for_are_opened(inner, data) -> None:
    """Every other kind stays closed."""
    packet, kind = data.draw(wrapped(inner))
    for asked in ALL:
        same(decode_frames([bytes(LINK / packet)], tunnels=(asked,)), 0, alone(inner) if asked == kind else alone(packet))


@MANY
@given(payloads(), st.integers(2, 6), st.data())
def test_tunnels_in_tunnels_are_opened_four_deep(inner, depth, data) -> None:
    """The fifth is a packet like any other."""
    packet, packets = inner, [inner]
    for _ in range(depth):
        packet, _ = data.draw(wrapped(packet))
        packets.append(packet)
    same(decode_frames([bytes(LINK / packet)], tunnels=ALL), 0, alone(packets[max(0, depth - 4)]))


@MANY
@given(payloads(), st.data())
def test_a_cut_tunnel_is_the_outer_packet_or_what_is_there_of_the_inner(inner, data) -> None:
    """Bytes that were not captured are never read; no packet is lost to a tunnel."""
    packet, _ = data.draw(wrapped(inner))
    raw = bytes(LINK / packet)
    kept = data.draw(st.integers(0, len(raw)))
    packets, closed = decode_frames([raw], captured=[kept], tunnels=ALL), decode_frames([raw], captured=[kept])
    assert packets.undecodable == closed.undecodable
    if not len(packets) or packets.source_address[0] == closed.source_address[0]:
        assert len(packets) == len(closed)
        return
    want = alone(inner)
    assert packets.source_address[0] == want.source_address[0]
    for name in ("source_port", "destination_port", "tcp_control_bits", "tcp_sequence"):
        assert int(getattr(packets, name)[0]) in (0, int(getattr(want, name)[0]))


@MANY
@given(st.sampled_from([(47, b""), (4, b""), (41, b""), (17, b"\1\0\x12\xb5\0\0\0\0"), (17, b"\1\0\x08\x68\0\0\0\0")]), st.data())
def test_any_bytes_in_a_tunnel_are_a_packet(kind, data) -> None:
    """Nothing raises, and each is a row, inner or outer."""
    protocol, head = kind
    bodies = data.draw(st.lists(st.binary(max_size=120), min_size=1, max_size=10))
    frames = [bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2", proto=protocol) / Raw(head + body)) for body in bodies]
    packets = decode_frames(frames, tunnels=ALL)
    assert len(packets) == len(frames)
    assert set(packets.ip_version.tolist()) <= {4, 6}
    assert packets.six_position.tolist() == [row for row in range(len(packets)) if packets.ip_version[row] == 6]


OUTER = IP(src="192.0.2.1", dst="192.0.2.2")
INNER = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(b"x" * 30)


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="192.0.2.1", dst="192.0.2.2", flags="MF", proto=4) / INNER,
        IP(src="192.0.2.1", dst="192.0.2.2", frag=3, proto=4) / INNER,
        OUTER / GRE(proto=0x0806) / ARP(),
        OUTER / GRE(version=2) / INNER,
        OUTER / GRE(routing_present=1) / INNER,
        OUTER / UDP(sport=1, dport=4789) / VXLAN(flags=0) / WITHIN / INNER,
        OUTER / UDP(sport=1, dport=4789) / VXLAN(flags=8) / WITHIN / ARP(),
        OUTER / UDP(sport=4789, dport=1) / VXLAN(flags=8) / WITHIN / INNER,
        OUTER / UDP(sport=1, dport=6081) / Raw(b"\x40\0\x65\x58" + bytes(4) + bytes(WITHIN / INNER)),
        OUTER / UDP(sport=1, dport=6081) / Raw(b"\0\x80\x65\x58" + bytes(4) + bytes(WITHIN / INNER)),
        OUTER / UDP(sport=1, dport=6081) / Raw(b"\x3f\0\x65\x58" + bytes(4) + bytes(WITHIN / INNER)),
        OUTER / UDP(sport=1, dport=2152) / GTP_U_Header(gtp_type=1),
        OUTER / UDP(sport=1, dport=2152) / Raw(b"\x30\xff\0\x20\0\0\0\1" + b"\x20" * 40),
        in_ip(OUTER, 4) / Raw(b"\x44" + bytes(INNER)[1:]),
        in_ip(OUTER, 4) / Raw(bytes(INNER)[:2] + b"\x40\0" + bytes(INNER)[4:]),
        in_ip(OUTER, 4) / IPv6(),
        in_ip(OUTER, 4),
    ],
    ids=lambda packet: packet.summary()[:70],
)
def test_what_cannot_be_opened_stays_the_outer_packet(packet: Packet) -> None:
    """Fragments, what is no IP, headers that contradict themselves or claim more than the outer packet holds."""
    same(decode_frames([bytes(LINK / packet)], tunnels=ALL), 0, alone(packet))


def test_dns_and_icmp_inside_are_read() -> None:
    """What is read of a packet alone is read of one inside."""
    query = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="example.org"))
    echo = IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=8)
    packets = decode_frames([bytes(LINK / in_ip(OUTER, 4) / each) for each in (query, echo)], tunnels=ALL)
    assert (packets.dns.position.tolist(), packets.dns.question_octets.tolist()) == ([0], [11])
    assert packets.icmp_type.tolist() == [0, 8]


def test_claims_inside_a_tunnel_are_of_another_segment() -> None:
    """Who has an address beyond the tunnel says nothing of this link."""
    frame = OUTER / UDP(sport=1, dport=4789) / VXLAN(flags=8) / WITHIN / ARP(psrc="10.0.0.1", hwsrc="02:00:00:00:00:09")
    assert len(decode_frames([bytes(LINK / frame)], tunnels=ALL).claims) == 0
