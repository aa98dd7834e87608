"""One device on a train (`steady_train`): what is known of it, what is in flight for it, and what is told of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.records.fact import Fact
from netmote.records.interface import InterfaceBatch
from netmote.snmp.history import DeviceHistory
from netmote.snmp.reading import DeviceReading, SteadyRows
from netmote.snmp.seat import Seat
from netmote.snmp.steady_questions import Cells


@dataclass(frozen=True, slots=True, eq=False)
class Ridden:
    """One poll of a passenger."""

    began_ns: int  # UTC
    ended_ns: int
    reading: DeviceReading
    batch: InterfaceBatch
    facts: tuple[Fact, ...]
    requests: int
    slowest_seconds: float  # of its answers
    skipped: int  # slots that passed meanwhile


@dataclass(frozen=True, slots=True)
class Alighted:
    """Why a passenger rides no more, and what was asked for nothing in its last poll."""

    reason: str  # "" when it was asked to, or its names are due
    polls: int  # that were whole
    slot: float  # of the poll that was not; else of the next one
    requests: int = 0
    timeouts: int = 0


@dataclass(slots=True, eq=False)
class Passenger:
    """One device on the train."""

    device: str
    history: DeviceHistory
    steady: SteadyRows
    interval: float
    timeout: float  # seconds for a request's answer
    until: float  # monotonic: when it wants off
    slot: float  # monotonic: of its next poll
    seat: Seat
    tell: Callable[[Ridden], None]
    alighted: asyncio.Future[Alighted]
    names: list[tuple[bytes, ...]]  # of the varbinds of each answer
    rows: NDArray[np.int64]  # (questions,): of Names
    requests: NDArray[np.int64]  # (questions,): of the line
    forms: NDArray[np.uint8]  # (questions, MOST_VARBINDS)
    cells: Cells
    bits: NDArray[np.uint8]
    rates: NDArray[np.float64]
    polls: int = 0
    is_off: bool = False
    # Of the poll that is under way:
    places: NDArray[np.int64] | None = None
    asked: int = 0
    open: int = 0  # of those asked
    slots: int = 0  # of the SendWindow that it holds
    sent_at: float = 0.0  # the last of them
    first_sent_at: float = 0.0
    slowest: float = 0.0  # seconds an answer took
    first_at: float = 0.0  # when the first answer had come
    began_ns: int = 0
    began: float = 0.0
