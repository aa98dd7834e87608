"""Messages of v1 and v2c: what is sealed is what pysnmp reads, what is opened is compared field by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder
from pysnmp.proto.api import v1, v2c

from netmote.snmp import mib
from netmote.snmp.native import pdu
from netmote.snmp.native.ber import element, integer
from netmote.snmp.native.channel import Opened, Verdict
from netmote.snmp.native.community_channel import CommunityChannel
from netmote.snmp.native.envelope import message_id_of
from netmote.snmp.native.varbinds import encode_varbinds

ID = 0x0BAD_CAFE


def answer(*, version: int = 1, community: bytes = b"public", tag: int = pdu.RESPONSE, request_id: int = ID) -> bytes:
    body = integer(request_id) + integer(0) + integer(0) + encode_varbinds([])
    return element(0x30, integer(version) + element(0x04, community) + element(tag, body))


@given(st.sampled_from(["1", "2c"]), st.text(max_size=300), st.integers(pdu.FIRST_ID, pdu.LAST_ID))
def test_sealed_messages_are_what_a_strict_reader_accepts(version: str, community: str, request_id: int) -> None:
    """Version, community and PDU, of every length, decoded by pyasn1; and the id is found without decoding."""
    sealed = CommunityChannel(version, community).seal(
        pdu.build_request(pdu.GET_REQUEST, [mib.SYS_UP_TIME]).pdu(request_id), request_id
    )
    module = v1 if version == "1" else v2c
    message, rest = decoder.decode(sealed, asn1Spec=module.Message())
    assert not rest
    assert int(module.apiMessage.get_version(message)) == (version == "2c")
    assert bytes(module.apiMessage.get_community(message)) == community.encode()
    assert int(module.apiPDU.get_request_id(module.apiMessage.get_pdu(message))) == request_id
    assert message_id_of(sealed) == request_id


@pytest.mark.parametrize("version", ["1", "2c"])
def test_an_answer_is_unwrapped(version: str) -> None:
    """The PDU, tag and length included; octets behind the message do not hurt."""
    datagram = answer(version=version == "2c")
    channel = CommunityChannel(version, "public")
    opened = channel.open(datagram + b"\0" * 7)
    assert (opened.verdict, opened.message_id) == (Verdict.ANSWER, ID)
    assert pdu.read_response(opened.pdu) == pdu.Response(ID, 0, 0, [])
    assert not channel.ignored


def test_other_octets_for_the_same_header_are_read() -> None:
    """Lengths in long form and a version with a zero to spare mean the same."""
    body = element(pdu.RESPONSE, integer(ID) + integer(0) + integer(0) + encode_varbinds([]))
    odd = b"\x02\x81\x02\x00\x01" + b"\x04\x82\x00\x06public" + body
    assert CommunityChannel("2c", "public").open(element(0x30, odd)).verdict is Verdict.ANSWER


@pytest.mark.parametrize(
    ("datagram", "reason", "message_id"),
    [
        (answer(community=b"private"), "wrong_community", ID),
        (answer(community=b""), "wrong_community", ID),
        (answer(version=0), "wrong_version", -1),
        (answer(version=3), "wrong_version", -1),
        (answer(tag=pdu.GET_REQUEST), "not_a_response", ID),  # the request, echoed
        (answer(tag=pdu.REPORT), "not_a_response", ID),
        (answer()[:-1], "malformed", -1),
        (b"", "malformed", -1),
        (b"\x30\x80" + answer()[2:] + b"\0\0", "malformed", -1),
        (element(0x30, integer(1) + element(0x04, b"public")), "malformed", -1),
    ],
)
def test_what_is_not_believed_is_counted(datagram: bytes, reason: str, message_id: int) -> None:
    """Each reason by its name; the exchange goes on waiting."""
    channel = CommunityChannel("2c", "public")
    assert channel.open(datagram) == Opened(Verdict.IGNORED, message_id, b"")
    assert channel.ignored == {reason: 1}


@given(st.binary(max_size=80))
def test_random_octets_are_ignored(octets: bytes) -> None:
    """Never an exception, never an answer."""
    assert CommunityChannel("2c", "public").open(octets).verdict is Verdict.IGNORED


@given(st.integers(0, len(answer()) - 1), st.integers(0, 255))
def test_an_octet_changed_on_the_way_never_leaks_out(at: int, octet: int) -> None:
    """An answer, or ignored; what is unwrapped lies within what came."""
    bitten = bytearray(answer())
    bitten[at] = octet
    opened = CommunityChannel("2c", "public").open(bytes(bitten))
    assert opened.verdict in (Verdict.ANSWER, Verdict.IGNORED)
    assert opened.pdu in bytes(bitten)


def test_silence_has_no_reasons() -> None:
    """An agent drops what it does not accept (RFC 3584 section 5.2.1): a timeout is all there is."""
    channel = CommunityChannel("2c", "public")
    assert channel.expire(ID) is None
    with pytest.raises(AssertionError):
        channel.probe(ID)
