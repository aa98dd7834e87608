"""Any life a device may have, with anybody on the wire: no value but the device's own of now, and always a way back."""

from dataclasses import dataclass, replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from pysnmp.proto.api import v2c
from usm_engine import COUNTERS, Request, UsmEngine
from usm_exchange import USER, Polled, read_id

from netmote.snmp.credentials import UsmUser

AUTH_ONLY = replace(USER, priv_protocol="none", priv_password=None)
ENGINES = [b"\x80\0\x1f\x88\x04" + bytes([number]) * 6 for number in range(3)]

EVENTS = st.one_of(
    st.just("reboot"),
    st.just("lose state"),
    st.tuples(st.just("clock"), st.integers(-20_000, 20_000)),
    st.tuples(st.just("pass"), st.integers(0, 400)),
    st.tuples(st.just("engine"), st.sampled_from(ENGINES)),
)
# What happens to each datagram on its way back, in turn: see `Wire`.
WIRE = st.lists(
    st.one_of(
        st.sampled_from(["honest", "lose", "twice", "old ones", "old ones renumbered", "echo", "bit", "downgrade"]),
        st.tuples(st.just("forge"), st.sampled_from(sorted(COUNTERS)), st.sampled_from([*ENGINES, b"\x80\0\0\0\x04liar"]), st.integers(0, 2**31 - 1)),
    ),
    max_size=4,
)  # fmt: skip
LIFE = st.lists(st.tuples(st.lists(EVENTS, max_size=2), WIRE), min_size=1, max_size=12)


@dataclass
class Wire:
    """The way back: one manner a datagram, honest when they are used up. Remembers all that ever passed."""

    polled: Polled
    recorded: list[bytes]
    manners: list[object]

    def __call__(self, datagram: bytes) -> list[bytes]:
        manner = self.manners.pop(0) if self.manners else "honest"
        answers = self.polled.answers(datagram)
        before = list(self.recorded)
        self.recorded += answers
        match manner:
            case "lose":
                answers = []
            case "twice":
                answers *= 2
            case "old ones":
                answers = before + answers
            case "old ones renumbered":
                answers = [_renumbered(old, read_id(datagram)) for old in before] + answers
            case "echo":
                answers = [datagram, *answers]
            case "bit":
                answers = [answer[:-3] + bytes([answer[-3] ^ 4]) + answer[-2:] for answer in answers]
            case "downgrade":
                answers = [self._forged(datagram, "wrongDigests", response=True), *answers]
            case ("forge", str(kind), bytes(engine_id), int(clock)):
                answers = [self._forged(datagram, kind, engine_id=engine_id, clock=clock), *answers]
        return answers

    def _forged(
        self, datagram: bytes, kind: str, *, response: bool = False, engine_id: bytes | None = None, clock: int = 1
    ) -> bytes:
        """What anyone without a key can write."""
        nobody = replace(AUTH_ONLY, auth_protocol="none", auth_password=None)
        liar = UsmEngine(nobody, self.polled.clock.monotonic, engine_id=engine_id or self.polled.engine.engine_id)
        pdu = v2c.ResponsePDU() if response else v2c.ReportPDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_request_id(pdu, read_id(datagram))
        v2c.apiPDU.set_varbinds(pdu, [(COUNTERS[kind], v2c.Counter32(666))])
        request = Request(read_id(datagram), 0, b"", 0, 0, USER.security_name)
        return liar.message(request, pdu, flags=0, boots=clock, time=clock)


def _renumbered(datagram: bytes, message_id: int) -> bytes:
    at = datagram.index(b"\x02\x01\x03") + 7
    return datagram[:at] + message_id.to_bytes(4, "big") + datagram[at + 4 :]


def happen(polled: Polled, event: object) -> None:
    engine = polled.engine
    match event:
        case "reboot":
            engine.reboot()
        case "lose state":
            engine.boots, engine.clock_offset = 1, -engine.now()
        case ("clock", int(seconds)):
            engine.clock_offset = max(engine.clock_offset + seconds, -engine.now())
        case ("pass", int(seconds)):
            polled.clock.advance(float(seconds))
        case ("engine", bytes(engine_id)):
            engine.engine_id = engine_id


@settings(max_examples=150, deadline=None)
@given(user=st.sampled_from([USER, AUTH_ONLY]), life=LIFE)
def test_any_life(user: UsmUser, life: list[tuple[list[object], list[object]]]) -> None:
    """A poll gives the value of this very poll or an error, never one that was recorded or forged; left alone, the device is read."""
    polled, values, recorded = Polled.of(user, engine_id=ENGINES[0]), count(1_000), []
    for events, manners in life:
        for event in events:
            happen(polled, event)
        polled.engine.value = next(values)
        result = polled.poll(Wire(polled, recorded, list(manners)))
        assert not isinstance(result, int) or result == polled.engine.value
        if not manners:
            assert result == polled.engine.value, "nobody interfered with this one"
    polled.engine.value = next(values)
    assert polled.poll() == polled.engine.value
    assert polled.channel.engine_id == polled.engine.engine_id
    assert len(polled.channel._waiting) == 0
