"""SNMPv3 notifications checked: who is authoritative, what is believed, what a sender is told; without sockets."""

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manual_clock import ManualClock

from netmote.snmp.credentials import UsmUser
from netmote.snmp.mib import SYS_UP_TIME
from netmote.snmp.native.ber import BerError, element, integer
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.native.notification_pdu import INFORM, TRAP_V2, read_notification
from netmote.snmp.native.notification_receiver import NotificationReceiver
from netmote.snmp.native.pdu import GET_REQUEST, REPORT, read_response
from netmote.snmp.native.sender_limits import Remembered, SenderLimits
from netmote.snmp.native.usm.engine import AuthoritativeEngine
from netmote.snmp.native.usm.keys import KeyRing, protocols
from netmote.snmp.native.usm.message import AUTH_FLAG, read_message, read_scoped_pdu
from netmote.snmp.native.usm.privacy import SaltCounter
from netmote.snmp.native.usm.receiver import OwnEngine, UsmReceiver
from netmote.snmp.native.usm.reports import NOT_IN_TIME_WINDOWS, UNKNOWN_ENGINE_IDS
from netmote.snmp.native.usm.sealer import Sealer
from netmote.snmp.notification import LINK_DOWN, SNMP_TRAP_OID

OURS = bytes.fromhex("800000000501020304")
THEIRS = bytes.fromhex("80001f880454524150")
USER = UsmUser("watcher", "sha", "aes128", "authpass123", "privpass123")
PLAIN = UsmUser("plain", "none", "none", None, None)


def notification_pdu(kind: int = TRAP_V2, request_id: int = 7) -> bytes:
    """A linkDown."""
    up_time = element(0x30, element(0x06, SYS_UP_TIME) + element(0x43, b"\x10"))
    name = element(0x30, element(0x06, SNMP_TRAP_OID) + element(0x06, LINK_DOWN))
    return element(kind, integer(request_id) + integer(0) * 2 + element(0x30, up_time + name))


class Sender:
    """Who sends notifications under a user; authoritative itself unless told another engine."""

    def __init__(
        self, clock: ManualClock, user: UsmUser = USER, engine_id: bytes = THEIRS, *, boots: int = 3, time: int = 1000
    ) -> None:
        self.clock, self.ring = clock, KeyRing()
        self.ring.prepare(user)
        self.engine = AuthoritativeEngine(
            engine_id, self.ring.local_keys(user, engine_id), boots=boots, time=time, now=clock.monotonic()
        )
        auth, priv = protocols(user)
        self.sealer = Sealer(user.security_name.encode(), b"", auth=auth, priv=priv, salts=SaltCounter(random.Random(2)))

    def seal(self, pdu: bytes, message_id: int = 77) -> bytes:
        return self.sealer.request(self.engine, pdu, message_id, self.clock.monotonic())


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.advance(10_000.0)
    return clock


def usm(
    clock: ManualClock,
    *,
    most_engines: int = 4,
    boots: int = 5,
    clocks_of: Callable[[bytes], Sequence[EngineClock]] = lambda _: (),
) -> UsmReceiver:
    own = OwnEngine(OURS, boots, clock.monotonic() - 500.0)
    return UsmReceiver(
        [USER, PLAIN],
        own=own,
        keys=KeyRing(),
        salts=SaltCounter(random.Random(1)),
        monotonic=clock.monotonic,
        most_engines=most_engines,
        clocks_of=clocks_of,
    )


def reported(report: bytes) -> bytes:
    """The counter that an unencrypted report names."""
    message = read_message(report)
    return read_response(read_scoped_pdu(message.octets, message.data_start, message.data_end).pdu, REPORT).varbinds[0].oid


def test_a_trap_of_an_engine_never_seen_is_read_at_first_sight(clock: ManualClock) -> None:
    """The user's keys are localised to whatever engine id comes; the right digest proves it."""
    receiver = usm(clock)
    accepted = receiver.open(Sender(clock).seal(notification_pdu())).accepted
    assert accepted is not None
    assert accepted.engine_id == THEIRS
    assert read_notification(accepted.pdu).trap_oid == LINK_DOWN
    assert receiver.engines == 1


def test_an_altered_trap_is_not_believed_and_costs_no_place(clock: ManualClock) -> None:
    """Any octet changed: refused, nothing is remembered of its engine."""
    datagram = Sender(clock).seal(notification_pdu())
    for at in range(len(datagram)):
        receiver = usm(clock)
        changed = datagram[:at] + bytes((datagram[at] ^ 0x41,)) + datagram[at + 1 :]
        assert receiver.open(changed).accepted is None, at
        assert receiver.engines == 0


def test_a_recorded_trap_is_refused_once_its_time_has_passed(clock: ManualClock) -> None:
    """Older than 150 s behind the newest of its engine, or of an earlier boot: not in time (RFC 3414 section 3.2.7 b)."""
    receiver, sender = usm(clock), Sender(clock)
    old = sender.seal(notification_pdu())
    assert receiver.open(old).accepted
    clock.advance(151.5)
    assert receiver.open(old).reason == "not_in_time"
    rebooted = Sender(clock, boots=4, time=1)
    assert receiver.open(rebooted.seal(notification_pdu())).accepted
    assert receiver.open(sender.seal(notification_pdu())).reason == "not_in_time"


def test_the_table_of_engines_is_bounded(clock: ManualClock) -> None:
    """The engine heard longest ago is forgotten, counted."""
    receiver = usm(clock, most_engines=4)
    for number in range(6):
        assert receiver.open(Sender(clock, engine_id=THEIRS + bytes((number,))).seal(notification_pdu())).accepted
    assert (receiver.engines, receiver.engines_forgotten) == (4, 2)


@pytest.mark.parametrize(
    ("sender", "reason"),
    [
        (lambda clock: Sender(clock, UsmUser("watcher", "sha", "none", "authpass123", None)), "security_level"),
        (lambda clock: Sender(clock, UsmUser("watcher", "none", "none", None, None)), "security_level"),
        (lambda clock: Sender(clock, UsmUser("stranger", "sha", "aes128", "authpass123", "privpass123")), "unknown_user"),
        (lambda clock: Sender(clock, UsmUser("watcher", "sha", "aes128", "authpass124", "privpass123")), "wrong_digest"),
        (lambda clock: Sender(clock, UsmUser("watcher", "sha256", "aes128", "authpass123", "privpass123")), "wrong_digest"),
        (lambda clock: Sender(clock, UsmUser("watcher", "sha", "aes128", "authpass123", "privpass124")), "undecipherable"),
    ],
)
def test_nothing_below_or_beside_the_configured_user_is_believed(
    clock: ManualClock, sender: Callable[[ManualClock], Sender], reason: str
) -> None:
    """Another level, user, password or protocol: refused under its own reason."""
    opened = usm(clock).open(sender(clock).seal(notification_pdu()))
    assert opened.accepted is None
    assert opened.reason == reason


def test_an_inform_is_led_to_our_engine_and_answered(clock: ManualClock) -> None:
    """Probe -> report with our id, boots and time -> inform under them -> Response of the same request under the same msgID."""
    receiver, stranger = usm(clock), Sender(clock)
    probe = stranger.sealer.probe(55)
    opened = receiver.open(probe)
    assert opened.reason == "discovery"
    report = read_message(opened.report)
    assert (report.message_id, report.engine_id, report.boots, report.time) == (55, OURS, 5, 500)
    assert reported(opened.report) == UNKNOWN_ENGINE_IDS
    sender = Sender(clock, engine_id=report.engine_id, boots=report.boots, time=report.time)
    accepted = receiver.open(sender.seal(notification_pdu(INFORM, 4711), 56)).accepted
    assert accepted is not None
    answer = read_message(receiver.answer(accepted, b"\xa2" + accepted.pdu[1:]))
    assert answer.message_id == 56
    assert answer.flags == 3  # authPriv, nothing to report to (RFC 3412 section 7.1)
    auth, _ = protocols(USER)
    assert auth is not None
    assert auth.is_authentic(sender.engine.keys.auth, answer.octets, answer.digest_start, answer.digest_end)
    assert sender.engine.keys.privacy is not None
    secret = answer.octets[answer.data_start : answer.data_end]
    plain = sender.engine.keys.privacy.decrypt(secret, answer.boots, answer.time, answer.salt)
    head = plain.index(b"\xa2")
    assert read_response(plain[head:]).request_id == 4711


def test_an_inform_to_another_engine_is_told_ours(clock: ManualClock) -> None:
    """A sender that takes itself for authoritative learns who is."""
    opened = usm(clock).open(Sender(clock).seal(notification_pdu(INFORM)))
    assert opened.accepted is None
    assert reported(opened.report) == UNKNOWN_ENGINE_IDS


@pytest.mark.parametrize(("boots", "time"), [(4, 500), (6, 500), (5, 340), (5, 660)])
def test_an_inform_outside_our_time_is_told_our_clock_authentically(clock: ManualClock, boots: int, time: int) -> None:
    """RFC 3414 section 3.2.7 a: other boots, or more than 150 s away either way; the report has a digest."""
    sender = Sender(clock, engine_id=OURS, boots=boots, time=time)
    opened = usm(clock).open(sender.seal(notification_pdu(INFORM)))
    assert opened.reason == "not_in_time"
    report = read_message(opened.report)
    assert report.flags == AUTH_FLAG
    assert (report.boots, report.time) == (5, 500)
    auth, _ = protocols(USER)
    assert auth is not None
    assert auth.is_authentic(sender.engine.keys.auth, report.octets, report.digest_start, report.digest_end)
    assert reported(opened.report) == NOT_IN_TIME_WINDOWS


def test_an_inform_of_our_last_life_is_refused_after_a_restart(clock: ManualClock) -> None:
    """Boots rose: what was recorded before is not in time, however short ago."""
    sender = Sender(clock, engine_id=OURS, boots=5, time=500)
    recorded = sender.seal(notification_pdu(INFORM))
    assert usm(clock, boots=5).open(recorded).accepted
    assert usm(clock, boots=6).open(recorded).reason == "not_in_time"


def test_only_notifications_are_taken(clock: ManualClock) -> None:
    """A request to us, a trap in our own name: no notification."""
    assert usm(clock).open(Sender(clock).seal(notification_pdu(GET_REQUEST))).reason == "not_a_notification"
    assert (
        usm(clock).open(Sender(clock, engine_id=OURS, boots=5, time=500).seal(notification_pdu())).reason == "not_a_notification"
    )


def test_a_user_without_passwords_is_as_good_as_a_community(clock: ManualClock) -> None:
    """Accepted where it is configured, and proves no engine."""
    accepted = usm(clock).open(Sender(clock, PLAIN).seal(notification_pdu())).accepted
    assert accepted is not None
    assert accepted.engine_id == b""


def whole(clock: ManualClock) -> NotificationReceiver:
    return NotificationReceiver(
        ["public"],
        usm(clock),
        limits=SenderLimits(rate=1e9, burst=1e9),
        remembered=Remembered(most=64),
        monotonic=clock.monotonic,
    )


_CLOCK = ManualClock()
_CLOCK.advance(10_000.0)
_WHOLE = whole(_CLOCK)
_SEEDS = [
    Sender(_CLOCK).seal(notification_pdu()),
    Sender(_CLOCK, engine_id=OURS, boots=5, time=500).seal(notification_pdu(INFORM)),
    Sender(_CLOCK, PLAIN).seal(notification_pdu()),
    element(0x30, integer(1) + element(0x04, b"public") + notification_pdu()),
    element(0x30, integer(1) + element(0x04, b"public") + notification_pdu(INFORM)),
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_octets_raise_and_every_datagram_is_accounted_for(data: st.DataObject) -> None:
    """Garbage, and messages cut, changed and lengthened: each gives a notification or one more of a counted reason."""
    datagram = data.draw(st.one_of(st.binary(max_size=200), st.sampled_from(_SEEDS)))
    if datagram in _SEEDS:
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(datagram)))
            datagram = datagram[:at] + data.draw(st.binary(max_size=3)) + datagram[at + data.draw(st.integers(0, 3)) :]
    before = _WHOLE.dropped.total()
    outcome = _WHOLE.receive(datagram, "192.0.2.1")
    assert (outcome.received is None) == (_WHOLE.dropped.total() == before + 1)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_pdus_of_any_octets_are_read_or_refused(octets: bytes) -> None:
    """`read_notification` raises BerError or nothing."""
    for pdu in (octets, element(0xA4, octets), element(TRAP_V2, octets)):
        try:
            read_notification(pdu)
        except BerError:
            continue


class Polled:
    """What polls were shown of engines, and how often that was asked for."""

    def __init__(self, *clocks: EngineClock) -> None:
        self.clocks, self.asked = list(clocks), list[bytes]()

    def __call__(self, engine_id: bytes) -> Sequence[EngineClock]:
        self.asked.append(engine_id)
        return self.clocks


@pytest.mark.parametrize(("boots", "time", "kind"), [(1, 40, "boots_back"), (3, 40, "clock_back")])
def test_a_sender_that_went_back_counts_again_once_a_poll_was_shown_its_clock(
    clock: ManualClock, boots: int, time: int, kind: str
) -> None:
    """Not before, not by a clock that does not fit, and never by its own word; each such step is counted."""
    polled = Polled()
    receiver = usm(clock, clocks_of=polled)
    assert receiver.open(Sender(clock).seal(notification_pdu())).accepted
    gone_back = Sender(clock, boots=boots, time=time)
    for clocks in ([], [EngineClock(9, time)], [EngineClock(boots, time + 500)]):
        polled.clocks = clocks
        clock.advance(2.0)
        assert receiver.open(gone_back.seal(notification_pdu())).reason == "not_in_time"
    polled.clocks = [EngineClock(7, 7), EngineClock(boots, time + 8)]  # a clone of the same id, and this one
    clock.advance(2.0)
    assert receiver.open(gone_back.seal(notification_pdu())).accepted
    assert receiver.resynchronised == {kind: 1}
    assert receiver.open(gone_back.seal(notification_pdu())).accepted
    assert set(polled.asked) == {THEIRS}
    assert len(polled.asked) == 4, "what lies in the window needs no question"


def test_recordings_of_before_stay_refused_after_an_engine_went_back(clock: ManualClock) -> None:
    """Boots that count up again pass through old numbers: what was recorded under them is believed only where a poll is shown the same."""
    polled = Polled(EngineClock(1, 40))
    receiver = usm(clock, clocks_of=polled)
    before = Sender(clock)
    assert receiver.open(before.seal(notification_pdu())).accepted
    recorded = before.seal(notification_pdu(request_id=8))
    earlier = Sender(clock, boots=2).seal(notification_pdu(request_id=9))
    assert receiver.open(Sender(clock, boots=1, time=40).seal(notification_pdu())).accepted
    clock.advance(2.0)
    polled.clocks = [EngineClock(1, 42)]
    for replayed in (recorded, earlier):
        clock.advance(2.0)
        assert receiver.open(replayed).reason == "not_in_time"
    assert receiver.open(Sender(clock, boots=1, time=46).seal(notification_pdu())).accepted, "and it did not move the clock"
    clock.advance(2.0)
    polled.clocks = [EngineClock(2, 5)]
    assert receiver.open(Sender(clock, boots=2, time=4).seal(notification_pdu())).accepted, "a restart that a poll saw"
    clock.advance(2.0)
    assert receiver.open(Sender(clock, boots=4, time=1).seal(notification_pdu())).accepted, "past what was there before"
    assert receiver.open(recorded).reason == "not_in_time"


def test_only_who_has_the_key_makes_us_look_and_not_often(clock: ManualClock) -> None:
    """A flood of wrong digests asks nothing; of a flood of recordings one a second and engine does."""
    polled = Polled(EngineClock(3, 1000))
    receiver = usm(clock, clocks_of=polled)
    sender = Sender(clock)
    assert receiver.open(sender.seal(notification_pdu())).accepted
    old = Sender(clock, boots=2).seal(notification_pdu())
    assert receiver.open(old[:-1] + bytes([old[-1] ^ 1])).reason == "wrong_digest"
    assert polled.asked == []
    for _ in range(100):
        assert receiver.open(old).reason == "not_in_time"
    assert len(polled.asked) == 1
    assert receiver.resynchronised == {}
