"""Dividing the packets of one interface among several rings: PACKET_FANOUT (packet(7)) with a rule of our own.

The rule is a classic BPF program over the two addresses, the same for both directions. The kernel's own PACKET_FANOUT_HASH is not
used: it looks at ports where it finds them, so that a first fragment and the whole packets of its flow go to different rings, and it
stops at an IPv6 flow label, so that a flow labelled in one direction alone is split. PACKET_FANOUT_FLAG_DEFRAG would hand over
reassembled packets that were never on the wire. ROLLOVER is left off: it breaks flows apart exactly when there are most of them.

What is neither IPv4 nor IPv6 (behind at most two more VLAN tags than the kernel has taken off) goes to the first ring.
"""

import ctypes
import errno
import os
import socket
import struct

_SOL_PACKET = 263
_FANOUT, _FANOUT_DATA = 18, 22
_FANOUT_CBPF = 6
_FLAG_UNIQUE_ID, _FLAG_IGNORE_OUTGOING = 0x2000, 0x4000
# Opcodes of linux/filter.h.
_LD_ABS, _LD_WORD, _LD_HALF, _LD_IMM = 0x20, 0x40, 0x48, 0x00  # the middle two relative to X
_LD_MEM, _LDX_MEM, _ST = 0x60, 0x61, 0x02
_XOR_X, _MUL, _RSH, _ADD = 0xAC, 0x24, 0x74, 0x04
_JEQ, _JA, _RET_A, _RET = 0x15, 0x05, 0x16, 0x06
_AD_PROTOCOL, _AD_PKTTYPE = 0xFFFFF000, 0xFFFFF004  # SKF_AD_OFF and what lies there
_PACKET_OUTGOING = 4
_TAGS = (0x8100, 0x88A8, 0x9100)
_BASE, _PROTOCOL, _SUM = 0, 1, 2  # scratch memory: where the network header begins, what it is, addresses so far
_GOLDEN = 0x9E3779B1  # 2**32 over the golden ratio (Knuth, The Art of Computer Programming 6.4): spreads neighbours

NOTHING = struct.pack("HBBI", _RET, 0, 0, 0)
"""A filter that keeps no packet: what a ring has until all of its group have joined."""


def _line(opcode: int, value: int = 0, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", opcode, then, otherwise, value)


def address_program(*, link_header: int) -> bytes:
    """The rule: a number for each packet that depends on its unordered pair of addresses alone.

    A packet that arrives is seen from its network header on, one that leaves from its link header (14 bytes, or 0) on.
    """
    base = _line(_LD_ABS, _AD_PKTTYPE) + _line(_JEQ, _PACKET_OUTGOING, 0, 2)
    base += _line(_LD_IMM, link_header) + _line(_JA, 1) + _line(_LD_IMM, 0) + _line(_ST, _BASE)
    base += _line(_LD_ABS, _AD_PROTOCOL) + _line(_ST, _PROTOCOL)
    skip = _line(_LDX_MEM, _BASE) + _line(_LD_HALF, 2) + _line(_ST, _PROTOCOL)
    skip += _line(_LD_MEM, _BASE) + _line(_ADD, 4) + _line(_ST, _BASE)
    tag = _line(_LD_MEM, _PROTOCOL)
    for number, value in enumerate(_TAGS):
        left = len(_TAGS) - 1 - number
        tag += _line(_JEQ, value, left, 0 if left else len(skip) // 8)
    tag += skip
    mix = _line(_MUL, _GOLDEN) + _line(_RSH, 16) + _line(_RET_A)
    four = _line(_LDX_MEM, _BASE) + _line(_LD_WORD, 12) + _line(_ST, _SUM) + _line(_LDX_MEM, _BASE) + _line(_LD_WORD, 16)
    four += _line(_LDX_MEM, _SUM) + _line(_XOR_X) + mix
    six = _line(_LD_IMM, 0) + _line(_ST, _SUM)
    for offset in range(8, 40, 4):
        six += _line(_LDX_MEM, _BASE) + _line(_LD_WORD, offset) + _line(_LDX_MEM, _SUM) + _line(_XOR_X) + _line(_ST, _SUM)
    six += mix
    choose = _line(_LD_MEM, _PROTOCOL) + _line(_JEQ, 0x0800, 2, 0) + _line(_JEQ, 0x86DD, 1 + len(four) // 8, 0) + _line(_RET, 0)
    return base + tag + tag + choose + four + six


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
            rule = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
            packet_socket.setsockopt(_SOL_PACKET, _FANOUT_DATA, rule)
