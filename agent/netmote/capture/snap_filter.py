"""The classic BPF program that tells the kernel how many bytes of each packet to keep. By itself it drops nothing.

Plain packets keep `PLAIN` bytes, so that every ring record has one size; packets whose headers go on (IPv4 options, IPv6 extension
headers, VLAN tags inside the frame, what `encapsulation` steps over, SNAP), DNS messages, IPv6 neighbour discovery and tunnels that
are asked for keep `LONG`. A flat length would cut extension headers and merge flows.
"""

import ctypes
import socket
import struct

from netmote.capture.bpf_program import INSTRUCTION, BpfProgram
from netmote.capture.tunnels import IP_PROTOCOLS, UDP_PORTS, Tunnel

PLAIN_BYTES = 68  # 14 Ethernet + 40 IPv6 + 14 TCP up to its control bits: see `ring_layout` on the record size
LONG_BYTES = 366  # 14 Ethernet + 8 tags + 60 IPv4 + 8 UDP + 12 DNS + 255 name, and a little
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Opcodes of linux/filter.h: load word length, half word and byte; jump if equal, greater or equal, any bit set; return.
_LD_LEN, _LD_H, _LD_B, _JEQ, _JGE, _JSET, _RET = 0x80, 0x28, 0x30, 0x15, 0x35, 0x45, 0x06
_JA = 0x05
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_TCP, _UDP, _ICMPV6, _SCTP, _DNS = 6, 17, 58, 132, 53
_SOLICITATION, _ADVERTISEMENT = 135, 136  # ICMPv6 types of neighbour discovery (RFC 4861)
# EtherTypes behind which headers go on: VLAN tags, MPLS, PPPoE, VN-Tag, provider backbone (see `encapsulation`).
_ENCAPSULATIONS = (0x8100, 0x88A8, 0x9100, 0x8847, 0x8848, 0x8864, 0x8926, 0x88E7)


def snap_program(*, link_header: int, tunnels: tuple[Tunnel, ...] = ()) -> bytes:
    """The program for frames with an Ethernet header (14) or none (0: raw IP). Of `tunnels` the inner headers are kept too."""
    protocols = [protocol for tunnel in tunnels for protocol in IP_PROTOCOLS.get(tunnel, ())]
    ports = [_DNS, *(UDP_PORTS[tunnel] for tunnel in tunnels if tunnel in UDP_PORTS)]
    plain = PLAIN_BYTES - 14 + link_header
    program = BpfProgram()
    program.add(_LD_LEN)
    program.jump(_JGE, link_header + 44, otherwise="long")  # shorter packets are kept whole by any length
    if link_header:
        program.add(_LD_H, 12)
        program.jump(_JEQ, 0x0800, then="ipv4")
        program.jump(_JEQ, 0x86DD, then="ipv6")
        for ether_type in _ENCAPSULATIONS:
            program.jump(_JEQ, ether_type, then="long")
        program.jump(_JGE, 0x0600, then="plain", otherwise="long")  # below: an 802.3 length, perhaps SNAP
    else:
        program.add(_LD_B, 0)
        program.jump(_JGE, 0x60, then="ipv6")
    program.label("ipv4")
    program.add(_LD_B, link_header)
    program.jump(_JEQ, 0x45, otherwise="long")
    program.add(_LD_B, link_header + 9)
    for protocol in protocols:
        program.jump(_JEQ, protocol, then="long")
    program.jump(_JEQ, _UDP, otherwise="plain")
    program.add(_LD_H, link_header + 6)
    program.jump(_JSET, 0x1FFF, then="plain")  # a later fragment has no ports
    _look_for_ports(program, link_header + 20, ports)
    program.label("ipv6")
    program.add(_LD_B, link_header + 6)
    for protocol in (_TCP, _SCTP):
        program.jump(_JEQ, protocol, then="plain")
    program.jump(_JEQ, _ICMPV6, then="icmpv6")
    program.jump(_JEQ, _UDP, otherwise="long")
    _look_for_ports(program, link_header + 40, ports)
    program.label("icmpv6")
    program.add(_LD_B, link_header + 40)
    program.jump(_JEQ, _SOLICITATION, then="long")
    program.jump(_JEQ, _ADVERTISEMENT, then="long", otherwise="plain")
    program.label("plain")
    program.add(_RET, plain)
    program.label("long")
    program.add(_RET, LONG_BYTES)
    return program.assemble()


def _look_for_ports(program: BpfProgram, transport: int, ports: list[int]) -> None:
    """DNS either way, tunnels by their destination."""
    program.add(_LD_H, transport)
    program.jump(_JEQ, _DNS, then="long")
    program.add(_LD_H, transport + 2)
    for port in ports[:-1]:
        program.jump(_JEQ, port, then="long")
    program.jump(_JEQ, ports[-1], then="long", otherwise="plain")


def behind_filter(wanted: bytes, snap: bytes) -> bytes:
    """One program of two: where `wanted` (a `PacketFilter`'s) keeps a packet, `snap` goes on; where it drops one, that is all.

    Raises ValueError when together they are more than the kernel takes.
    """
    count = (len(wanted) + len(snap)) // INSTRUCTION.size
    if count > _MOST_INSTRUCTIONS:
        raise ValueError(f"the filter has {count} instructions with our own; the kernel takes {_MOST_INSTRUCTIONS}")
    lines = list(INSTRUCTION.iter_unpack(wanted))
    out = b""
    for number, (opcode, then, otherwise, value) in enumerate(lines):
        if opcode & 0x07 == _RET and (opcode != _RET or value):
            if opcode != _RET:
                raise ValueError("the filter returns what it has calculated, which it should not")
            out += INSTRUCTION.pack(_JA, 0, 0, len(lines) - number - 1)  # of the same size, so every other jump stays right
        else:
            out += INSTRUCTION.pack(opcode, then, otherwise, value)
    return out + snap


def attach(packet_socket: socket.socket, program: bytes) -> None:
    """SO_ATTACH_FILTER. The kernel copies the program before this returns."""
    code = ctypes.create_string_buffer(program, len(program))
    packet_socket.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program) // INSTRUCTION.size, ctypes.addressof(code))
    )
