"""Questions asked again and again over real sockets: who is believed, what is odd, and that nothing is left behind."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import pytest
from snmp_fault_agent import FaultAgent, Request, Sent, Table, changed, honest

from netmote.clock import SystemClock
from netmote.snmp import mib
from netmote.snmp.native.community_channel import CommunityChannel
from netmote.snmp.native.plain_messages import community_messages, responses
from netmote.snmp.native.steady_line import ANSWER_OCTETS, Answers, SteadyLine
from netmote.snmp.native.steady_seats import NativeSeat, SteadyLines
from netmote.snmp.native.varbinds import read_varbinds
from netmote.snmp.session import Question

QUESTION = Question((mib.SYS_UP_TIME[:-1],), (mib.COLUMN["ifInOctets"],), 1)


@pytest.fixture
def lines() -> Iterator[SteadyLines]:
    opened = SteadyLines(random=Random(1), monotonic=SystemClock().monotonic)
    yield opened
    opened.close()
    opened.close()


def seated(lines: SteadyLines, port: int, community: str = "public") -> NativeSeat:
    seat = lines.seat(socket.AF_INET, ("127.0.0.1", port, 0), CommunityChannel("2c", community))
    assert seat is not None
    return seat


def ask(seat: NativeSeat, places: list[int]) -> int:
    request = seat.take_request(QUESTION)
    count = len(places)
    return seat.line.ask(np.full(count, seat.number), np.full(count, request), np.array(places))


async def heard(line: SteadyLine, seconds: float = 2.0, until: Callable[[], bool] = lambda: True) -> list[Answers]:
    """What came until something did and `until` holds; a copy of each."""
    came: list[Answers] = []
    for _ in range(round(seconds / 0.005)):
        await asyncio.sleep(0.005)
        answers = line.receive()
        if answers is not None:
            came.append(answers._replace(octets=answers.octets.copy()))
        if came and until():
            break
    return came


async def test_an_answer_finds_its_place(lines: SteadyLines) -> None:
    """Each of several questions is answered in its own place, with the content of its list; then nothing waits."""
    async with FaultAgent(honest) as agent:
        seat = seated(lines, agent.port)
        assert ask(seat, [7, 8, 9]) == 3
        assert seat.line.waiting == 3
        came = await heard(seat.line, until=lambda: not seat.line.waiting)
    places = sorted(place for answers in came for place in answers.places.tolist())
    assert places == [7, 8, 9]
    for answers in came:
        assert answers.odd == []
        for begin, end in zip(answers.begins.tolist(), answers.ends.tolist(), strict=True):
            found = read_varbinds(answers.octets[begin:end].tobytes(), 0, end - begin)
            assert found[0].oid == mib.SYS_UP_TIME
            assert found[1].oid.startswith(mib.COLUMN["ifInOctets"])
    assert lines.ignored == {}


def twice(table: Table, request: Request) -> list[Sent]:
    return honest(table, request) * 2


async def test_a_second_answer_is_counted_and_not_believed(lines: SteadyLines) -> None:
    """Whether it comes in the same heap or later."""
    async with FaultAgent(twice) as agent:
        seat = seated(lines, agent.port)
        ask(seat, [1])
        came = await heard(seat.line)
        await heard(seat.line, 0.1, until=lambda: False)
    assert [answers.places.tolist() for answers in came if len(answers.places)] == [[1]]
    assert sum(lines.ignored.values()) == 1
    assert lines.ignored.keys() <= {"duplicate", "late_or_unknown"}


async def test_another_community_is_not_believed(lines: SteadyLines) -> None:
    """The question goes on waiting."""
    async with FaultAgent(changed(community=b"publix")) as agent:
        seat = seated(lines, agent.port)
        ask(seat, [1])
        await heard(seat.line, 0.3, until=lambda: False)
        assert seat.line.waiting == 1
        seat.line.forget(np.array([1]))
        assert seat.line.waiting == 0
    assert lines.ignored == {"wrong_community": 1}


async def test_another_source_is_not_believed(lines: SteadyLines) -> None:
    """An answer that names the right id, from a port that was not asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(2)
        seat = seated(lines, silent.getsockname()[1])
        ask(seat, [1])
        request, source = silent.recvfrom(2_000)
        other.sendto(request.replace(b"\xa5", b"\xa2", 1), source)
        await heard(seat.line, 0.2, until=lambda: False)
        assert seat.line.waiting == 1
    assert lines.ignored["wrong_source"] == 1


async def test_a_refusal_is_odd(lines: SteadyLines) -> None:
    """An error-status ends the question without a list."""
    async with FaultAgent(changed(status=5, varbinds=())) as agent:
        seat = seated(lines, agent.port)
        ask(seat, [4])
        came = await heard(seat.line)
    assert [answers.odd for answers in came] == [[4]]
    assert not len(came[0].places)


async def test_noise_is_counted(lines: SteadyLines) -> None:
    """Octets that are no message, of every length, and one that is cut: none raises, none ends the question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(2)
        seat = seated(lines, agent.getsockname()[1])
        ask(seat, [1])
        request, source = agent.recvfrom(2_000)
        random = Random(1)
        sent = 0
        for size in (0, 1, 2, 5, 17, 40, 300, ANSWER_OCTETS + 1):
            agent.sendto(random.randbytes(size), source)
            sent += 1
        for size in range(1, len(request), 3):
            agent.sendto(request[:size], source)
            sent += 1
        await heard(seat.line, 0.3, until=lambda: False)
        assert seat.line.waiting == 1
        seat.leave()
        seat.leave()
        assert seat.line.waiting == 0
    assert sum(lines.ignored.values()) == sent


async def test_requests_are_shared_and_given_back(lines: SteadyLines) -> None:
    """The same question of one community is one request for all seats; another community has another."""
    one, other, third = seated(lines, 1), seated(lines, 2), seated(lines, 3, "private")
    first = one.take_request(QUESTION)
    assert other.take_request(QUESTION) == first
    assert third.take_request(QUESTION) != first
    one.give_back(first)
    other.give_back(first)
    assert one.take_request(QUESTION._replace(max_repetitions=2)) == first, "its place is free"
    long = Question((), tuple(mib.COLUMN.values()) * 3, 1)
    assert one.take_request(long) is None


def test_flipped_bits_never_make_a_message_that_the_strict_readers_refuse() -> None:
    """What is plain here is a Response with these bounds to the readers of single messages, too."""
    channel, random = CommunityChannel("2c", "public"), Random(2)
    from netmote.snmp.native.ber import BerError, element, integer
    from netmote.snmp.native.pdu import read_around_varbinds

    body = element(0xA2, integer(0x12345678) + integer(0) * 2 + element(0x30, b"\x30\x0c\x06\x08+\6\1\2\1\1\3\0\x43\0" * 20))
    message = channel.seal(body, 0)
    plain_count = 0
    for _ in range(2_000):
        flipped = bytearray(message)
        flipped[random.randrange(48)] ^= 1 << random.randrange(8)
        octets = np.frombuffer(bytes(flipped) + bytes(1_000), np.uint8)
        begins, ends = np.array([0]), np.array([len(flipped)])
        wrapped = community_messages(octets, begins, ends)
        found = responses(octets, wrapped.pdus, ends)
        head = bytes(flipped[int(wrapped.heads[0]) : int(wrapped.heads[0]) + len(channel.head)])
        if not (wrapped.is_plain[0] and found.is_plain[0] and head == channel.head):
            continue
        plain_count += 1
        opened = channel.open(bytes(flipped))
        try:
            response = read_around_varbinds(opened.pdu)
        except BerError:
            pytest.fail("plain, and unreadable")
        assert (response.request_id, response.error_status, response.error_index) == (int(found.ids[0]), 0, 0)
        assert response.octets == bytes(flipped[int(found.lists[0]) :])
    assert plain_count > 50
