"""MPLS, PPPoE and PPP with scapy as the builder: what is inside reads as it does without them, wherever the frame is cut."""

from frames_in_memory import decode_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.ppp import HDLC, PPP, PPPoE
from scapy.packet import Packet, Raw

from netmote.capture.frames import LINKTYPE_PPP, LINKTYPE_PPP_ETHER, LINKTYPE_PPP_HDLC
from netmote.capture.packets import ROW_COLUMNS, PacketColumns

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
ports = st.integers(0, 65_535)


@st.composite
def datagrams(draw) -> Packet:
    network = draw(st.sampled_from([IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")]))
    transport = draw(st.sampled_from([TCP, UDP]))(sport=draw(ports), dport=draw(ports))
    return network / transport / Raw(draw(st.binary(max_size=60)))


def labels(count: int) -> Packet:
    stack = MPLS(label=16, s=int(count == 1), ttl=64)
    for number in range(1, count):
        stack /= MPLS(label=16 + number, s=int(number == count - 1), ttl=64)
    return stack


@st.composite
def frames(draw) -> tuple[bytes, Packet, int]:
    """A frame, what is in it, and the VLAN of the link."""
    datagram = draw(datagrams())
    protocol = 0x21 if IP in datagram else 0x57
    vlan = draw(st.sampled_from([0, 0, 9]))
    link = LINK / Dot1Q(vlan=vlan) if vlan else LINK
    kind = draw(st.sampled_from(["mpls", "mpls multicast", "pppoe", "wire", "wire with word", "pppoe in wire", "mpls in pppoe"]))
    inner = Ether(src="02:00:00:00:00:03", dst=draw(st.sampled_from(["00:00:5e:00:53:01", "12:00:00:00:00:04"])))
    if kind == "wire":  # an address beginning with 0 might be a control word
        inner.dst = "12:00:00:00:00:04"
    inner = inner / Dot1Q(vlan=77) if draw(st.booleans()) else inner
    count = draw(st.integers(1, 16))
    session = PPPoE(sessionid=5) / PPP(proto=protocol)
    built = {
        "mpls": lambda: link / labels(count) / datagram,
        "mpls multicast": lambda: link / labels(count) / datagram,
        "pppoe": lambda: link / session / datagram,
        "wire": lambda: link / labels(count) / inner / datagram,
        "wire with word": lambda: link / labels(count) / Raw(bytes(4)) / inner / datagram,
        "pppoe in wire": lambda: link / labels(count) / Raw(bytes(4)) / inner / session / datagram,
        "mpls in pppoe": lambda: link / PPPoE(sessionid=5) / PPP(proto=0x281) / labels(count) / datagram,
    }[kind]()
    if kind == "mpls multicast":
        built.getlayer(MPLS).underlayer.type = 0x8848
    return bytes(built), datagram, vlan


def same(packets: PacketColumns, reference: PacketColumns, *, vlan: int) -> None:
    """Every column of both says the same, but for the length on the wire and the VLAN."""
    for name in ROW_COLUMNS:
        if name not in ("wire_length", "flow_class", "timestamp_ns"):
            assert getattr(packets, name).tolist() == getattr(reference, name).tolist(), name
    assert packets.flow_class.tolist() == [int(reference.flow_class[0]) | vlan << 16]
    assert packets.six_address.tolist() == reference.six_address.tolist()


@MANY
@given(frames())
def test_what_is_inside_reads_as_without_the_encapsulation(case) -> None:
    """Label stacks of any depth, pseudo-wires with and without a control word, PPPoE, and one in another."""
    raw, datagram, vlan = case
    packets = decode_frames([raw])
    assert not packets.undecodable
    same(packets, decode_frames([bytes(LINK / datagram)]), vlan=vlan)
    assert packets.wire_length.tolist() == [len(raw)]


@MANY
@given(frames(), st.data())
def test_a_cut_frame_shows_nothing_that_was_not_captured(case, data) -> None:
    """Cut anywhere it is a row that says less, or has a reason."""
    raw, datagram, _ = case
    kept = data.draw(st.integers(0, len(raw)))
    packets = decode_frames([raw], captured=[kept])
    assert packets.received == 1
    if not len(packets):
        assert set(packets.undecodable) <= {"truncated", "not_ip"}
        return
    reference = decode_frames([bytes(LINK / datagram)])
    assert packets.source_address.tolist() == reference.source_address.tolist()
    for name in ("source_port", "destination_port", "tcp_control_bits"):
        assert int(getattr(packets, name)[0]) in (0, int(getattr(reference, name)[0]))


@MANY
@given(datagrams(), st.sampled_from([LINKTYPE_PPP, LINKTYPE_PPP_HDLC, LINKTYPE_PPP_ETHER]), st.booleans(), st.booleans())
def test_ppp_links_lead_to_the_same_datagram(datagram, link_type, is_framed, is_short) -> None:
    """With or without HDLC framing, with a protocol number of one octet or two, or behind a PPPoE header."""
    protocol = 0x21 if IP in datagram else 0x57
    ppp = bytes(PPP(proto=protocol))[1 if is_short else 0 :] + bytes(datagram)
    if link_type == LINKTYPE_PPP_ETHER:
        raw = bytes(PPPoE(sessionid=1, len=len(ppp))) + ppp
    else:
        raw = (bytes(HDLC()) if is_framed or link_type == LINKTYPE_PPP_HDLC else b"") + ppp
    same(decode_frames([raw], link_type=link_type), decode_frames([bytes(LINK / datagram)]), vlan=0)


@MANY
@given(
    st.sampled_from([0x8847, 0x8848, 0x8864, 0x8100, 0x8926, 0x88E7]), st.lists(st.binary(max_size=80), min_size=1, max_size=10)
)
def test_any_bytes_behind_them_are_accounted_for(ether_type, bodies) -> None:
    """Nothing raises, and every frame is a row or has a reason."""
    packets = decode_frames([bytes(12) + ether_type.to_bytes(2) + body for body in bodies])
    assert len(packets) + sum(packets.undecodable.values()) == len(bodies)


def test_what_is_plainly_not_ip_is_not_ip() -> None:
    """PPPoE discovery, LCP, labels without an end, a pseudo-wire whose EtherType is none, tags and labels without end."""
    head = bytes(LINK)[:12]
    bodies = [
        b"\x88\x64\x11\x09" + bytes(60),
        b"\x88\x64\x11\x00\x00\x05\x00\x0a\xc0\x21" + bytes(60),
        b"\x88\x47" + bytes(80),
        b"\x88\x47\x00\x01\x01\xff" + bytes(4) + bytes(12) + b"\x12\x34" + bytes(40),
        b"\x88\x47\x00\x01\x01\xff" + bytes(4) + bytes(12) + b"\x08\x00\x60" + bytes(40),
    ]
    assert decode_frames([head + body for body in bodies]).undecodable == {"not_ip": 5}
    wire = b"\x88\x47\x00\x01\x01\xff" + bytes(4) + bytes(12)
    assert decode_frames([head + wire * 9 + bytes(60)]).undecodable == {"not_ip": 1}
    assert decode_frames([head + wire + b"\x08\x06" + bytes(60)]).undecodable == {"arp": 1}
