"""Capture files built byte by byte: every variant a reader must know, and damage at a chosen place."""

import struct

SECOND = 1_000_000_000


def pcap(
    packets: list[tuple[int, bytes]], *, order: str = "<", nano: bool = False, link_type: int = 1, modified: bool = False
) -> bytes:
    """A classic pcap file of (time in ns, frame)."""
    magic = 0xA1B23C4D if nano else 0xA1B2CD34 if modified else 0xA1B2C3D4
    out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for time, frame in packets:
        fraction = time % SECOND if nano else time % SECOND // 1000
        out.append(struct.pack(f"{order}IIII", time // SECOND, fraction, len(frame), len(frame)))
        out.append((b"\0" * 8 if modified else b"") + frame)
    return b"".join(out)


def block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    """One pcapng block."""
    body += b"\0" * (-len(body) % 4)
    length = 12 + len(body)
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)


def option(code: int, value: bytes, *, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(*, order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order=order)


def interface(
    *, link_type: int = 1, name: str = "", resolution: int | None = None, offset: int | None = None, order: str = "<"
) -> bytes:
    options = option(2, name.encode(), order=order) if name else b""
    options += option(9, bytes([resolution]), order=order) if resolution is not None else b""
    options += option(14, struct.pack(f"{order}q", offset), order=order) if offset is not None else b""
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 0) + options, order=order)


def enhanced(ticks: int, frame: bytes, *, number: int = 0, order: str = "<") -> bytes:
    fixed = struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, fixed + frame, order=order)


def statistics(dropped: int, *, number: int = 0, order: str = "<") -> bytes:
    return block(
        5, struct.pack(f"{order}III", number, 0, 0) + option(5, struct.pack(f"{order}Q", dropped), order=order), order=order
    )
