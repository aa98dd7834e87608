"""Numbers and texts of cells, in every form that agents give them."""

import re
import struct

from netmote.snmp import mib
from netmote.snmp.oid import oid_text
from netmote.snmp.walk import Cell

OPAQUE = 0x44  # RFC 2578 section 7.1.9; net-snmp wraps floats in it
UINTEGER32 = 0x47  # RFC 1442: gone since RFC 1902, still sent
_WIDTH = {mib.COUNTER32: 32, mib.GAUGE32: 32, mib.TIME_TICKS: 32, UINTEGER32: 32, mib.COUNTER64: 64}
_FLOAT = {b"\x9f\x78\x04": ">f", b"\x9f\x79\x08": ">d"}  # opaque-wrapped float and double of net-snmp
_LEADING_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)")
_LONGEST_TEXT = 64  # of a name; agents put whole sentences there


def number(cell: Cell | None) -> float | None:
    """The number in a cell: INTEGER signed, the unsigned types unsigned, floats of net-snmp, texts that begin with one.

    None when there is none.
    """
    if cell is None or not cell.value:
        return None
    if cell.tag == mib.INTEGER:
        return float(int.from_bytes(cell.value, "big", signed=True))
    if cell.tag in _WIDTH:
        return float(int.from_bytes(cell.value, "big") & ((1 << _WIDTH[cell.tag]) - 1))
    if cell.tag == OPAQUE:
        return _wrapped_float(cell.value)
    if cell.tag == mib.OCTET_STRING:
        match = _LEADING_NUMBER.match(cell.value.decode("latin-1"))
        return None if match is None else float(match[1])
    return None


def _wrapped_float(value: bytes) -> float | None:
    form = _FLOAT.get(value[:3])
    if form is None or len(value) != 3 + struct.calcsize(form):
        return None
    number = float(struct.unpack(form, value[3:])[0])
    return number if abs(number) < float("inf") else None  # NaN compares false


def unsigned(cell: Cell | None) -> int | None:
    """A 32-bit count that its MIB calls Integer32 though it outgrows that: a negative one is beyond 2^31."""
    if cell is None or not cell.value or cell.tag not in (mib.INTEGER, mib.GAUGE32, mib.COUNTER32, UINTEGER32):
        return None
    return int.from_bytes(cell.value, "big", signed=cell.tag == mib.INTEGER) & 0xFFFF_FFFF


def integer(cell: Cell | None) -> int | None:
    """An enumeration or a subtype; None when it is none."""
    return None if cell is None or cell.tag != mib.INTEGER or not cell.value else int.from_bytes(cell.value, "big", signed=True)


def counter(cell: Cell | None) -> tuple[int, int] | None:
    """A counter and its width in bits; None when it is of another type."""
    if cell is None or not cell.value or cell.tag not in (mib.COUNTER32, mib.COUNTER64):
        return None
    bits = _WIDTH[cell.tag]
    return int.from_bytes(cell.value, "big") & ((1 << bits) - 1), bits


def text(cell: Cell | None) -> str:
    """A name as people read it: one line, UTF-8 or Latin-1, without padding and control characters, at most 64 characters."""
    if cell is None or cell.tag != mib.OCTET_STRING:
        return ""
    try:
        decoded = cell.value.decode()
    except UnicodeDecodeError:
        decoded = cell.value.decode("latin-1")
    printable = "".join(character if character.isprintable() else " " for character in decoded)
    return " ".join(printable.split())[:_LONGEST_TEXT].strip()


def shown(cell: Cell | None) -> str:
    """A cell for comparison and for people: text, dotted OID, or number."""
    if cell is None:
        return ""
    if cell.tag == mib.OBJECT_IDENTIFIER:
        try:
            return oid_text(cell.value)
        except ValueError:
            return cell.value.hex()
    value = None if cell.tag == mib.OCTET_STRING else number(cell)
    return text(cell) if value is None else f"{value:g}" if value % 1 else str(int(value))
