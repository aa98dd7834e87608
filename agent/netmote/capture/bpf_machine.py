"""Classic BPF (linux/filter.h) over many frames at once, in numpy: what the kernel's filter does live, for frames that lie in memory.

Jumps only lead forward, so instructions are taken in their order, each for all frames that have come there: the cost of a packet is
that of the instructions it meets. A load outside the captured bytes rejects a frame, as it does in libpcap.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmote.capture.bpf_program import INSTRUCTION
from netmote.capture.frames import LINKTYPE_ETHERNET, Frames, rows_at

_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_IMM, _ABS, _IND, _MEM, _LEN, _MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_WIDTHS = {0x00: 4, 0x08: 2, 0x10: 1}
_ADD, _SUB, _MUL, _DIV, _OR, _AND, _LSH, _RSH, _NEG, _MOD, _XOR = (kind << 4 for kind in range(11))
_JA, _JEQ, _JGT, _JGE, _JSET = (kind << 4 for kind in range(5))
_SOURCE_X, _RET_A, _TXA = 0x08, 0x10, 0x80
_MEMORY_WORDS = 16
_LOW = np.uint64(0xFFFF_FFFF)
_TAGS = (0x8100, 0x88A8)  # the tags that the kernel takes off (eth_type_vlan of linux/if_vlan.h)

Words = NDArray[np.uint64]  # 32-bit values, so that sums are cut, not overflowing
Rows = NDArray[np.int64]


class _Line(NamedTuple):
    """struct sock_filter."""

    code: int
    then: int
    otherwise: int
    value: int


def run(program: bytes, frames: Frames) -> NDArray[np.uint32]:
    """(n,) what the program returns for each frame, seen without its outer VLAN tag: bytes to keep, 0 for none.

    Raises ValueError for what is no program: an unknown instruction, or a way past its end.
    """
    code = [_Line(*line) for line in INSTRUCTION.iter_unpack(program)]
    machine = _Machine(frames)
    waiting: list[list[Rows]] = [[] for _ in code]
    if not code:
        raise ValueError("a program has at least one instruction")
    waiting[0].append(np.arange(len(frames)))
    for number, line in enumerate(code):
        rows = [part for part in waiting[number] if len(part)]
        waiting[number] = []
        if not rows:
            continue
        for step, part in machine.step(line, rows[0] if len(rows) == 1 else np.concatenate(rows)):
            if number + 1 + step >= len(code):
                raise ValueError(f"instruction {number} leads past the end")
            waiting[number + 1 + step].append(part)
    return machine.result


class _Machine:
    """Registers and memory of every frame's own run."""

    def __init__(self, frames: Frames) -> None:
        count = len(frames)
        self.result = np.zeros(count, "u4")
        self._a = np.zeros(count, "u8")
        self._x = np.zeros(count, "u8")
        self._memory = np.zeros((_MEMORY_WORDS, count), "u8")
        self._buffer, self._offset, self._captured = frames.buffer, frames.offset, frames.captured
        self._length = frames.wire_length.astype("i8")
        if frames.is_tagged is not None:
            self._length -= 4 * frames.is_tagged
        self._shift: Rows | None = None  # what a tag in the frame moves the bytes behind it
        if frames.link_type == LINKTYPE_ETHERNET:
            self._look_for_tags(frames)

    def _look_for_tags(self, frames: Frames) -> None:
        everyone = np.arange(len(frames))
        kind, has_kind = self._load(everyone, np.full(len(frames), 12), 2)
        tagged = has_kind & ((kind == _TAGS[0]) | (kind == _TAGS[1])) & (frames.captured >= 18)
        if frames.is_tagged is not None:
            tagged &= ~frames.is_tagged
        if tagged.any():
            self._shift = np.where(tagged, 4, 0)
            self._length -= self._shift
            self._captured = frames.captured - self._shift

    def step(self, line: _Line, rows: Rows) -> list[tuple[int, Rows]]:
        """Do one instruction for the frames at `rows`; how many instructions each part of them leaves out next."""
        code, _, _, value = line
        kind = code & 0x07
        if kind == _RET:
            self.result[rows] = self._a[rows] if code & _RET_A else value
            return []
        if kind == _JMP:
            return self._jump(line, rows)
        if kind in (_LD, _LDX):
            rows, loaded = self._loaded(code, value, rows)
            (self._a if kind == _LD else self._x)[rows] = loaded
        elif kind in (_ST, _STX):
            self._memory[value, rows] = (self._a if kind == _ST else self._x)[rows]
        elif kind == _ALU:
            rows = self._calculate(line, rows)
        elif code & 0xF8 == _TXA:
            self._a[rows] = self._x[rows]
        else:
            self._x[rows] = self._a[rows]
        return [(0, rows)]

    def _operand(self, line: _Line, rows: Rows) -> Words:
        return self._x[rows] if line.code & _SOURCE_X else np.broadcast_to(np.uint64(line.value), rows.shape)

    def _jump(self, line: _Line, rows: Rows) -> list[tuple[int, Rows]]:
        kind, operand = line.code & 0xF0, self._operand(line, rows)
        a = self._a[rows]
        if kind == _JA:
            return [(line.value, rows)]
        if kind == _JEQ:
            holds = a == operand
        elif kind == _JGT:
            holds = a > operand
        elif kind == _JGE:
            holds = a >= operand
        elif kind == _JSET:
            holds = (a & operand) != 0
        else:
            raise ValueError(f"unknown jump {kind:#x}")
        return [(line.then, rows[holds]), (line.otherwise, rows[~holds])]

    def _loaded(self, code: int, value: int, rows: Rows) -> tuple[Rows, "Words | np.uint64"]:
        """What a load finds, and for which frames: the others are rejected."""
        mode = code & 0xE0
        if mode == _IMM:
            return rows, np.uint64(value)
        if mode == _LEN:
            return rows, self._length[rows].astype("u8")
        if mode == _MEM:
            return rows, self._memory[value, rows]
        place = np.full(len(rows), value)
        if mode == _MSH:
            found, is_there = self._load(rows, place, 1)
            return rows[is_there], (found[is_there] & np.uint64(0x0F)) << np.uint64(2)
        if mode not in (_ABS, _IND):
            raise ValueError(f"unknown load {code:#x}")
        if mode == _IND:
            place += self._x[rows].astype("i8")
        found, is_there = self._load(rows, place, _WIDTHS[code & 0x18])
        return rows[is_there], found[is_there]

    def _load(self, rows: Rows, place: Rows, width: int) -> tuple[Words, NDArray[np.bool_]]:
        """Big-endian words of the frames, and which of them lie within the captured bytes."""
        is_there = place + width <= self._captured[rows]
        place = np.where(is_there, place, 0)
        offset = self._offset[rows]
        if self._shift is None:
            return rows_at(self._buffer, offset + place, width).view(f">u{width}").reshape(-1).astype("u8"), is_there
        word = np.zeros(len(rows), "u8")
        for byte in range(width):  # a word may begin before a tag and end behind it
            at = place + byte
            at += self._shift[rows] * (at >= 12)
            word = word << np.uint64(8) | self._buffer[offset + at]
        return word, is_there

    def _calculate(self, line: _Line, rows: Rows) -> Rows:
        """Arithmetic of 32 bits; frames that would divide by zero are rejected."""
        kind, operand = line.code & 0xF0, self._operand(line, rows)
        if kind in (_DIV, _MOD):
            is_possible = operand != 0
            rows, operand = rows[is_possible], operand[is_possible]
        a = self._a[rows]
        if kind in (_LSH, _RSH):
            shifted = a << np.minimum(operand, 63) if kind == _LSH else a >> np.minimum(operand, 63)
            a = np.where(operand < 32, shifted, 0).astype("u8")
        elif kind == _NEG:
            a = np.uint64(0) - a
        else:
            a = _ARITHMETIC[kind](a, operand)
        self._a[rows] = a & _LOW
        return rows


_ARITHMETIC = {
    _ADD: np.add,
    _SUB: np.subtract,
    _MUL: np.multiply,
    _DIV: np.floor_divide,
    _MOD: np.remainder,
    _OR: np.bitwise_or,
    _AND: np.bitwise_and,
    _XOR: np.bitwise_xor,
}
