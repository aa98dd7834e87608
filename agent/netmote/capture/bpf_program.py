"""Writing a classic BPF program (linux/filter.h): instructions with named targets, and the octets the kernel takes.

Owns the two-sided jumps and the layout of an instruction. Refuses to know what a program is for (`snap_filter`, `fanout`).
"""

import struct

INSTRUCTION = struct.Struct("HBBI")
"""struct sock_filter of linux/filter.h, and struct bpf_insn of libpcap: code, jump if true, jump if false, value."""


class BpfProgram:
    """A program being written. A load outside the packet ends it with 0: whoever loads asks for the length first."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, str | None, str | None]] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        """Name the next instruction."""
        self._labels[name] = len(self._code)

    def add(self, opcode: int, value: int = 0) -> None:
        """An instruction that goes on with the next one, or returns."""
        self._code.append((opcode, value, None, None))

    def jump(self, opcode: int, value: int, *, then: str | None = None, otherwise: str | None = None) -> None:
        """A conditional jump; unset: on to the next instruction."""
        self._code.append((opcode, value, then, otherwise))

    def assemble(self) -> bytes:
        """The instructions, jumps resolved. Raises KeyError for a name that labels nothing."""
        lines = []
        for number, (opcode, value, then, otherwise) in enumerate(self._code):
            to = [0 if name is None else self._labels[name] - number - 1 for name in (then, otherwise)]
            lines.append(INSTRUCTION.pack(opcode, to[0], to[1], value))
        return b"".join(lines)
