"""Version 1 behind the seam of version 2: one row a request, noSuchName as exceptions, each in its place."""

from collections.abc import Callable, Sequence

from netmote.snmp import mib
from netmote.snmp.native.v1_session import V1Session
from netmote.snmp.session import Reply, Varbind

A, B, C = mib.SYS_DESCR, mib.SYS_UP_TIME, mib.SYS_NAME


class Agent:
    """GET and GETNEXT of an agent of v1 that has not all of what is asked."""

    backend, fallback_reason = "native", ""

    def __init__(self, missing: Sequence[bytes], answer: Callable[[Reply], Reply] = lambda reply: reply) -> None:
        self.missing, self.answer = missing, answer
        self.asked: list[tuple[str, list[bytes]]] = []
        self.is_closed = False

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return self._answer("get", oids)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        return self._answer("next", oids)

    async def close(self) -> None:
        self.is_closed = True

    def _answer(self, kind: str, oids: Sequence[bytes]) -> Reply:
        self.asked.append((kind, list(oids)))
        absent = [place for place, oid in enumerate(oids, 1) if oid in self.missing]
        nulls = [Varbind(oid, mib.NULL, b"") for oid in oids]
        if absent:
            return self.answer(Reply(mib.NO_SUCH_NAME, absent[0], nulls, 0.001))
        return self.answer(Reply(0, 0, [Varbind(oid + b"\x01", mib.INTEGER, b"\x07") for oid in oids], 0.001))


async def test_bulk_is_one_row_by_getnext() -> None:
    """Non-repeaters and columns in one request, whatever repetitions are wished for."""
    agent = Agent([])
    reply = await V1Session(agent).bulk([A], [B, C], 20)
    assert agent.asked == [("next", [A, B, C])]
    assert [varbind.oid for varbind in reply.varbinds] == [A + b"\x01", B + b"\x01", C + b"\x01"]


async def test_what_is_missing_keeps_its_place() -> None:
    """An exception of its kind (endOfMibView of GETNEXT, noSuchInstance of GET), each under the name that was asked, and the rest is read."""
    for kind, exception in (("next", mib.END_OF_MIB_VIEW), ("get", mib.NO_SUCH_INSTANCE)):
        agent = Agent([A, C])
        session = V1Session(agent)
        reply = await (session.get([A, B, C]) if kind == "get" else session.bulk([], [A, B, C], 1))
        assert agent.asked == [(kind, [A, B, C]), (kind, [B, C]), (kind, [B])]
        assert reply.varbinds == [
            Varbind(A, exception, b""),
            Varbind(B + b"\x01", mib.INTEGER, b"\x07"),
            Varbind(C, exception, b""),
        ]
        assert (reply.error_status, reply.error_index) == (0, 0)


async def test_when_all_is_missing_nothing_is_asked_again() -> None:
    """A bounded number of requests: one a name."""
    agent = Agent([A, B, C])
    reply = await V1Session(agent).get([A, B, C])
    assert len(agent.asked) == 3
    assert [varbind.tag for varbind in reply.varbinds] == [mib.NO_SUCH_INSTANCE] * 3


async def test_other_errors_pass_with_their_index_put_right() -> None:
    """A genErr of the second name of a second request is genErr of the third that was asked for."""
    agent = Agent([A], lambda reply: reply if reply.error_status else Reply(5, 2, reply.varbinds, 0.001))
    reply = await V1Session(agent).get([A, B, C])
    assert (reply.error_status, reply.error_index) == (5, 3)


async def test_an_index_that_points_nowhere_ends_it() -> None:
    """A noSuchName of what was not asked is an error, not a loop."""
    agent = Agent([], lambda reply: Reply(mib.NO_SUCH_NAME, 9, reply.varbinds, 0.001))
    reply = await V1Session(agent).get([A, B])
    assert (reply.error_status, reply.error_index, len(agent.asked)) == (mib.NO_SUCH_NAME, 0, 1)


async def test_another_number_of_varbinds_is_left_to_the_walk() -> None:
    """Nothing is invented for what did not come."""
    agent = Agent([], lambda reply: Reply(0, 0, reply.varbinds[:1], 0.001))
    assert len((await V1Session(agent).get([A, B])).varbinds) == 1


async def test_it_stands_for_the_session_behind() -> None:
    """Its name and its end."""
    agent = Agent([])
    session = V1Session(agent)
    assert (session.backend, session.fallback_reason) == ("native", "")
    await session.close()
    assert agent.is_closed
