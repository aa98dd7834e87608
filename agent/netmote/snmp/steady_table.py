"""Answers that have the form of those of the poll before: their numbers read all at once. The hot path of polling.

A device whose rows stay answers the same questions with the same names and types, and mostly as many octets for each value. Where every
octet that is not a value is the one expected, the values lie at known places, and one pass over all answers of a poll takes them out:
0.05 us a varbind, where the reader of single varbinds (`native.varbinds`) takes 0.46. Anything else gives None, and that reader decides.

`AskedTable` is what is asked, and is shared by devices of the same rows; `SteadyTable` is the form of one device's answers, 2 octets a
varbind. Neither knows what the numbers mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netmote.snmp import mib
from netmote.snmp.session import Question, Varbind

SHARED_TABLES: Final = 512  # kept for devices with the same rows; about 40 kB each for 48 ports

_HEADERS = 4  # octets before the name: 30 LL 06 LL
_SHORTEST_FRONT, _LONGEST_FRONT = 8, 24  # octets before the value's tag; compared as three words that overlap
_LONGEST_VALUE = 8
_WIDTHS = {mib.INTEGER: 4, mib.COUNTER32: 4, mib.GAUGE32: 4, mib.TIME_TICKS: 4, mib.COUNTER64: 8}


def _masks() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """By `tag | length << 8`: the bits of a value of that length, and those that make it one for the reader of single varbinds.

    These are a sign octet left out, and octets above the type's width (see `native.varbinds`). No length: no value.
    """
    content, doubtful = np.zeros(1 << 16, np.uint64), np.full(1 << 16, (1 << 64) - 1, np.uint64)
    for length in range(1, _LONGEST_VALUE + 1):
        whole = (1 << 8 * length) - 1
        for tag, width in _WIDTHS.items():
            content[tag | length << 8] = whole
            bits = whole >> 8 * width << 8 * width
            if length < width and tag != mib.INTEGER:
                bits = 0x80 << 8 * (length - 1)
            doubtful[tag | length << 8] = bits
    return content, doubtful


_CONTENT, _DOUBTFUL = _masks()


@dataclass(frozen=True, slots=True, eq=False)
class AskedTable:
    """Known rows of some columns, asked `step` rows at a time, each time with the same scalars."""

    questions: tuple[Question, ...]
    names: tuple[tuple[bytes, ...], ...]  # of the varbinds expected, by question; a scalar's with its instance
    shape: tuple[int, int]  # rows, columns
    fronts: NDArray[np.int64]  # (varbinds,): octets of each before the value's tag
    words: NDArray[np.uint64]  # (3, varbinds): these octets, as if the value had none
    word_at: NDArray[np.int64]  # (3, varbinds): where the words begin
    length_place: NDArray[np.uint64]  # (3, varbinds): 1 in the octet of the word that is the varbind's length; 0 where none is
    begins: NDArray[np.int64]  # (questions,): the first varbind of each answer, which is the first scalar
    cells: NDArray[np.int64]  # (rows * columns,): the varbinds that are cells, row by row


@lru_cache(SHARED_TABLES)
def asked_table(columns: tuple[bytes, ...], rows: tuple[bytes, ...], scalars: tuple[bytes, ...], step: int) -> AskedTable | None:
    """The table of `columns` and the octets of its `rows`; None where names are too long for it."""
    questions, names = [], []
    for begin in range(0, len(rows), step):
        some = rows[begin : begin + step]
        before = rows[begin - 1] if begin else b""
        questions.append(Question(scalars, tuple(column + before for column in columns), len(some)))
        cells = [column + row for row in some for column in columns]
        names.append((*(scalar + b"\0" for scalar in scalars), *cells))
    flat = [name for answer in names for name in answer]
    fronts = np.array([_HEADERS + len(name) for name in flat], np.int64)
    if not len(fronts) or fronts.min() < _SHORTEST_FRONT or fronts.max() > _LONGEST_FRONT:
        return None
    word_at = np.stack([np.zeros_like(fronts), np.maximum(fronts - 16, 0), fronts - 8])
    expected = [bytes((0x30, len(name) + _HEADERS, 0x06, len(name))) + name for name in flat]
    words = [
        [int.from_bytes(octets[at : at + 8], "little") for octets, at in zip(expected, each, strict=True)] for each in word_at
    ]
    sizes = [len(answer) for answer in names]
    begins = np.cumsum([0, *sizes[:-1]])
    is_cell = np.ones(len(flat), np.bool_)
    for number in range(len(scalars)):
        is_cell[begins + number] = False
    return AskedTable(
        questions=tuple(questions),
        names=tuple(names),
        shape=(len(rows), len(columns)),
        fronts=fronts,
        words=np.array(words, np.uint64),
        word_at=word_at,
        length_place=np.where(word_at == 0, 1 << 8, word_at == 1).astype(np.uint64),
        begins=begins,
        cells=np.flatnonzero(is_cell),
    )


class SteadyTable:
    """The form of one device's answers to an AskedTable."""

    __slots__ = ("_forms", "_sizes", "asked")

    def __init__(self, asked: AskedTable, forms: NDArray[np.uint16], sizes: tuple[int, ...]) -> None:
        self.asked, self._forms, self._sizes = asked, forms, sizes

    @classmethod
    def learn(cls, asked: AskedTable, answers: Sequence[Sequence[Varbind]], octets: Sequence[bytes]) -> "SteadyTable | None":
        """The form of `answers`, which were read one by one from `octets`; None where they are not what was asked, or no numbers."""
        if [tuple(varbind.oid for varbind in answer) for answer in answers] != list(asked.names):
            return None
        flat = [varbind for answer in answers for varbind in answer]
        if any(varbind.tag not in _WIDTHS or not 0 < len(varbind.value) <= _LONGEST_VALUE for varbind in flat):
            return None
        forms = np.array([varbind.tag | len(varbind.value) << 8 for varbind in flat], np.uint16)
        table = cls(asked, forms, tuple(map(len, octets)))
        return table if table.read(octets) is not None else None  # long forms of lengths are told here

    @property
    def tags(self) -> NDArray[np.uint16]:
        """(rows, columns): the type of each cell."""
        return (self._forms[self.asked.cells] & np.uint16(0xFF)).reshape(self.asked.shape)

    def scalars(self, numbers: NDArray[np.uint64], answer: int) -> dict[bytes, Varbind]:
        """The scalars of one answer out of what `read` gave, under the names by which they were asked; numbers in full width."""
        asked, begin = self.asked, int(self.asked.begins[answer])
        return {
            name: Varbind(
                asked.names[answer][place], int(self._forms[begin + place]) & 0xFF, int(numbers[begin + place]).to_bytes(8, "big")
            )
            for place, name in enumerate(asked.questions[answer].non_repeaters)
        }

    def read(self, octets: Sequence[bytes]) -> NDArray[np.uint64] | None:
        """(varbinds,): the numbers of all answers, given as the content of their lists; None unless every other octet is as expected."""
        if tuple(map(len, octets)) != self._sizes:
            return None
        joined, asked, forms = b"".join(octets), self.asked, self._forms
        lengths = (forms >> np.uint16(8)).astype(np.int64)
        ends = np.cumsum(asked.fronts + 2 + lengths)
        if ends[-1] != len(joined):
            return None
        value_at = ends - lengths
        starts = value_at - 2 - asked.fronts
        # Unaligned views: entry i is the word that begins at octet i.
        words = np.ndarray((len(joined) - 7,), "<u8", joined, 0, (1,))
        pairs = np.ndarray((len(joined) - 1,), "<u2", joined, 0, (1,))
        expected = asked.words + asked.length_place * lengths.view(np.uint64)
        if not np.array_equal(words[starts + asked.word_at], expected) or not np.array_equal(pairs[value_at - 2], forms):
            return None
        values = np.asarray(words[ends - 8].view(">u8") & _CONTENT[forms], np.uint64)
        return None if (values & _DOUBTFUL[forms]).any() else values
