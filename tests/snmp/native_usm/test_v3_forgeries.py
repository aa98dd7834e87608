"""SNMPv3 and messages that are not the device's, or not its answer now: forged, recorded, late, echoed, under another name."""

from dataclasses import replace

import pytest
from pysnmp.proto.api import v2c
from usm_engine import COUNTERS, Request
from usm_exchange import REQUEST, USER, Polled, read_id
from usm_forgery import forged
from usm_matrix import AUTH_ONLY, NOBODY

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.channel import Verdict
from netmote.snmp.session import UnreadableAnswer

VALUE = 4_386


@pytest.mark.parametrize("kind", [kind for kind in COUNTERS if kind != "unknownEngineIDs"])
@pytest.mark.parametrize("user", [USER, NOBODY], ids=["authPriv", "noAuth"])
def test_forged_reports_do_not_stop_a_device_that_answers(kind: str, user: UsmUser) -> None:
    """Before the answer, and after the request was lost: the first is as if nothing was there, the second an error for once."""
    polled = Polled.of(user)
    polled.poll()
    for _ in range(3):
        assert polled.poll(lambda datagram: [forged(polled, kind), *polled.answers(datagram)]) == VALUE
    assert polled.channel.ignored == {"unproven_report": 3}
    assert not isinstance(polled.poll(lambda _: [forged(polled, kind)]), int)
    assert polled.poll() == VALUE
    assert not polled.channel.learnt


@pytest.mark.parametrize("first", [True, False], ids=["before the answer", "after it"])
def test_a_forged_engine_id_does_not_stop_a_device_that_answers(first: bool) -> None:
    """The forged engine is tried beside the real one; the real answer still counts, and the real engine stays."""
    polled = Polled.of()
    polled.poll()
    known = polled.channel.engine_id
    for number in range(3):

        def wire(datagram: bytes, number: int = number) -> list[bytes]:
            lie = forged(polled, "unknownEngineIDs", engine_id=b"\x80\0\0\0\x04liar" + bytes([number]))
            return [lie, *polled.answers(datagram)] if first else [*polled.answers(datagram), lie]

        assert polled.poll(wire) == VALUE
    assert polled.channel.engine_id == known
    assert not polled.channel.learnt
    assert polled.poll() == VALUE
    assert len(polled.sent) == 1


def test_a_forged_engine_id_where_the_answer_is_lost_costs_one_exchange() -> None:
    """The next poll goes to the forged engine first; the device says who it is, and is believed as the one that is known."""
    polled = Polled.of()
    polled.poll()
    polled.poll(lambda _: [forged(polled, "unknownEngineIDs", engine_id=b"\x80\0\0\0\x04liar!")] if len(polled.sent) == 1 else [])
    assert polled.poll() == VALUE
    assert polled.channel.engine_id == polled.engine.engine_id
    assert not polled.channel.learnt


def replayed(polled: Polled, datagram: bytes, message_id: int) -> bytes:
    """A recorded datagram, its msgID changed to one that waits."""
    at = datagram.index(b"\x02\x01\x03") + 7
    return datagram[:at] + message_id.to_bytes(4, "big") + datagram[at + 4 :]


def test_recorded_messages_are_not_believed() -> None:
    """As they were (another msgID) and with the msgID changed (then the digest is wrong): answers and authenticated reports alike."""
    polled = Polled.of()
    recorded: list[bytes] = []
    polled.poll(lambda datagram: [recorded.append(answer) or answer for answer in polled.answers(datagram)])  # type: ignore[func-returns-value]
    polled.engine.boots = 7
    polled.poll(lambda datagram: [recorded.append(answer) or answer for answer in polled.answers(datagram)])  # type: ignore[func-returns-value]
    polled.clock.advance(1_000.0)
    before = dict(polled.channel.learnt)
    assert len(recorded) == 4  # discovery, answer, report notInTimeWindow, answer
    result = polled.poll(lambda datagram: [*recorded, *(replayed(polled, old, read_id(datagram)) for old in recorded[1:])])
    assert isinstance(result, UnreadableAnswer)
    assert polled.channel.ignored == {"unasked": 4, "wrong_digest": 3}
    assert polled.channel.learnt == before
    assert polled.poll() == VALUE


def test_an_answer_is_good_once() -> None:
    """Its double, and what comes after the deadline, is nobody's."""
    polled = Polled.of()
    polled.poll()
    late: list[bytes] = []
    polled.poll(lambda datagram: late.extend(polled.answers(datagram)) or [])  # type: ignore[func-returns-value]
    assert polled.poll(lambda datagram: [*late, *polled.answers(datagram) * 2]) == VALUE
    assert polled.channel.open(late[0]).verdict is Verdict.IGNORED
    assert polled.channel.ignored["unasked"] >= 2


def test_an_answer_outside_the_time_window_is_refused() -> None:
    """Delivered 200 s late while its request still waits: right digest, and too old (RFC 3414 section 3.2.7 b 2)."""
    polled = Polled.of()
    polled.poll()

    def wire(datagram: bytes) -> list[bytes]:
        answers = polled.answers(datagram)
        polled.clock.advance(200.0)
        return answers

    assert isinstance(polled.poll(wire), UnreadableAnswer)
    assert polled.channel.ignored == {"outside_time_window": 1}
    assert polled.poll() == VALUE


def test_an_answer_to_another_question_is_ignored() -> None:
    """The msgID is right and the request-id is not: the exchange waits on."""
    polled = Polled.of()
    polled.poll()
    other = REQUEST.pdu(0x0777_7777)

    def wire(datagram: bytes) -> list[bytes]:
        message_id = read_id(datagram)
        wrong = polled.channel.seal(other, message_id)
        assert wrong is not None
        wrong_answer = polled.answers(wrong)
        polled.channel.seal(REQUEST.pdu(message_id), message_id)
        return [*wrong_answer, *polled.answers(datagram)]

    assert polled.poll(wire) == VALUE
    assert polled.channel.ignored == {"another_request": 1}


@pytest.mark.parametrize("user", [AUTH_ONLY, USER], ids=["authNoPriv", "authPriv"])
def test_a_request_that_comes_back_is_no_answer(user: UsmUser) -> None:
    """The echo of our own message has the right digest, engine and msgID."""
    polled = Polled.of(user)
    polled.poll()
    assert isinstance(polled.poll(lambda datagram: [datagram]), UnreadableAnswer)
    assert polled.channel.ignored == {"not_a_response": 1}
    assert polled.poll(lambda datagram: [datagram, *polled.answers(datagram)]) == VALUE


@pytest.mark.parametrize("user", [USER, NOBODY], ids=["authPriv", "noAuth"])
@pytest.mark.parametrize("theirs", [{"security_name": "other"}, {}], ids=["user", "engine"])
def test_an_answer_under_another_name_is_ignored(user: UsmUser, theirs: dict[str, str]) -> None:
    """Another user with our password has our key, and its answer is still not ours; nor is that of another engine."""
    polled = Polled.of(user)
    polled.poll()

    def wire(datagram: bytes) -> list[bytes]:
        liar = replace(polled.engine, user=replace(user, **theirs), log=[])
        if not theirs:
            liar.engine_id = b"\x80\0\0\0\x04another"
        request = Request(read_id(datagram), 0, b"", 0, 0, liar.user.security_name)
        pdu = v2c.ResponsePDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_request_id(pdu, read_id(datagram))
        v2c.apiPDU.set_varbinds(pdu, [(COUNTERS["wrongDigests"], v2c.Counter32(1))])
        flags = 3 if user is USER else 0
        return [liar.message(request, pdu, flags=flags), *polled.answers(datagram)]

    assert polled.poll(wire) == VALUE
    assert polled.channel.ignored == {"another_user" if theirs else "another_engine": 1}
