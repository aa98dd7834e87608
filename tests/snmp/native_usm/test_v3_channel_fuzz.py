"""Whatever arrives, `open` neither raises nor moves what is known of an engine, unless the digest is right."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pysnmp.proto.api import v2c
from usm_engine import COUNTERS, Request
from usm_exchange import REQUEST, USER, Polled

from netmote.snmp.native.channel import Opened, Verdict
from netmote.snmp.native.pdu import read_response

MESSAGE_ID = 0x0123_4567
UNTOUCHED = 4_386


def waiting() -> Polled:
    """A device that has answered, with one request on its way."""
    polled = Polled.of()
    polled.poll()
    polled.channel.seal(REQUEST.pdu(MESSAGE_ID), MESSAGE_ID)
    return polled


def genuine(kind: str) -> bytes:
    """What the device might really send: an answer, an authenticated report, or the report of discovery."""
    polled = waiting()
    if kind == "answer":
        (answer,) = polled.answers(polled.channel.seal(REQUEST.pdu(MESSAGE_ID), MESSAGE_ID) or b"")
        return answer
    if kind == "resynchronisation":
        polled.engine.boots = 9
    pdu = v2c.ReportPDU()
    v2c.apiPDU.set_defaults(pdu)
    counter = "notInTimeWindows" if kind == "resynchronisation" else "unknownEngineIDs"
    v2c.apiPDU.set_varbinds(pdu, [(COUNTERS[counter], v2c.Counter32(1))])
    request = Request(MESSAGE_ID, 0, b"", 0, 0, USER.security_name)
    return polled.engine.message(request, pdu, flags=1 if kind == "resynchronisation" else 0)


GENUINE = {kind: genuine(kind) for kind in ("answer", "resynchronisation", "discovery")}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A genuine message with octets flipped, cut out, put in or cut off."""
    kind = draw(st.sampled_from(sorted(GENUINE)))
    octets = bytearray(GENUINE[kind])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(octets) - 1)))
        match draw(st.sampled_from(["flip", "set", "cut", "insert", "truncate"])):
            case "flip" if octets:
                octets[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if octets:
                octets[at] = draw(st.integers(0, 255))
            case "cut":
                del octets[at : at + draw(st.integers(1, 8))]
            case "insert":
                octets[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del octets[at:]
    return kind, bytes(octets)


def known(polled: Polled) -> tuple[object, ...]:
    """All that is known of the engine that answers."""
    engine = polled.channel._engine
    assert engine is not None
    return engine.engine_id, engine.boots, engine._time, engine._latest, engine._read_at, engine.keys, dict(polled.channel.learnt)


def opened_without_harm(polled: Polled, datagram: bytes) -> Opened:
    """Open it; unless it is the genuine article, nothing may have moved, and the device's real answer must still be read."""
    before = known(polled)
    opened = polled.channel.open(datagram)
    assert known(polled) == before
    return opened


@settings(max_examples=600, deadline=None)
@given(damaged())
def test_damaged_messages(case: tuple[str, bytes]) -> None:
    """Damage is never an answer, never an error that ends the exchange, and never a new clock; the next poll reads."""
    kind, datagram = case
    if datagram.startswith(GENUINE[kind]):  # octets put in behind the message are no damage
        return
    polled = waiting()
    opened = opened_without_harm(polled, datagram)
    assert opened.verdict is Verdict.IGNORED or (kind == "discovery" and opened.verdict is Verdict.SEAL_AGAIN)
    (answer,) = polled.answers(polled.channel.seal(REQUEST.pdu(MESSAGE_ID), MESSAGE_ID) or b"")
    after = polled.channel.open(answer)
    if after.verdict is Verdict.SEAL_AGAIN:  # a damaged engine id was tried: the device says who it is
        (answer,) = polled.answers(polled.channel.seal(REQUEST.pdu(MESSAGE_ID), MESSAGE_ID) or b"")
        after = polled.channel.open(answer)
    assert after.verdict is Verdict.ANSWER
    assert int.from_bytes(read_response(after.pdu).varbinds[0].value, "big") == UNTOUCHED


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=400))
def test_noise(octets: bytes) -> None:
    """Random octets, bare and behind a header that fits the request that waits."""
    polled = waiting()
    assert opened_without_harm(polled, octets).verdict is Verdict.IGNORED
    head = GENUINE["answer"][: GENUINE["answer"].index(USER.security_name.encode())]
    assert opened_without_harm(polled, head + octets).verdict is Verdict.IGNORED


def test_every_single_bit() -> None:
    """Each bit of an answer and of an authenticated report, flipped alone: never believed."""
    polled = waiting()
    for kind in ("answer", "resynchronisation"):
        octets = GENUINE[kind]
        for bit in range(len(octets) * 8):
            flipped = bytearray(octets)
            flipped[bit // 8] ^= 1 << bit % 8
            assert opened_without_harm(polled, bytes(flipped)).verdict is Verdict.IGNORED, bit
    assert polled.channel.open(GENUINE["answer"]).verdict is Verdict.ANSWER


def test_every_cut() -> None:
    """Each message cut off at each octet."""
    polled = waiting()
    for octets in GENUINE.values():
        for length in range(len(octets)):
            assert opened_without_harm(polled, octets[:length]).verdict is Verdict.IGNORED, length
