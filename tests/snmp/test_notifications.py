"""What a notification of a polled device does: facts at once, a poll soon, and no quarrel with the polls around it."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock
from snmp_scripted import ScriptedBackend, ScriptedDevice

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.notification import (
    AUTHENTICATION_FAILURE,
    COLD_START,
    LINK_DOWN,
    LINK_UP,
    SNMP_TRAP_ADDRESS,
    WARM_START,
    Notification,
)
from netmote.snmp.notifications import interpret, notification_fact, value_text
from netmote.snmp.oid import encode_arcs, parse_oid
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.session import Varbind
from netmote.snmp.target import HURRY_SECONDS, Target

DEVICE = Entity(EntityKind.DEVICE, "sw")
NOW = 1_700_000_000_000_000_000
UP, DOWN, LOWER_LAYER_DOWN = 1, 2, 7
IF_INDEX = parse_oid("1.3.6.1.2.1.2.2.1.1")


def link(trap: bytes, index: int, *, admin: int | None = UP, oper: int | None = None) -> Notification:
    """LinkDown or linkUp with the objects of RFC 2863; None leaves one out, as RFC 1157 and Cisco do."""
    columns = [(IF_INDEX, index), (mib.COLUMN["ifAdminStatus"], admin), (mib.COLUMN["ifOperStatus"], oper)]
    varbinds = [
        Varbind(column + encode_arcs((index,)), mib.INTEGER, bytes((value,))) for column, value in columns if value is not None
    ]
    return Notification(trap, 100, varbinds, is_confirmed=False)


def other(oid: str, *varbinds: Varbind) -> Notification:
    return Notification(parse_oid(oid), 100, list(varbinds), is_confirmed=False)


class Bench:
    """A polled device of two ports that has something to say."""

    def __init__(self, *, interval: float = 10.0) -> None:
        self.clock = ManualClock()
        self.device = ScriptedDevice()
        self.ticks = 1_000_000
        self.device.boot(up_time=self.ticks)
        self.device.port(1, "eth1")
        self.device.port(2, "eth2")
        self.emitted: list[Batch] = []
        self.target = Target(
            TargetConfig.model_validate({"name": "sw", "address": "192.0.2.1", "retries": 0}),
            interval=interval,
            backend=ScriptedBackend({"sw": self.device}),
            window=SendWindow(10),
            clock=self.clock,
            random=Random(1),
            emit=self.emitted.append,
        )

    async def poll(self, seconds: float = 10.0) -> list[tuple[str, str, float]]:
        self.clock.advance(seconds)
        self.ticks += round(seconds * 100)
        self.device.boot(up_time=self.ticks)
        self.emitted.clear()
        await self.target.poll()
        return self.facts()

    def notify(self, notification: Notification) -> list[tuple[str, str, float]]:
        self.emitted.clear()
        self.target.notify(notification)
        return self.facts()

    def facts(self) -> list[tuple[str, str, float]]:
        """Those of ports and of notifications."""
        found = [fact for batch in self.emitted if isinstance(batch, FactBatch) for fact in batch.facts]
        return [(fact.entity.name, fact.name, fact.value) for fact in found if fact.name.startswith(("interface", "snmp"))]


async def test_link_down_begins_and_link_up_ends_the_condition_of_the_port_at_once() -> None:
    """By ifIndex, under the port's name."""
    bench = Bench()
    await bench.poll()
    assert bench.notify(link(LINK_DOWN, 1, oper=DOWN)) == [("sw/eth1", "interface_down", 1.0)]
    assert bench.notify(link(LINK_DOWN, 1, oper=DOWN)) == []
    assert bench.notify(link(LINK_UP, 1, oper=UP)) == [("sw/eth1", "interface_down", 0.0)]
    assert bench.notify(link(LINK_UP, 1, oper=UP)) == []


async def test_a_link_down_that_still_shows_the_state_before_is_a_link_down() -> None:
    """RFC 2863: ifOperStatus may be that from which it changes."""
    bench = Bench()
    await bench.poll()
    assert bench.notify(link(LINK_DOWN, 1, oper=UP)) == [("sw/eth1", "interface_down", 1.0)]


async def test_the_poll_of_the_next_seconds_does_not_contradict_and_a_later_one_decides() -> None:
    """An agent answers from a copy that is seconds old; five seconds on the poll is what counts."""
    bench = Bench()
    await bench.poll()
    bench.notify(link(LINK_DOWN, 1, oper=DOWN))
    assert await bench.poll(1.0) == []
    assert await bench.poll(10.0) == [("sw/eth1", "interface_down", 0.0)]
    assert await bench.poll(10.0) == []


async def test_the_poll_that_agrees_says_nothing_again() -> None:
    """One condition, begun once, whoever saw it."""
    bench = Bench()
    await bench.poll()
    bench.notify(link(LINK_DOWN, 1, oper=DOWN))
    bench.device.port(1, "eth1", oper=DOWN)
    assert await bench.poll(1.0) == []
    bench.device.port(1, "eth1")
    assert await bench.poll(1.0) == [("sw/eth1", "interface_down", 0.0)]


async def test_a_port_that_is_shut_is_no_fault() -> None:
    """LinkDown with ifAdminStatus down; and where it does not say, the poll has to."""
    bench = Bench()
    await bench.poll()
    assert bench.notify(link(LINK_DOWN, 1, admin=DOWN, oper=DOWN)) == []
    assert bench.notify(link(LINK_DOWN, 1, admin=None)) == []
    bench.device.port(1, "eth1", oper=DOWN)
    assert await bench.poll(0.5) == [("sw/eth1", "interface_down", 1.0)]


async def test_a_port_nobody_knows_is_a_plain_notification() -> None:
    """Before the first poll, or of another ifIndex: nothing is guessed."""
    bench = Bench()
    assert bench.notify(link(LINK_DOWN, 1, oper=DOWN)) == [("sw", "snmp_notification", 1.0)]
    await bench.poll()
    assert bench.notify(link(LINK_DOWN, 99, oper=DOWN)) == [("sw", "snmp_notification", 1.0)]
    assert bench.notify(Notification(LINK_DOWN, 1, [], is_confirmed=False)) == [("sw", "snmp_notification", 1.0)]


async def test_a_restart_is_left_to_the_poll_which_comes_soon() -> None:
    """ColdStart is no fact of its own: sysUpTime tells agent from device, and the counters what to make of it."""
    for trap in (COLD_START, WARM_START):
        meaning = interpret(Notification(trap, 5, [], is_confirmed=False), DEVICE, NOW)
        assert (meaning.facts, meaning.is_poll_wanted) == ((), True)


async def test_a_poll_wanted_comes_within_a_second_and_not_more_often() -> None:
    """With an interval of a minute: the poll after coldStart comes at once; fifty linkDown make one more, a second later."""
    device = ScriptedDevice()
    device.boot(up_time=1000)
    device.port(1, "eth1")
    polls: list[float] = []
    loop = asyncio.get_running_loop()

    def emit(batch: Batch) -> None:
        if isinstance(batch, DeviceRecord):
            polls.append(loop.time())

    target = Target(
        TargetConfig.model_validate({"name": "a", "address": "192.0.2.1"}),
        interval=60.0,
        backend=ScriptedBackend({"a": device}),
        window=SendWindow(10),
        clock=SystemClock(),
        random=Random(1),
        emit=emit,
    )
    task = asyncio.ensure_future(target.run())
    try:
        target.notify(Notification(COLD_START, 1, [], is_confirmed=False))
        await asyncio.sleep(0.3)
        assert len(polls) == 1
        for _ in range(50):
            target.notify(link(LINK_DOWN, 1, oper=DOWN))
        await asyncio.sleep(HURRY_SECONDS + 0.5)
        assert len(polls) == 2
        assert polls[1] - polls[0] >= HURRY_SECONDS - 0.05
        assert target.status().polls.get("skipped", 0) == 0
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_a_refused_request_of_someone_else_is_not_ours() -> None:
    """AuthenticationFailure has its own fact, with the address of who was refused where the device tells it (Cisco's authAddr)."""
    addressed = Notification(
        AUTHENTICATION_FAILURE,
        5,
        [
            Varbind(SNMP_TRAP_ADDRESS, 0x40, bytes((192, 0, 2, 1))),
            Varbind(parse_oid("1.3.6.1.4.1.9.2.1.5.0"), 0x40, bytes((203, 0, 113, 9))),
        ],
        is_confirmed=False,
    )
    (fact,) = interpret(addressed, DEVICE, NOW).facts
    assert (fact.name, dict(fact.annotations)) == ("snmp_foreign_authentication_failure", {"from": "203.0.113.9"})
    (fact,) = interpret(other("1.3.6.1.6.3.1.1.5.5"), DEVICE, NOW).facts
    assert dict(fact.annotations) == {}


@pytest.mark.parametrize(
    ("varbind", "text"),
    [
        (Varbind(b"\x2b", mib.INTEGER, b"\xff"), "-1"),
        (Varbind(b"\x2b", mib.GAUGE32, b"\xff\xff\xff\xff"), "4294967295"),
        (Varbind(b"\x2b", mib.OCTET_STRING, b"fan 2 failed"), "fan 2 failed"),
        (Varbind(b"\x2b", mib.OCTET_STRING, b"\x00\x1b\x21"), "001b21"),
        (Varbind(b"\x2b", mib.OCTET_STRING, b"a\x1b[31mb"), "611b5b33316d62"),
        (Varbind(b"\x2b", 0x40, bytes((192, 0, 2, 1))), "192.0.2.1"),
        (Varbind(b"\x2b", mib.OBJECT_IDENTIFIER, LINK_UP), "1.3.6.1.6.3.1.1.5.4"),
        (Varbind(b"\x2b", mib.OCTET_STRING, b"x" * 500), "x" * 61 + "..."),
    ],
)
def test_values_are_text_for_people(varbind: Varbind, text: str) -> None:
    """Readable, short, and never a control character."""
    assert value_text(varbind) == text


@given(
    st.lists(
        st.builds(Varbind, st.binary(min_size=1, max_size=200), st.integers(0, 255), st.binary(max_size=2000)), max_size=300
    ),
    st.binary(min_size=1, max_size=600),
)
def test_any_notification_becomes_a_fact_of_bounded_size(varbinds: list[Varbind], trap: bytes) -> None:
    """Whatever octets the varbinds hold: at most ten annotations of at most 128 characters, all printable."""
    meaning = interpret(Notification(trap, 0, varbinds, is_confirmed=False), DEVICE, NOW)
    facts: list[Fact] = [*meaning.facts, notification_fact(Notification(trap, 0, varbinds, is_confirmed=True), DEVICE, NOW)]
    for fact in facts:
        assert len(fact.annotations) <= 10
        for name, value in fact.annotations.items():
            assert len(name) <= 128
            assert len(value) <= 128
            assert value.isprintable()
