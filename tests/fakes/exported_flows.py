"""Flows to export: generated frames through the real meter, so that what is exported is what was counted."""

from collections.abc import Iterable

import numpy as np
from frames_in_memory import decode_frames
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE, FlowBatch

SECOND = 1_000_000_000
_LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
_FOUR = ("10.0.0.1", "192.0.2.9")
_SIX = ("2001:db8::1", "2001:db8::9")


def _there(version: int):
    return IP(src=_FOUR[0], dst=_FOUR[1]) if version == 4 else IPv6(src=_SIX[0], dst=_SIX[1])


def _back(version: int):
    return IP(src=_FOUR[1], dst=_FOUR[0]) if version == 4 else IPv6(src=_SIX[1], dst=_SIX[0])


def connection(version: int = 4, *, port: int = 40_000, vlan: int = 0) -> list:
    """A TCP connection from its SYN to both FINs."""
    link = _LINK / Dot1Q(vlan=vlan) if vlan else _LINK
    there, back = link / _there(version), link / _back(version)
    ours, theirs = {"sport": port, "dport": 443}, {"sport": 443, "dport": port}
    return [
        there / TCP(**ours, flags="S"),
        back / TCP(**theirs, flags="SA"),
        there / TCP(**ours, flags="A"),
        there / TCP(**ours, flags="PA") / Raw(b"q" * 100),
        back / TCP(**theirs, flags="PA") / Raw(b"a" * 900),
        back / TCP(**theirs, flags="FA"),
        there / TCP(**ours, flags="FA"),
        back / TCP(**theirs, flags="A"),
    ]


def frames() -> list[bytes]:
    """Every kind of flow that has a form of its own in an export."""
    made: list = [*connection(), *connection(6, port=40_001), *connection(port=40_002, vlan=77)]
    for version in (4, 6):
        there, back = _there(version), _back(version)
        made += [
            _LINK / there / TCP(sport=50_000, dport=81, flags="S"),  # refused
            _LINK / back / TCP(sport=81, dport=50_000, flags="RA"),
            _LINK / there / TCP(sport=50_001, dport=82, flags="S"),  # unanswered
            _LINK / there / UDP(sport=5353, dport=53) / Raw(b"u" * 40),
            _LINK / back / UDP(sport=53, dport=5353) / Raw(b"v" * 200),
            _LINK / there / UDP(sport=1900, dport=1900) / Raw(b"w" * 10),
            _LINK / there / SCTP(sport=7, dport=9) / Raw(b"x" * 20),
        ]
    made += [
        _LINK / _there(4) / ICMP(type=8, id=7) / Raw(b"p" * 56),
        _LINK / _back(4) / ICMP(type=0, id=7) / Raw(b"p" * 56),
        _LINK / IP(src="10.0.0.3", dst="10.0.0.4") / ICMP(type=3, code=1) / Raw(b"\0" * 28),
        _LINK / Dot1AD(vlan=100) / Dot1Q(vlan=7) / _there(4) / UDP(sport=8, dport=8) / Raw(b"y" * 20),
        _LINK / _there(4) / GRE() / Raw(b"g" * 30),
        _LINK / _there(6) / ICMPv6EchoRequest(id=3) / Raw(b"p" * 56),
        _LINK / _back(6) / ICMPv6EchoReply(id=3) / Raw(b"p" * 56),
        _LINK / IPv6(src="fe80::1", dst="ff02::1:ff00:9") / ICMPv6ND_NS(tgt="fe80::9"),
    ]
    return [bytes(frame) for frame in made]


def batches(*, interface: str = "eth0", made: list[bytes] | None = None) -> list[FlowBatch]:
    """Panes of these frames, a frame a second."""
    meter = FlowMeter(
        source=f"capture:{interface}",
        interface=interface,
        max_flows=4096,
        active_timeout_ns=300 * SECOND,
        idle_timeout_ns=30 * SECOND,
        when_full="evict",
    )
    return [*meter.meter(decode_frames(frames() if made is None else made)), *meter.flush()]


def assembled(panes: Iterable[FlowBatch]) -> np.ndarray:
    """Whole flow records of these panes."""
    assembly = FlowAssembly()
    parts = [assembly.add(batch.slices) for batch in panes]
    return np.concatenate([np.zeros(0, FLOW_DTYPE), *parts, assembly.finish()])


def flow_records(*, made: list[bytes] | None = None) -> np.ndarray:
    """Whole flow records of these frames."""
    return assembled(batches(made=made))


def many_flows(count: int) -> np.ndarray:
    """Answered TCP flows over IPv4, each a different pair of addresses and ports."""
    records = np.zeros(count, FLOW_DTYPE)
    number = np.arange(count)
    records["flow_id"] = number + 1
    for side, network in (("source", 10), ("destination", 172)):
        octets = np.zeros((count, 16), "u1")
        octets[:, 10:12], octets[:, 12] = 255, network
        octets[:, 13:] = (number[:, None] >> np.array([16, 8, 0])) & 255
        records[f"{side}_address"] = octets.view("V16")[:, 0]
    records["source_transport_port"], records["destination_transport_port"] = 1024 + number % 60_000, 443
    records["protocol_identifier"], records["ip_version"], records["flow_end_reason"] = 6, 4, 3
    records["flow_start_ns"] = 1_700_000_000 * SECOND + number * 1_000_003
    records["flow_end_ns"] = records["flow_start_ns"] + number % 5_000 * 1_000_000
    records["initiator_packets"], records["responder_packets"] = 5 + number % 9, 4 + number % 7
    records["initiator_octets"], records["responder_octets"] = 600 + number, 4000 + number
    records["initiator_tcp_control_bits"] = records["responder_tcp_control_bits"] = 0x1B
    return records
