"""Asking a device that does not bear what others do: smaller requests, GETNEXT in place of GETBULK, found out as it goes.

`read_device` asks plainly first, so that a device without quirks costs nothing here. Only when a device that answers did not answer
that, it is asked again with care; what that teaches is kept in `QuirkLearner`, and the next poll begins with it. A device that answers
nothing at all is never asked a second time.
"""

from collections.abc import Awaitable, Callable, Sequence

from netmote.snmp.get_next import SessionWithNext
from netmote.snmp.mib import AUTHORIZATION_ERROR, NO_SUCH_NAME, SYS_UP_TIME, TOO_BIG
from netmote.snmp.paced_session import PacedSession
from netmote.snmp.quirks import QuirkLearner
from netmote.snmp.reading import DeviceReader, DeviceReading
from netmote.snmp.session import AgentError, Reply, RequestTimedOut, Varbind, WalkUnordered
from netmote.snmp.session_around import SessionAround
from netmote.snmp.walk import MAX_VARBINDS


async def read_device(
    reader: DeviceReader, session: PacedSession, learner: QuirkLearner, *, is_doubtful: bool = False
) -> DeviceReading:
    """One reading, with care where it is needed. `is_doubtful`: one cheap question, not repeated, comes first.

    Raises what `DeviceReader.read` raises.
    """
    answers = session.answers
    if is_doubtful:
        await session.get_once([SYS_UP_TIME])
    reader.is_ordered = not learner.quirks.is_unordered
    try:
        reading = await reader.read(CarefulSession(session, learner) if learner.quirks.need_care else session)
    except WalkUnordered:
        learner.is_unordered()
        reader.is_ordered = False
        reading = await reader.read(CarefulSession(session, learner))
    except (RequestTimedOut, AgentError):
        if session.answers == answers or learner.quirks.need_care:
            raise
        reading = await reader.read(CarefulSession(session, learner))
    learner.belongs_to(reading.system.sys_object_id)
    return reading


class CarefulSession(SessionAround[SessionWithNext]):
    """Implements SnmpSession within what the device was found to bear."""

    def __init__(self, session: SessionWithNext, learner: QuirkLearner) -> None:
        super().__init__(session)
        self._learner = learner

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await self._in_parts(self._session.get, oids)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        return await self._in_parts(self._session.get_next, oids)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        while True:
            most = self._learner.quirks.most_varbinds or MAX_VARBINDS
            repetitions = min(max_repetitions, (most - len(non_repeaters)) // len(columns))
            if self._learner.quirks.has_no_bulk or repetitions < 1:
                return await self.get_next((*non_repeaters, *columns))
            asked = len(non_repeaters) + len(columns) * repetitions
            try:
                reply = await self._session.bulk(non_repeaters, columns, repetitions)
            except RequestTimedOut:
                if not await self._answers_bulk(columns[0]):
                    if not await self._answers(self._session.get_next, columns[0]):
                        raise
                    self._learner.has_no_bulk()
                    continue
                self._learner.was_too_much(asked)
                continue
            if reply.error_status == TOO_BIG and asked > 1:
                self._learner.was_too_much(asked)
            elif _is_refused_whole(reply) and await self._answers(self._session.get_next, columns[0]):
                self._learner.has_no_bulk()
            else:
                self._learner.was_answered(len(reply.varbinds))
                return reply

    async def _in_parts(self, ask: Callable[[Sequence[bytes]], Awaitable[Reply]], oids: Sequence[bytes]) -> Reply:
        """All of `oids`, in as many requests as the device wants; an error of one of them is that of all."""
        varbinds: list[Varbind] = []
        round_trip = 0.0
        while len(varbinds) < len(oids) or not oids:
            begin = len(varbinds)
            part = oids[begin : begin + (self._learner.quirks.most_varbinds or MAX_VARBINDS)]
            try:
                reply = await ask(part)
            except RequestTimedOut:
                if len(part) == 1 or not await self._answers(ask, part[0]):
                    raise
                self._learner.was_too_much(len(part))
                continue
            if reply.error_status == TOO_BIG and len(part) > 1:
                self._learner.was_too_much(len(part))
                continue
            if reply.error_status:
                index = reply.error_index + begin if 1 <= reply.error_index <= len(part) else 0
                return reply._replace(error_index=index)
            if len(reply.varbinds) != len(part):
                return reply  # another number than asked: who asked judges it
            self._learner.was_answered(len(part))
            varbinds += reply.varbinds
            round_trip = round_trip or reply.round_trip_seconds
            if not oids:
                break
        return Reply(0, 0, varbinds, round_trip)

    async def _answers(self, ask: Callable[[Sequence[bytes]], Awaitable[Reply]], oid: bytes) -> bool:
        """Whether the smallest such question is answered."""
        try:
            return not _is_refused_whole(await ask([oid]))
        except RequestTimedOut:
            return False

    async def _answers_bulk(self, column: bytes) -> bool:
        return await self._answers(lambda oids: self._session.bulk([], oids, 1), column)


def _is_refused_whole(reply: Reply) -> bool:
    """Whether the device refuses the kind of request, not one of the things asked for."""
    meant_otherwise = (0, TOO_BIG, NO_SUCH_NAME, AUTHORIZATION_ERROR)
    return reply.error_status not in meant_otherwise and reply.error_index == 0
