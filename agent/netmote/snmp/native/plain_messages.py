"""Many datagrams at once, from their first octet to the list of varbinds: the plain form that nearly all answers have. Pure, numpy.

What is plain: lengths in at most two octets beside the first, nothing behind the message, a request-id of four octets (as it was sent),
error-status and error-index 0. Whatever is not plain is not wrong: it is for the readers of single messages (`envelope`, `channel`, `pdu`).
Nothing is looked at behind the end of a datagram that could make it plain: rows are read as if zeros followed.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LOOK_AHEAD: Final = 384  # octets that must be readable behind the beginning of each datagram, whatever its size
_LONGEST_COMMUNITY: Final = 127
_NO_ERROR: Final = int.from_bytes(b"\x02\x01\x00\x02\x01\x00", "little")
_SIX_OCTETS: Final = np.uint64((1 << 48) - 1)


class PlainMessages(NamedTuple):
    """(datagrams,) each. Numbers mean nothing where `is_plain` is False."""

    is_plain: NDArray[np.bool_]
    heads: NDArray[np.int64]  # where version and community begin, and end
    pdus: NDArray[np.int64]


class PlainResponses(NamedTuple):
    """(PDUs,) each. `has_id`: the id is there; `is_plain`: it is a Response without an error, all of whose lengths are right."""

    has_id: NDArray[np.bool_]
    is_plain: NDArray[np.bool_]
    ids: NDArray[np.int64]
    lists: NDArray[np.int64]  # where the content of the list begins; it ends where the PDU does


def _enter(
    octets: NDArray[np.uint8], at: NDArray[np.int64], tag: int, ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the content of elements at `at` begins, and which of them have this tag and end where they must."""
    first = octets[at + 1].astype(np.int64)
    more = np.maximum(first - 0x80, 0)
    second, third = octets[at + 2].astype(np.int64), octets[at + 3].astype(np.int64)
    length = np.where(more == 0, first, np.where(more == 1, second, second << 8 | third))
    starts = at + 2 + more
    return starts, (octets[at] == tag) & (first != 0x80) & (more <= 2) & (starts + length == ends)


def community_messages(octets: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> PlainMessages:
    """Messages of v1 and v2c (RFC 1901 section 3): where version and community stand, which are still to be compared."""
    heads, is_plain = _enter(octets, begins, 0x30, ends)
    heads = np.where(is_plain, heads, begins)
    size = octets[heads + 4].astype(np.int64)
    is_plain &= (octets[heads + 3] == 0x04) & (size <= _LONGEST_COMMUNITY)
    pdus = heads + 5 + np.where(is_plain, size, 0)
    is_plain &= pdus + 8 <= ends
    return PlainMessages(is_plain, heads, pdus)


def responses(octets: NDArray[np.uint8], pdus: NDArray[np.int64], ends: NDArray[np.int64]) -> PlainResponses:
    """Response-PDUs (RFC 3416 section 3) that begin at `pdus` and of which nothing is known yet; all of them lie within `octets`."""
    starts, is_plain = _enter(octets, pdus, 0xA2, ends)
    has_id = (octets[starts] == 0x02) & (octets[starts + 1] == 4) & (starts + 6 <= ends) & (octets[pdus] == 0xA2)
    words = np.ndarray((len(octets) - 7,), "<u8", octets, 0, (1,))
    numbers = np.ndarray((len(octets) - 3,), ">i4", octets, 0, (1,))
    ids = numbers[starts + 2].astype(np.int64)
    is_plain &= has_id & ((words[starts + 6] & _SIX_OCTETS) == _NO_ERROR)
    lists, is_list = _enter(octets, starts + 12, 0x30, ends)
    return PlainResponses(has_id, is_plain & is_list, ids, lists)
