"""One socket for all devices: every answer to its own question, everything else counted, nothing left behind."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from netmote.clock import SystemClock
from netmote.snmp.native import transport as transport_module
from netmote.snmp.native.pdu import FIRST_ID, LAST_ID, RESPONSE
from netmote.snmp.native.transport import READS_PER_WAKE, SETTLED_IDS, Transport
from netmote.snmp.native.udp_socket import Address
from netmote.snmp.session import AgentNotListening, NetworkUnreachable


def message(number: int) -> bytes:
    """A v2c message with this request-id and nothing more in it."""
    pdu = bytes([RESPONSE, 6, 2, 4]) + number.to_bytes(4, "big")
    body = b"\x02\x01\x01\x04\x00" + pdu
    return bytes([0x30, len(body)]) + body


class Question:
    """An exchange that keeps what it is given."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.taken: list[bytes] = []
        self.sources: list[Address] = []
        self.error: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.bug: Exception | None = None

    def take(self, datagram: bytes) -> bool:
        if self.bug is not None:
            raise self.bug
        self.taken.append(datagram)
        return len(self.taken) == 1

    def came_from(self, source: Address) -> None:
        self.sources.append(source)

    def fail(self, error: Exception) -> None:
        self.error.set_result(error)


class Device:
    """A socket of a device that a test speaks through."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.address: Address = ("127.0.0.1", self.socket.getsockname()[1], 0)
        self.asked_from: tuple[str, int] | None = None

    def hear(self) -> bytes:
        datagram, self.asked_from = self.socket.recvfrom(65_535)
        return datagram

    def say(self, datagram: bytes) -> None:
        assert self.asked_from is not None
        self.socket.sendto(datagram, self.asked_from)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    opened = Transport(socket.AF_INET, clock=SystemClock(), random=Random(1))
    yield opened
    opened.close()


@pytest.fixture
def device() -> Iterator[Device]:
    opened = Device()
    yield opened
    opened.socket.close()


@pytest.fixture
def stranger(device: Device) -> Iterator[Device]:
    opened = Device()
    yield opened
    opened.socket.close()


async def turns(count: int = 5) -> None:
    """Let the loop read what has arrived on loopback."""
    for _ in range(count):
        await asyncio.sleep(0.002)


def begin(transport: Transport, device: Device) -> tuple[Question, int]:
    question = Question(device.address)
    number = transport.enter(question)
    transport.send(message(number), device.address)
    assert device.hear() == message(number)
    return question, number


async def test_answers_find_their_questions(transport: Transport, device: Device) -> None:
    """In whatever order they come."""
    first, second = begin(transport, device), begin(transport, device)
    device.say(message(second[1]))
    device.say(message(first[1]))
    await turns()
    for question, number in (first, second):
        assert question.taken == [message(number)]
        transport.leave(number, is_answered=True)
    assert (transport.waiting, transport.ignored) == (0, {})


async def test_everything_else_is_counted_by_reason(transport: Transport, device: Device, stranger: Device) -> None:
    """Late, twice, from elsewhere, never asked, unreadable; none of it reaches a question."""
    question, number = begin(transport, device)
    stranger.asked_from = device.asked_from
    for datagram in (message(number ^ 1), b"\x30\x03\x02\x01", b"", message(number), message(number)):
        device.say(datagram)
    stranger.say(message(number))
    stranger.say(b"noise of somebody who was not asked")
    await turns()
    assert question.taken == [message(number)] * 2, "the second was refused by the question itself"
    assert question.sources == [stranger.address]
    assert transport.unreadable_from(device.address) == 2
    assert transport.unreadable_from(stranger.address) == 0
    transport.leave(number, is_answered=True)
    device.say(message(number))
    late, late_number = begin(transport, device)
    transport.leave(late_number, is_answered=False)
    device.say(message(late_number))
    await turns()
    assert not late.taken
    assert transport.ignored == {"unknown_id": 1, "unreadable": 3, "duplicate": 2, "wrong_source": 1, "late": 1}
    assert transport.unreadable_from(device.address) == 0, "nobody asks it any more"


async def test_a_bug_in_a_question_is_its_own(transport: Transport, device: Device) -> None:
    """The reader of all devices goes on."""
    buggy, number = begin(transport, device)
    good, other = begin(transport, device)
    buggy.bug = ZeroDivisionError("a bug")
    device.say(message(number))
    device.say(message(other))
    assert await asyncio.wait_for(buggy.error, 1) is buggy.bug
    await turns()
    assert good.taken == [message(other)]
    for each in (number, other):
        transport.leave(each, is_answered=False)


async def test_icmp_reaches_its_own_question(transport: Transport, device: Device) -> None:
    """A port where nobody listens fails the question sent there, and no other."""
    waiting, number = begin(transport, device)
    closed = Device()
    closed.socket.close()
    refused = Question(closed.address)
    refused_number = transport.enter(refused)
    transport.send(message(refused_number), closed.address)
    error = await asyncio.wait_for(refused.error, 1)
    assert isinstance(error, AgentNotListening)
    assert "127.0.0.1" in str(error)
    transport.leave(refused_number, is_answered=False)
    transport.send(message(refused_number), closed.address)  # an error of a question that is gone
    await turns()
    assert transport.ignored == {"icmp_unmatched": 1}
    device.say(message(number))
    await turns()
    assert waiting.taken
    transport.leave(number, is_answered=True)


async def test_where_nothing_can_be_sent_is_a_named_error(transport: Transport) -> None:
    """At once, from `send`."""
    with pytest.raises(NetworkUnreachable, match=r"255\.255\.255\.255"):
        transport.send(b"x", ("255.255.255.255", 161, 0))


async def test_a_flood_does_not_hold_the_loop(transport: Transport, device: Device) -> None:
    """Reads of one wake-up are bounded in number; the loop runs between, and all is read in the end."""
    question, number = begin(transport, device)
    count = 10 * READS_PER_WAKE
    for _ in range(count):
        device.say(message(number))
    seen = []
    while len(question.taken) < count:
        await asyncio.sleep(0)
        seen.append(len(question.taken))
    assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= READS_PER_WAKE
    transport.leave(number, is_answered=True)


async def test_slow_reading_ends_a_wake_up(device: Device) -> None:
    """What is slow to read is bounded in time: one datagram a turn when each takes longer than the bound."""

    class SlowClock(SystemClock):
        def __init__(self) -> None:
            self.now = 0.0

        def monotonic(self) -> float:
            self.now += transport_module.SECONDS_PER_WAKE
            return self.now

    transport = Transport(socket.AF_INET, clock=SlowClock(), random=Random(1))
    question, number = begin(transport, device)
    for _ in range(5):
        device.say(message(number))
    seen = []
    while len(question.taken) < 5:
        await asyncio.sleep(0)
        seen.append(len(question.taken))
    assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) == 1
    transport.close()


async def test_what_is_remembered_is_bounded(transport: Transport) -> None:
    """Ids of questions that ended are forgotten in their order."""
    question = Question(("127.0.0.1", 1, 0))
    for _ in range(SETTLED_IDS + 100):
        transport.leave(transport.enter(question), is_answered=False)
    assert len(transport._settled) == SETTLED_IDS
    assert not transport._asked


async def test_ids_have_four_octets_and_come_round(transport: Transport) -> None:
    """From the last to the first again, never one that still waits."""
    question = Question(("127.0.0.1", 1, 0))
    transport._next_id = LAST_ID
    assert [transport.enter(question) for _ in range(3)] == [LAST_ID, FIRST_ID, FIRST_ID + 1]
    transport._next_id = LAST_ID
    assert transport.enter(question) == FIRST_ID + 2


async def test_closing_twice_is_safe_and_keeps_the_counts(transport: Transport, device: Device) -> None:
    """What was ignored can still be read; the file descriptor is gone."""
    begin(transport, device)
    device.say(b"\x30")
    await turns()
    transport.close()
    transport.close()
    assert transport.ignored == {"unreadable": 1}
    assert transport._socket.fileno() == -1
