"""DNS messages (RFC 1035 section 4.1) in UDP payloads: header bits, and length and entropy of the question name."""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import rows_at
from netmote.capture.packets import DnsColumns

DNS_PORT = 53
_HEADER = 12
_LONGEST_NAME = 255  # RFC 1035 section 2.3.4
_LONGEST_LABEL = 63
_ROWS = 512  # names worked on at once: their histograms fit the cache
_FIXED = 40  # fractional bits of the logarithms: sums are integers, so no order of summation can change them
_COUNTS = np.arange(_LONGEST_NAME + 2, dtype="f8")
_LOG2 = np.rint(np.log2(np.maximum(_COUNTS, 1.0)) * 2.0**_FIXED).astype("i8")
_COUNT_LOG2 = np.rint(_COUNTS * np.log2(np.maximum(_COUNTS, 1.0)) * 2.0**_FIXED).astype("i8")
_LOWER = np.arange(256, dtype="u1")
_LOWER[0x41:0x5B] += 0x20  # names compare without case (RFC 4343), and resolvers randomise it on purpose


def question_names(
    buffer: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Characters and entropy of the names at `start`: (octets, millibits per character), each (n,) u4.

    A name ends at its root label, at a compression pointer, or where the bytes end; labels cut off do not count.
    Characters are the labels joined by dots. Entropy is round(1000 * H) of the lower-cased characters.
    """
    octets = np.zeros(len(start), "u4")
    millibits = np.zeros(len(start), "u4")
    for first in range(0, len(start), _ROWS):
        part = slice(first, first + _ROWS)
        octets[part], millibits[part] = _names(rows_at(buffer, start[part], _LONGEST_NAME), end[part] - start[part])
    return octets, millibits


def _names(text: NDArray[np.uint8], available: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    count = len(text)
    available = np.minimum(available, _LONGEST_NAME)
    stop = np.zeros(count, "i8")  # end of the last whole label
    walking = np.arange(count)
    while len(walking):
        at = stop[walking]
        walking, at = walking[at < available[walking]], at[at < available[walking]]
        length = text[walking, at].astype("i8")
        whole = (length > 0) & (length <= _LONGEST_LABEL) & (at + 1 + length <= available[walking])
        walking, at, length = walking[whole], at[whole], length[whole]
        text[walking, at] = ord(".")  # the length byte of a label stands where the dot is written
        stop[walking] = at + 1 + length
    octets = np.maximum(stop - 1, 0)  # the first label has no dot before it
    column = np.arange(text.shape[1])
    row, where = np.nonzero((column >= 1) & (column < stop[:, None]))
    histogram = np.bincount(row * 256 + _LOWER[text[row, where]], minlength=count * 256).reshape(count, 256)
    spread = _LOG2[octets] * octets - _COUNT_LOG2[histogram].sum(axis=1)
    millibits = (1000 * (spread // np.maximum(octets, 1)) + (1 << (_FIXED - 1))) >> _FIXED
    return octets.astype("u4"), np.maximum(millibits, 0).astype("u4")


def dns_columns(
    buffer: NDArray[np.uint8], position: NDArray[np.int64], payload: NDArray[np.int64], end: NDArray[np.int64]
) -> DnsColumns:
    """Decode the messages at `payload` (absolute offsets, bytes up to `end`) of the packets at `position`; too short ones are none."""
    whole = payload + _HEADER <= end
    position, payload, end = position[whole], payload[whole], end[whole]
    header = rows_at(buffer, payload, _HEADER)
    is_response = (header[:, 2] & 0x80) != 0
    octets = np.zeros(len(position), "u4")
    millibits = np.zeros(len(position), "u4")
    asked = np.flatnonzero(~is_response & ((header[:, 4] | header[:, 5]) != 0))
    if len(asked):
        octets[asked], millibits[asked] = question_names(buffer, payload[asked] + _HEADER, end[asked])
    response_code = np.where(is_response, header[:, 3] & 0x0F, 0).astype("u1")
    return DnsColumns(position, is_response, response_code, octets, millibits)
