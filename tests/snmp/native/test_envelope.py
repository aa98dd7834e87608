"""The id by which an answer names its question, found in every version and in what ICMP quotes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message

from netmote.snmp.native.ber import BerError, element, integer
from netmote.snmp.native.envelope import message_id_of, message_id_of_quote
from netmote.snmp.native.pdu import GET_REQUEST

ID = 0x1234_5678


def v2c(community: bytes = b"public", size: int = 400) -> bytes:
    return element(0x30, integer(1) + element(0x04, community) + element(GET_REQUEST, integer(ID) + bytes(size)))


def v3() -> bytes:
    """A message of v3 as pysnmp's schema has it; its scoped PDU is not looked at."""
    message = SNMPv3Message()
    message["msgVersion"] = 3
    header = message["msgGlobalData"]
    header["msgID"], header["msgMaxSize"], header["msgFlags"], header["msgSecurityModel"] = ID, 65507, b"\x07", 3
    message["msgSecurityParameters"] = b"opaque here"
    message["msgData"]["encryptedPDU"] = b"so is this"
    return bytes(encoder.encode(message))


@pytest.mark.parametrize("datagram", [v2c(), v2c(b""), v2c(b"x" * 300), v3()])
def test_the_id_is_found(datagram: bytes) -> None:
    """request-id of v1 and v2c, msgID of v3."""
    assert message_id_of(datagram) == ID


def test_a_quote_gives_its_id_although_the_message_is_cut_off() -> None:
    """ICMP quotes the beginning only; what is cut before the id is no quote of ours."""
    assert message_id_of_quote(v2c()[:60]) == ID
    assert message_id_of_quote(v3()) == ID
    with pytest.raises(BerError):
        message_id_of(v2c()[:60])
    with pytest.raises(BerError):
        message_id_of_quote(v2c()[:12])


@given(st.binary(max_size=60))
def test_random_octets_give_an_id_or_the_one_error(octets: bytes) -> None:
    """Nothing else comes out."""
    for read in (message_id_of, message_id_of_quote):
        try:
            read(octets)
        except BerError:
            continue
