"""Answers of many devices that have the form of those before: their numbers read all at once. The hot path of polling.

    question   what is asked of one device in one GETBULK; its row here says which names its answer must hold (shared by devices)
    form       type and length of each value of one device's answer to one question, as they came the last time
    answer     octets, a question and a form

Where every octet that is not a value is the one expected, the values lie at known places. What is compared is all there is: the header
and name of each varbind, its type, its length, and that the lengths add up. Where a length changed, `refit` reads that one answer again by
the reader of single varbinds (`native.varbinds`) and gives its new form; for anything else that reader decides. Pure, numpy.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netmote.snmp import mib
from netmote.snmp.native.ber import BerError
from netmote.snmp.native.varbinds import read_varbinds

MOST_VARBINDS: Final = 72  # an answer; rows are padded to it
LOOK_AHEAD: Final = 32  # octets that must be readable behind the last answer
_HEADERS = 4  # octets before the name: 30 LL 06 LL
_SHORTEST_FRONT, _LONGEST_FRONT = (
    8,
    22,
)  # octets before the value's tag: one pair of words at the start and one at the end cover them
_LONGEST_VALUE = 8
_KINDS: Final = (mib.INTEGER, mib.COUNTER32, mib.GAUGE32, mib.TIME_TICKS, mib.COUNTER64)
_KIND_OF: Final = {tag: kind for kind, tag in enumerate(_KINDS)}
_WIDTHS: Final = {mib.INTEGER: 4, mib.COUNTER32: 4, mib.GAUGE32: 4, mib.TIME_TICKS: 4, mib.COUNTER64: 8}
TAG_OF_KIND: Final = np.array([*_KINDS, 0, 0, 0], np.uint8)
PADDING: Final = 0x70  # the form of a varbind that is none: a kind of its own, no octets


def _tables() -> tuple[NDArray[np.uint64], ...]:
    """By form (kind << 4 | length): tag and length where they stand in the last word of the front, the bits of the value, and those that
    make it one for the reader of single varbinds: a sign octet left out, octets above the type's width, no octets.
    """
    behind, content = np.zeros(256, np.uint64), np.zeros(256, np.uint64)
    doubtful = np.full(256, (1 << 64) - 1, np.uint64)
    for tag, width in _WIDTHS.items():
        for length in range(1, _LONGEST_VALUE + 1):
            form, whole = _KIND_OF[tag] << 4 | length, (1 << 8 * length) - 1
            behind[form] = tag << 48 | length << 56
            content[form] = whole
            bits = whole >> 8 * width << 8 * width
            if length < width and tag != mib.INTEGER:
                bits = 0x80 << 8 * (length - 1)
            doubtful[form] = bits
    return behind, content, doubtful


_BEHIND, _CONTENT, _DOUBTFUL = _tables()
_IS_PADDING: Final = np.array([np.uint64(0) if form == PADDING else ~np.uint64(0) for form in range(256)], np.uint64)


def forms_of(answer: bytes, names: Sequence[bytes]) -> NDArray[np.uint8] | None:
    """(MOST_VARBINDS,): the form of an answer, given as the content of its list, to a question with these names.

    None where it holds other names, what is no number, or a number that the reader of single varbinds finds doubtful.
    """
    try:
        varbinds = read_varbinds(answer, 0, len(answer))
    except BerError:
        return None
    if [varbind.oid for varbind in varbinds] != list(names):
        return None
    if any(varbind.tag not in _KIND_OF or not 0 < len(varbind.value) <= _LONGEST_VALUE for varbind in varbinds):
        return None
    forms = np.full(MOST_VARBINDS, PADDING, np.uint8)
    forms[: len(varbinds)] = [_KIND_OF[varbind.tag] << 4 | len(varbind.value) for varbind in varbinds]
    return forms


def fits(names: Sequence[bytes]) -> bool:
    """Whether answers with these names can be read here."""
    fronts = [_HEADERS + len(name) for name in names]
    return 0 < len(names) <= MOST_VARBINDS and min(fronts) >= _SHORTEST_FRONT and max(fronts) <= _LONGEST_FRONT


class Names:
    """What the answers to questions must hold besides values: a row a question, shared by all who ask the same. Grows, and is bounded."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[tuple[bytes, ...], int] = {}
        self._users: dict[int, int] = {}
        self._free: list[int] = []
        self.names: list[tuple[bytes, ...]] = []
        self._spans = np.zeros((0, MOST_VARBINDS), np.uint8)  # octets of each varbind without those of its value
        self._starts = np.zeros((0, MOST_VARBINDS, 2), np.uint64)  # its first 16 octets, as if the value had none
        self._masks = np.zeros((0, MOST_VARBINDS, 2), np.uint64)  # which of these are of the front
        self._tails = np.zeros((0, MOST_VARBINDS), np.uint64)  # the six octets before the tag

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, names: tuple[bytes, ...]) -> int | None:
        """The row of a question whose answer has these names, until `give_back`; None where they do not fit, or too many are held."""
        row = self._rows.get(names)
        if row is None:
            if not fits(names) or len(self._rows) >= self._most:
                return None
            row = self._free.pop() if self._free else self._grown()
            self._write(row, names)
            self._rows[names], self._users[row] = row, 0
        self._users[row] += 1
        return row

    def give_back(self, row: int) -> None:
        self._users[row] -= 1
        if not self._users[row]:
            del self._users[row], self._rows[self.names[row]]
            self.names[row] = ()
            self._free.append(row)

    def _grown(self) -> int:
        rows = len(self.names)
        if rows == len(self._spans):
            more = max(16, rows // 2)
            self._spans, self._starts, self._masks, self._tails = (
                np.concatenate([each, np.zeros((more, *each.shape[1:]), each.dtype)])
                for each in (self._spans, self._starts, self._masks, self._tails)
            )
        self.names.append(())
        return rows

    def _write(self, row: int, names: tuple[bytes, ...]) -> None:
        self.names[row] = names
        for table in (self._spans, self._starts, self._masks, self._tails):
            table[row] = 0
        fronts = [bytes((0x30, len(name) + _HEADERS, 0x06, len(name))) + name for name in names]
        count = len(names)
        self._spans[row, :count] = [len(front) + 2 for front in fronts]
        self._starts[row, :count] = np.frombuffer(b"".join(front[:16].ljust(16, b"\0") for front in fronts), "<u8").reshape(-1, 2)
        masks = b"".join((b"\xff" * min(len(front), 16)).ljust(16, b"\0") for front in fronts)
        self._masks[row, :count] = np.frombuffer(masks, "<u8").reshape(-1, 2)
        self._tails[row, :count] = np.frombuffer(b"".join(front[-6:] + b"\0\0" for front in fronts), "<u8")

    def read(
        self,
        octets: NDArray[np.uint8],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        questions: NDArray[np.intp],
        forms: NDArray[np.uint8],
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Numbers of answers, and which of the answers are all that was expected.

        `octets` (n,) hold the content of lists from `begins` to `ends` (answers,), and LOOK_AHEAD octets behind the last; `questions`
        (answers,) are rows of this table; `forms` (answers, MOST_VARBINDS). Returns uint64 (answers, MOST_VARBINDS), which mean nothing
        where the second (answers,) is False.
        """
        spans = self._spans[questions]
        lengths = forms & np.uint8(0x0F)
        stops = np.cumsum(spans + lengths, axis=1, dtype=np.int64)
        is_right = begins + stops[:, -1] == ends
        stops += begins[:, None]
        if not is_right.all():  # places behind the buffer are not looked at
            np.minimum(stops, len(octets) - LOOK_AHEAD, out=stops)
        values_at = stops - lengths
        starts_at = values_at - spans
        size = len(octets)
        # Unaligned views: entry i is the word, or the pair of them, that begins at octet i.
        words = np.ndarray((size - 7,), "<u8", octets, 0, (1,))
        pairs = np.ndarray((size - 15,), "<c16", octets, 0, (1,))
        starts: NDArray[np.uint64] = pairs[starts_at].view("<u8").reshape(*starts_at.shape, 2)
        expected = self._starts[questions]
        expected[..., 0] += lengths.astype(np.uint64) << np.uint64(8)  # the varbind's own length, its second octet
        starts ^= expected
        starts &= self._masks[questions]
        form_places = forms.astype(np.intp)
        wrong: NDArray[np.uint64] = words[values_at - 8] ^ self._tails[questions]
        wrong ^= _BEHIND.take(form_places)
        wrong |= starts[..., 0]
        wrong |= starts[..., 1]
        values: NDArray[np.uint64] = words[stops - 8].view(">u8").astype(np.uint64)
        values &= _CONTENT.take(form_places)
        wrong |= values & _DOUBTFUL.take(form_places)
        wrong &= _IS_PADDING.take(form_places)
        return values, is_right & ~wrong.any(axis=1)
