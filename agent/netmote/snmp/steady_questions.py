"""How the known rows of a device are spread over questions, and where their numbers stand in the answers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netmote.records.interface import INTERFACE_COUNTERS
from netmote.snmp.reading import STEADY_COLUMNS, STEADY_COUNTERS, STEADY_STATES, DeviceReading, SteadyRows
from netmote.snmp.session import Question
from netmote.snmp.steady_answers import MOST_VARBINDS

MOST_OCTETS: Final = 1_400  # of an answer, so that it is not fragmented
ZERO_CELL: Final = MOST_VARBINDS - 1  # of the first question: padding, which reads as 0
_AROUND: Final = 64  # octets of a message around its list of varbinds; v3 has about 140 more
_SCALAR: Final = 24  # octets of its varbind


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the numbers of rows stand in answers; shared by devices whose rows are spread alike over questions."""

    counters: NDArray[np.intp]  # (ports * counters,) in (questions * MOST_VARBINDS,)
    states: NDArray[np.intp]  # (3 * ports,): ifAdminStatus, ifOperStatus, ifCounterDiscontinuityTime
    ports: int


def questions_of(steady: SteadyRows, sizes: Sequence[int], most_octets: int) -> tuple[list[Question], list[int]]:
    """Questions for all rows, whose answers stay within so many octets, and how many rows each asks for. `sizes` are octets a row."""
    questions, counts, begin = list[Question](), list[int](), 0
    while begin < len(steady.rows):
        scalars = steady.scalars if not begin else steady.scalars[:1]
        room = MOST_VARBINDS - 1 - len(scalars)  # one is kept as ZERO_CELL
        end, octets = begin, _AROUND + _SCALAR * len(scalars)
        while end < len(steady.rows) and end - begin < steady.max_repetitions and room >= len(STEADY_COLUMNS):
            octets += sizes[end]
            if end > begin and octets > most_octets:
                break
            room -= len(STEADY_COLUMNS)
            end += 1
        before = steady.rows[begin - 1] if begin else b""
        questions.append(Question(scalars, tuple(column + before for column in STEADY_COLUMNS), end - begin))
        counts.append(end - begin)
        begin = end
    return questions, counts


def names_of(question: Question, rows: Sequence[bytes]) -> tuple[bytes, ...]:
    """The names that the answer to a question for these rows must hold."""
    scalars = [scalar + b"\0" for scalar in question.non_repeaters]
    return (*scalars, *(column + row for row in rows for column in STEADY_COLUMNS))


def row_octets(steady: SteadyRows, reading: DeviceReading) -> list[int]:
    """Octets of each row's varbinds in an answer, as far as the last reading tells, with an octet to grow for each value."""
    names = sum(map(len, STEADY_COLUMNS)) + 6 * len(STEADY_COLUMNS)
    values = reading.counters.values[:, STEADY_COUNTERS]
    lengths = np.ones(values.shape, np.int64)
    for octets in range(1, 9):
        lengths += values >= np.uint64(1 << (8 * octets - 1))
    whole = lengths.sum(axis=1) + 3 + 3  # the states, and a little for growth
    return [names + len(STEADY_COLUMNS) * len(row) + int(size) for row, size in zip(steady.rows, whole, strict=True)]


@lru_cache(1_024)
def cells_of(scalars: int, counts: tuple[int, ...]) -> Cells:
    """Where the numbers stand when the first question has so many scalars, the others one, and each so many rows."""
    width = len(STEADY_COLUMNS)
    firsts = []
    for question, count in enumerate(counts):
        begin = question * MOST_VARBINDS + (1 if question else scalars)
        firsts += [begin + width * row for row in range(count)]
    first = np.array(firsts, np.intp)
    counters = np.full((len(firsts), len(INTERFACE_COUNTERS)), ZERO_CELL, np.intp)
    counters[:, STEADY_COUNTERS] = first[:, None] + np.arange(len(STEADY_COUNTERS))
    states = first[None, :] + np.arange(STEADY_STATES.start, width)[:, None]
    return Cells(counters.reshape(-1), states.reshape(-1), len(firsts))
