"""SNMPv3 with a device that reboots, lies, is replaced or is set up wrongly: every row of the USM matrix, and what it costs."""

from dataclasses import replace

import pytest
from usm_engine import Request
from usm_exchange import KEYS, REQUEST, USER, Polled, read_id
from usm_forgery import forged
from usm_matrix import AUTH_ONLY, MATRIX, MISCONFIGURED, NOBODY, Misconfigured, Outcome, Row

from netmote.errors import NetmoteError
from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.ber import SEQUENCE, element
from netmote.snmp.native.channel import Verdict
from netmote.snmp.native.pdu import GET_REQUEST, build_request
from netmote.snmp.session import (
    DecryptionFailed,
    NotInTimeWindow,
    RequestTimedOut,
    UnreadableAnswer,
)

VALUE = 4_386
DES = replace(USER, auth_protocol="md5", priv_protocol="des")
STRONG = replace(USER, auth_protocol="sha512", priv_protocol="aes256")


def outcome(result: int | NetmoteError) -> Outcome:
    return result if isinstance(result, int) else type(result)


@pytest.mark.parametrize(
    "user", [USER, AUTH_ONLY, NOBODY, DES, STRONG], ids=["authPriv", "authNoPriv", "noAuth", "DES", "AES-256"]
)
def test_first_contact_costs_one_message_more(user: UsmUser) -> None:
    """Discovery, then the request; its clock, told by the discovery, already fits. From then on one message each."""
    polled = Polled.of(user)
    assert [polled.poll() for _ in range(3)] == [VALUE] * 3
    assert polled.engine.log == ["unknownEngineIDs", "ok", "ok", "ok"]
    assert polled.channel.engine_id == polled.engine.engine_id
    assert not polled.channel.ignored
    assert not polled.notices


@pytest.mark.parametrize("row", MATRIX, ids=[row.event for row in MATRIX])
def test_usm_matrix(row: Row) -> None:
    """The right value or the error by name, at the stated cost; surprises counted and told once."""
    polled = Polled.of()
    assert polled.poll() == VALUE
    row.happens(polled.engine)
    assert outcome(polled.poll()) == row.first
    assert len(polled.sent) == row.messages
    assert outcome(polled.poll()) == row.then
    assert dict(polled.channel.learnt) == ({row.learnt: 1} if row.learnt else {})
    assert set(polled.channel.ignored) == ({row.ignored} if row.ignored else set())
    assert len(polled.notices) == (row.learnt not in {"", "forward"})


@pytest.mark.parametrize("row", [row for row in MATRIX if row.then != VALUE], ids=lambda row: row.event)
def test_what_was_repaired_works_again(row: Row) -> None:
    """No error of the matrix is for ever: with the device as it was, the next poll reads."""
    polled = Polled.of()
    polled.poll()
    before = vars(polled.engine).copy()
    row.happens(polled.engine)
    polled.poll()
    vars(polled.engine).update(before)
    assert polled.poll() == VALUE


@pytest.mark.parametrize("case", MISCONFIGURED, ids=lambda case: case.what)
def test_what_is_set_up_wrongly_is_named_at_first_contact(case: Misconfigured) -> None:
    """A device that never answered: its report is all there is to go by, so it is believed at once, without waiting for a deadline.

    An undecryptable request brings no report from net-snmp; silence after discovery, twice, says it.
    """
    polled = Polled.of(case.ours, at_device=case.theirs)
    assert outcome(polled.poll()) == case.first
    assert outcome(polled.poll()) == case.second
    assert polled.channel.engine_id == b""


def test_a_privacy_password_changed_under_way_is_named_in_the_end() -> None:
    """A device that answered and now drops our requests, but says who it is each time it is asked."""
    polled = Polled.of()
    polled.poll()
    polled.engine.user = replace(USER, priv_password="changed-it")
    assert [outcome(polled.poll()) for _ in range(6)] == [RequestTimedOut] * 4 + [DecryptionFailed] * 2
    polled.engine.user = USER
    assert polled.poll() == VALUE


def test_losses_are_no_wrong_password() -> None:
    """Requests lost now and then, even with discovery answered between, stay timeouts."""
    polled = Polled.of()
    polled.poll()
    for _ in range(20):
        assert outcome(polled.poll(lambda _: [])) == RequestTimedOut
        lost = iter([True, False])  # the probe is answered, the request lost
        assert outcome(polled.poll(lambda datagram, lost=lost: polled.answers(datagram) if next(lost) else [])) == RequestTimedOut
        assert polled.poll() == VALUE


def test_a_dead_device_is_a_timeout_for_ever() -> None:
    """Silence alone accuses nobody; afterwards who is there is asked first, since it may be another."""
    polled = Polled.of()
    polled.poll()
    assert {outcome(polled.poll(lambda _: [])) for _ in range(10)} == {RequestTimedOut}
    polled.engine.log.clear()
    assert polled.poll() == VALUE
    assert polled.engine.log == ["unknownEngineIDs", "ok"]


def test_two_passwords_of_one_user() -> None:
    """Two devices, one user name, two passwords, one key ring: each keeps its own."""
    other = replace(USER, auth_password="otherauth99", priv_password="otherpriv99")
    both = [Polled.of(), Polled.of(other)]
    assert [polled.poll() for _ in range(3) for polled in both] == [VALUE] * 6


def test_two_devices_with_one_engine_id() -> None:
    """Cloned machines: keys shared, clocks 100,000 s and six boots apart, and never a resynchronisation."""
    both = [Polled.of(), Polled.of(boots=9, clock_offset=105_000.0)]
    assert [polled.poll() for _ in range(3) for polled in both] == [VALUE] * 6
    assert [polled.engine.log.count("ok") for polled in both] == [3, 3]
    assert not any(polled.channel.learnt for polled in both)


def test_steady_polling_stays_at_one_message_each() -> None:
    """An hour of polls every ten seconds, the device's clock running half a percent fast: no second exchange, ever."""
    polled = Polled.of()
    polled.poll()
    for _ in range(360):
        polled.clock.advance(10.0)
        polled.engine.clock_offset += 0.05
        assert polled.poll() == VALUE
        assert len(polled.sent) == 1


def test_a_device_that_sleeps_for_a_day_is_one_message_away() -> None:
    """What is known of a clock does not expire."""
    polled = Polled.of()
    polled.poll()
    polled.clock.advance(86_400.0)
    assert polled.poll() == VALUE
    assert len(polled.sent) == 1


def test_reboots_during_an_exchange() -> None:
    """It restarts between our messages: the same exchange still reads."""
    polled = Polled.of()
    polled.poll()
    restarts = iter([True, True, False])

    def wire(datagram: bytes) -> list[bytes]:
        if next(restarts):
            polled.engine.reboot()
        return polled.answers(datagram)

    assert polled.poll(wire) == VALUE
    assert len(polled.sent) == 3


def test_an_engine_that_is_never_in_time_is_given_up() -> None:
    """Each report names another clock: a bounded number of messages, then an error by name."""
    polled = Polled.of()
    polled.poll()

    def wire(datagram: bytes) -> list[bytes]:
        polled.engine.boots += 1
        return polled.answers(datagram)

    assert outcome(polled.poll(wire)) == NotInTimeWindow
    assert len(polled.sent) == 5
    assert polled.poll() == VALUE


def test_an_engine_that_changes_its_id_each_time_is_given_up() -> None:
    """No loop of discoveries; and what answered before is known again afterwards."""
    polled = Polled.of()
    polled.poll()
    known = polled.engine.engine_id

    def wire(datagram: bytes) -> list[bytes]:
        polled.engine.engine_id = known + bytes([len(polled.sent)])
        return polled.answers(datagram)

    assert outcome(polled.poll(wire)) == NotInTimeWindow
    assert len(polled.sent) == 5
    assert polled.channel.ignored == {"discovery_loop": 1}
    polled.engine.engine_id = known
    assert polled.poll() == VALUE


def test_an_engine_id_that_can_be_none_is_not_taken() -> None:
    """RFC 3411 section 5."""
    polled = Polled.of(engine_id=bytes(8))
    result = polled.poll()
    assert isinstance(result, UnreadableAnswer)
    assert "engine id" in str(result)
    assert polled.channel.ignored == {"engine_id": 1}


def test_a_device_that_tells_no_clock_is_asked_for_it() -> None:
    """Some name boots 0 and time 0 in discovery: the first request is out of time, and its report, with a digest, sets the clock."""
    polled = Polled.of()

    def wire(datagram: bytes) -> list[bytes]:
        return [forged(polled, "unknownEngineIDs", boots=0, time=0)] if len(polled.sent) == 1 else polled.answers(datagram)

    assert polled.poll(wire) == VALUE
    assert polled.engine.log == ["notInTimeWindows", "ok"]
    assert polled.channel.learnt == {"forward": 1}


def test_more_security_than_asked_is_refused_too() -> None:
    """RFC 3412 section 7.2 step 12: the level must be the one that was asked for."""
    polled = Polled.of(AUTH_ONLY, at_device=USER)
    polled.engine.response_flags = 3
    assert isinstance(polled.poll(), UnreadableAnswer)
    polled.engine.response_flags = None
    assert polled.poll() == VALUE


def test_context_names_travel_and_come_back() -> None:
    """A context of the device is read under its name."""
    polled = Polled.of(replace(USER, context_name="vlan-7"), contexts=frozenset({b"", b"vlan-7"}))
    assert polled.poll() == VALUE


def test_side_by_side_exchanges_survive_a_reboot() -> None:
    """Three requests on their way when the device restarts: each is sealed again, each answered, the clock moved once."""
    polled = Polled.of()
    polled.poll()
    polled.engine.reboot()
    ids = [0x0200_0001, 0x0200_0002, 0x0200_0003]
    inbox = [answer for number in ids for answer in polled.answers(polled.channel.seal(REQUEST.pdu(number), number) or b"")]
    verdicts = []
    while inbox:
        opened = polled.channel.open(inbox.pop(0))
        verdicts.append((opened.message_id, opened.verdict))
        if opened.verdict is Verdict.SEAL_AGAIN:
            sealed = polled.channel.seal(REQUEST.pdu(opened.message_id), opened.message_id)
            inbox += polled.answers(sealed or b"")
    assert verdicts == [(number, Verdict.SEAL_AGAIN) for number in ids] + [(number, Verdict.ANSWER) for number in ids]


def test_the_list_of_waiting_exchanges_is_bounded() -> None:
    """Whatever a session forgets to end: the oldest are given up, the newest still answered. What it does end is gone."""
    polled = Polled.of()
    polled.poll()
    for number in range(3_000):
        polled.channel.seal(REQUEST.pdu(0x0300_0000 + number), 0x0300_0000 + number)
    assert len(polled.channel._waiting) == 1_024
    for number in range(3_000):
        polled.channel.forget(0x0300_0000 + number)
    assert not polled.channel._waiting
    late = polled.answers(polled.channel.seal(REQUEST.pdu(0x0300_0000), 0x0300_0000) or b"")
    polled.channel.forget(0x0300_0000)
    assert polled.channel.open(late[0]).verdict is Verdict.IGNORED
    assert polled.poll() == VALUE


def test_salts_and_initialisation_vectors_never_repeat() -> None:
    """Nor do messages: the same question a thousand times is a thousand different datagrams."""
    polled = Polled.of()
    polled.poll()
    sealed = [polled.channel.seal(REQUEST.pdu(0x0400_0000), 0x0400_0000) for _ in range(1_000)]
    assert len({(datagram or b"")[-len(REQUEST.pdu(0x0400_0000)) :] for datagram in sealed}) == 1_000


def test_a_template_is_the_message_that_pyasn1_reads() -> None:
    """At every width of engineTime, and with ids of any size, the engine (strict pyasn1) understands the first message."""
    for time in (5, 127, 128, 32_767, 32_768, 8_388_607, 8_388_608, 2**31 - 200):
        polled = Polled.of(clock_offset=time - 100.0)
        assert polled.poll() == VALUE
        for number in (1, 127, 128, 70_000, 2**31 - 1):
            datagram = polled.channel.seal(REQUEST.pdu(0x0500_0000), number)
            (answer,) = polled.answers(datagram or b"")
            assert polled.channel.open(answer).verdict is Verdict.ANSWER


def test_octets_behind_the_message_are_not_part_of_it() -> None:
    """Some devices pad datagrams; the digest is that of the message."""
    polled = Polled.of()
    assert polled.poll(lambda datagram: [answer + b"\0\0\0" for answer in polled.answers(datagram)]) == VALUE


def test_an_answer_that_holds_no_pdu_is_named() -> None:
    """A right digest over a scoped PDU that is none: the device's own doing, so it is not waited out."""
    polled = Polled.of(AUTH_ONLY)
    polled.poll()
    keys = KEYS.local_keys(AUTH_ONLY, polled.engine.engine_id)

    def broken(message: bytes) -> bytes:
        at = message.index(b"\x04\x0c") + 2
        inner = message.rindex(element(4, polled.engine.engine_id)) - 2
        hollow = message[:inner] + bytes([SEQUENCE]) + message[inner + 1 : inner + 2] + bytes(len(message) - inner - 2)
        blank = hollow[:at] + bytes(12) + hollow[at + 12 :]
        auth = polled.channel._auth
        assert auth is not None
        return blank[:at] + auth.mac(keys.auth, blank) + blank[at + 12 :]

    polled.engine.tamper = broken
    result = polled.poll()
    assert isinstance(result, UnreadableAnswer)
    assert "no PDU" in str(result)


def report(polled: Polled, datagram: bytes, kind: str, flags: int) -> bytes:
    """A report of the device itself."""
    request = Request(read_id(datagram), flags, polled.engine.engine_id, 0, 0, USER.security_name)
    return polled.engine.report(request, kind, flags=flags)


@pytest.mark.parametrize("flags", [1, 3], ids=["authNoPriv", "authPriv"])
def test_a_report_with_the_right_digest_ends_the_exchange_at_once(flags: int) -> None:
    """Nothing better can come; but not if it is older than the window allows, like any other message."""
    polled = Polled.of()
    polled.poll()
    assert outcome(polled.poll(lambda datagram: [report(polled, datagram, "decryptionErrors", flags)])) == DecryptionFailed
    polled.engine.clock_offset -= 200.0
    result = polled.poll(lambda datagram: [report(polled, datagram, "decryptionErrors", flags)])
    assert outcome(result) == UnreadableAnswer
    assert polled.channel.ignored == {"outside_time_window": 1}


@pytest.mark.parametrize("flags", [0, 1, 3])
@pytest.mark.parametrize("kind", ["notInTimeWindows", "wrongDigests", "unknownUserNames"])
def test_only_unknown_engine_id_answers_discovery(kind: str, flags: int) -> None:
    """A probe asks who is there. Other reports, with a digest too, neither name an engine nor move its clock nor end the exchange."""
    polled = Polled.of()

    def lying(datagram: bytes, *, and_honest: bool) -> list[bytes]:
        lies = [report(polled, datagram, kind, flags)] if len(polled.sent) == 1 else []
        return lies + (polled.answers(datagram) if and_honest else [])

    assert outcome(polled.poll(lambda datagram: lying(datagram, and_honest=False))) == UnreadableAnswer
    assert polled.poll() == VALUE
    polled.poll(lambda _: [])  # silence: the next poll asks again who is there
    engine = polled.channel._engine
    assert engine is not None
    clock_before = engine.time_at(0.0)
    assert polled.poll(lambda datagram: lying(datagram, and_honest=True)) == VALUE
    assert engine.time_at(0.0) == clock_before
    assert not polled.channel.learnt


def test_request_templates_are_bounded() -> None:
    """Requests of a thousand lengths leave no thousand templates."""
    polled = Polled.of()
    polled.poll()
    for names in range(300):
        request = build_request(GET_REQUEST, [b"\x2b\x06\x01"] * names)
        assert polled.channel.seal(request.pdu(0x0600_0000), 0x0600_0000)
    assert len(polled.channel._sealer._shapes) <= 64
    assert polled.poll() == VALUE


def test_a_silent_agent_may_also_lack_the_context() -> None:
    """net-snmp drops requests for contexts it does not have, as it drops what it cannot decrypt: the error names both."""
    polled = Polled.of(replace(USER, context_name="vlan-7"))
    results = [polled.poll(lambda datagram: polled.answers(datagram) if len(polled.sent) == 1 else []) for _ in range(2)]
    assert [outcome(result) for result in results] == [RequestTimedOut, DecryptionFailed]
    assert "'vlan-7'" in str(results[1])
