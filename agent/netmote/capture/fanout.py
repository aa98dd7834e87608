"""Dividing the packets of one interface among several rings: PACKET_FANOUT (packet(7)) with a rule of our own.

The rule is a classic BPF program over the two addresses, the same for both directions. The kernel's own PACKET_FANOUT_HASH is not
used: it looks at ports where it finds them, so that a first fragment and the whole packets of its flow go to different rings, and it
stops at an IPv6 flow label, so that a flow labelled in one direction alone is split. PACKET_FANOUT_FLAG_DEFRAG would hand over
reassembled packets that were never on the wire. ROLLOVER is left off: it breaks flows apart exactly when there are most of them.

VLAN tags (two more than the kernel has taken off), MPLS labels (six) and PPPoE are looked behind. What is no IPv4 or IPv6 then goes to
the first ring. A tunnel's flows go with the addresses of the tunnel.
"""

import ctypes
import errno
import os
import socket
import struct

from netmote.capture.bpf_program import INSTRUCTION, BpfProgram

_SOL_PACKET = 263
_FANOUT, _FANOUT_DATA = 18, 22
_FANOUT_CBPF = 6
_FLAG_UNIQUE_ID, _FLAG_IGNORE_OUTGOING = 0x2000, 0x4000
# Opcodes of linux/filter.h.
_LD_ABS, _LD_WORD, _LD_HALF, _LD_BYTE, _LD_IMM = 0x20, 0x40, 0x48, 0x50, 0x00  # the middle three relative to X
_LD_MEM, _LDX_MEM, _ST = 0x60, 0x61, 0x02
_XOR_X, _MUL, _RSH, _ADD, _AND = 0xAC, 0x24, 0x74, 0x04, 0x54
_JEQ, _JSET, _JA, _RET_A, _RET = 0x15, 0x45, 0x05, 0x16, 0x06
_AD_PROTOCOL, _AD_PKTTYPE = 0xFFFFF000, 0xFFFFF004  # SKF_AD_OFF and what lies there
_PACKET_OUTGOING = 4
_TAGS = (0x8100, 0x88A8, 0x9100)
_DEEPEST_TAG, _DEEPEST_LABEL = 2, 6
_BASE, _PROTOCOL, _SUM = 0, 1, 2  # scratch memory: where the network header begins, what it is, addresses so far
_GOLDEN = 0x9E3779B1  # 2**32 over the golden ratio (Knuth, The Art of Computer Programming 6.4): spreads neighbours

NOTHING = INSTRUCTION.pack(_RET, 0, 0, 0)
"""A filter that keeps no packet: what a ring has until all of its group have joined."""


class _Program(BpfProgram):
    """One that walks headers: it keeps in scratch memory where the network header begins."""

    def advance(self, octets: int) -> None:
        """The network header begins further on."""
        self.add(_LD_MEM, _BASE)
        self.add(_ADD, octets)
        self.add(_ST, _BASE)

    def load(self, opcode: int, offset: int) -> None:
        """What stands so far behind the beginning of the network header."""
        self.add(_LDX_MEM, _BASE)
        self.add(opcode, offset)


def address_program(*, link_header: int) -> bytes:
    """The rule: a number for each packet that depends on its unordered pair of addresses alone.

    A packet that arrives is seen from its network header on, one that leaves from its link header (14 bytes, or 0) on.
    """
    program = _Program()
    program.add(_LD_ABS, _AD_PKTTYPE)
    program.jump(_JEQ, _PACKET_OUTGOING, then="leaves", otherwise="arrives")
    program.label("leaves")
    program.add(_LD_IMM, link_header)
    program.add(_JA, 1)
    program.label("arrives")
    program.add(_LD_IMM, 0)
    program.add(_ST, _BASE)
    program.add(_LD_ABS, _AD_PROTOCOL)
    program.add(_ST, _PROTOCOL)
    for number in range(_DEEPEST_TAG):
        _step_over_tag(program, number)
    program.add(_LD_MEM, _PROTOCOL)
    program.jump(_JEQ, 0x0800, then="ipv4")
    program.jump(_JEQ, 0x86DD, then="ipv6")
    for mpls in (0x8847, 0x8848):
        program.jump(_JEQ, mpls, then="labels")
    program.jump(_JEQ, 0x8864, then="pppoe")
    program.add(_RET, 0)
    _step_over_labels(program)
    program.label("pppoe")  # RFC 2516: six octets, then the protocol of PPP
    program.load(_LD_HALF, 6)
    program.add(_ST, _PROTOCOL)
    program.advance(8)
    program.add(_LD_MEM, _PROTOCOL)
    program.jump(_JEQ, 0x0021, then="ipv4")
    program.jump(_JEQ, 0x0057, then="ipv6")
    program.add(_RET, 0)
    program.label("ipv4")
    _return_sum(program, range(12, 20, 4))
    program.label("ipv6")
    _return_sum(program, range(8, 40, 4))
    return program.assemble()


def _step_over_tag(program: _Program, number: int) -> None:
    program.add(_LD_MEM, _PROTOCOL)
    for tag in _TAGS[:-1]:
        program.jump(_JEQ, tag, then=f"tag {number}")
    program.jump(_JEQ, _TAGS[-1], otherwise=f"behind {number}")
    program.label(f"tag {number}")
    program.load(_LD_HALF, 2)
    program.add(_ST, _PROTOCOL)
    program.advance(4)
    program.label(f"behind {number}")


def _step_over_labels(program: _Program) -> None:
    """MPLS (RFC 3032). Behind the last label the first four bits tell which IP it is; a link may label one direction alone."""
    program.label("labels")
    for _ in range(_DEEPEST_LABEL):
        program.load(_LD_WORD, 0)
        program.add(_ST, _SUM)
        program.advance(4)
        program.add(_LD_MEM, _SUM)
        program.jump(_JSET, 0x100, then="behind labels")
    program.add(_RET, 0)
    program.label("behind labels")
    program.load(_LD_BYTE, 0)
    program.add(_AND, 0xF0)
    program.jump(_JEQ, 0x40, then="ipv4")
    program.jump(_JEQ, 0x60, then="ipv6")
    program.add(_RET, 0)


def _return_sum(program: _Program, words: range) -> None:
    """The words of both addresses, added without carry, which no order changes; then spread."""
    program.add(_LD_IMM, 0)
    program.add(_ST, _SUM)
    for offset in words:
        program.load(_LD_WORD, offset)
        program.add(_LDX_MEM, _SUM)
        program.add(_XOR_X)
        program.add(_ST, _SUM)
    program.add(_MUL, _GOLDEN)
    program.add(_RSH, 16)
    program.add(_RET_A)


class FanoutGroup:
    """The rings of one interface. The first that joins makes the group; it is gone with the last of its sockets."""

    def __init__(self) -> None:
        self.group_id: int | None = None
        """Chosen by the kernel, so that it is no other group's."""

    def join(self, packet_socket: socket.socket, *, link_header: int, ignore_outgoing: bool) -> None:
        """Make a bound socket a member. Raises OSError, with ENOTSUP where this kernel cannot (5.11 for loopback, else 4.11)."""
        flags = _FLAG_IGNORE_OUTGOING if ignore_outgoing else 0
        is_first = self.group_id is None
        word = (0 if self.group_id is None else self.group_id) | ((_FANOUT_CBPF | flags | _FLAG_UNIQUE_ID * is_first) << 16)
        try:
            packet_socket.setsockopt(_SOL_PACKET, _FANOUT, struct.pack("I", word))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise OSError(errno.ENOTSUP, f"this kernel cannot divide it among workers: {os.strerror(errno.EINVAL)}") from error
        if is_first:
            self.group_id = packet_socket.getsockopt(_SOL_PACKET, _FANOUT) & 0xFFFF
            program = address_program(link_header=link_header)
            code = ctypes.create_string_buffer(program, len(program))
            rule = struct.pack("HP", len(program) // INSTRUCTION.size, ctypes.addressof(code))
            packet_socket.setsockopt(_SOL_PACKET, _FANOUT_DATA, rule)
