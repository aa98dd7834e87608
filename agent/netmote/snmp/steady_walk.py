"""A walk over rows that are known, all answers of which have the form of those before; or else an ordinary walk over the same answers.

Owns the order of asking and the hand-over. What does not fit is read and walked as `walk` does, from the answers that are there already:
nothing is asked twice, unless it got no answer or could not be read. Refuses meaning: numbers by row and column.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.snmp.native.ber import BerError
from netmote.snmp.native.varbinds import read_varbinds
from netmote.snmp.session import AsksTogether, Question, Reply, SnmpSession, UnreadReply, Varbind
from netmote.snmp.session_around import SessionAround
from netmote.snmp.steady_table import AskedTable, SteadyTable, asked_table
from netmote.snmp.walk import MAX_VARBINDS, Rows, Walk


@dataclass(frozen=True, slots=True, eq=False)
class SteadyWalk:
    """All cells of one walk, which were as many and of the types they were before."""

    numbers: NDArray[np.uint64]  # (rows, columns), unsigned as they came
    tags: NDArray[np.uint16]  # same shape
    walk: Walk  # the rest: scalars and times, without cells


class Answered(SessionAround[SnmpSession]):
    """A session that has some answers already: each is given once to who asks its question, every other question goes on to `session`.

    Implements SnmpSession. `monotonic` tells when the answer that was given last had arrived.
    """

    def __init__(self, session: SnmpSession, monotonic: Callable[[], float]) -> None:
        super().__init__(session)
        self._clock = monotonic
        self._replies: dict[Question, tuple[Reply, float]] = {}
        self._arrived_at: float | None = None

    def keep(self, question: Question, reply: Reply, arrived_at: float) -> None:
        self._replies[question] = reply, arrived_at

    def monotonic(self) -> float:
        arrived_at, self._arrived_at = self._arrived_at, None
        return self._clock() if arrived_at is None else arrived_at

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await self._session.get(oids)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        kept = self._replies.pop(Question(tuple(non_repeaters), tuple(columns), max_repetitions), None)
        if kept is None:
            self._arrived_at = None
            return await self._session.bulk(non_repeaters, columns, max_repetitions)
        reply, self._arrived_at = kept
        return reply


class SteadyWalker:
    """Asks for one device's rows and remembers the form of its answers: `ask` first, `walked` after the ordinary walk it may lead to."""

    def __init__(self) -> None:
        self._asked: AskedTable | None = None
        self._asked_for: tuple[Rows, tuple[bytes, ...], int] | None = None
        self._table: SteadyTable | None = None
        self._unlearnt: tuple[AskedTable, list[list[Varbind]], list[bytes]] | None = None

    async def ask(
        self,
        session: SnmpSession,
        columns: tuple[bytes, ...],
        *,
        rows: Rows,
        scalars: tuple[bytes, ...],
        max_repetitions: int,
        requests_in_flight: int,
        monotonic: Callable[[], float],
    ) -> SteadyWalk | Answered | None:
        """A steady walk; or the answers, for an ordinary one; or None, when this session cannot ask so.

        Raises what the session raises for all questions alike; what befalls one of them is left to the walk that asks it again.
        """
        self._unlearnt = None
        # Both kinds of walk ask the same.
        step = max(1, min(max_repetitions, (MAX_VARBINDS - len(scalars)) // len(columns)))
        asked = self._what_to_ask(rows, columns, scalars, step)
        if asked is None or requests_in_flight == 1 or not isinstance(session, AsksTogether):
            return None
        replies: list[UnreadReply | Exception] = []
        for begin in range(0, len(asked.questions), requests_in_flight):
            some = await session.bulk_together(asked.questions[begin : begin + requests_in_flight], monotonic)
            if some is None:
                return None
            replies += some
            if any(isinstance(reply, Exception) or reply.error_status for reply in some):
                break  # a device in trouble is not asked on
        good = [reply for reply in replies if isinstance(reply, UnreadReply) and not reply.error_status]
        steady = self._steady(asked, good)
        return self._hand_over(session, asked, replies, monotonic) if steady is None else steady

    def walked(self) -> None:
        """The ordinary walk over these answers found the same rows again: learn their form."""
        if self._unlearnt is not None:
            self._table = SteadyTable.learn(*self._unlearnt)
            self._unlearnt = None

    def _hand_over(
        self, session: SnmpSession, asked: AskedTable, replies: Sequence[UnreadReply | Exception], monotonic: Callable[[], float]
    ) -> Answered:
        answered = Answered(session, monotonic)
        read: list[list[Varbind]] = []
        octets: list[bytes] = []
        for question, reply in zip(asked.questions, replies, strict=False):
            if isinstance(reply, Exception):
                continue
            try:
                varbinds = read_varbinds(reply.octets, 0, len(reply.octets))
            except BerError:  # asked again by itself, it is refused by its name, or another back end is asked
                continue
            read.append(varbinds)
            octets.append(reply.octets)
            kept = Reply(reply.error_status, reply.error_index, varbinds, reply.round_trip_seconds)
            answered.keep(question, kept, reply.arrived_at)
        if len(read) == len(asked.questions):
            self._unlearnt = asked, read, octets
        return answered

    def _what_to_ask(self, rows: Rows, columns: tuple[bytes, ...], scalars: tuple[bytes, ...], step: int) -> AskedTable | None:
        before = self._asked_for
        if before is None or before[0] is not rows or before[1:] != (columns, step):
            self._asked_for = rows, columns, step
            self._asked = asked_table(columns, tuple(rows.octets), scalars, step)
        return self._asked

    def _steady(self, asked: AskedTable, replies: Sequence[UnreadReply]) -> SteadyWalk | None:
        table = self._table
        if table is None or table.asked is not asked or len(replies) < len(asked.questions):
            return None
        numbers = table.read([reply.octets for reply in replies])
        if numbers is None:
            return None
        walk = Walk(
            {},
            scalars=table.scalars(numbers, 0),
            last_scalars=table.scalars(numbers, -1),
            round_trip_seconds=replies[0].round_trip_seconds,
            first_at=replies[0].arrived_at,
            last_at=replies[-1].arrived_at,
        )
        return SteadyWalk(numbers[asked.cells].reshape(asked.shape), table.tags, walk)
