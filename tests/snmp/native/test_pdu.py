"""Requests as templates and responses as fields, against pyasn1 as the strict other opinion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder
from pysnmp.proto.api import v2c

from netmote.snmp import mib
from netmote.snmp.native import pdu
from netmote.snmp.native.ber import BerError, element, integer
from netmote.snmp.native.varbinds import encode_varbinds
from netmote.snmp.oid import decode_oid, encode_oid
from netmote.snmp.session import Varbind

arcs = st.lists(st.integers(0, 2**32 - 1), max_size=125).map(lambda tail: encode_oid((1, 3, *tail)))
ids = st.integers(pdu.FIRST_ID, pdu.LAST_ID)


def response(*varbinds: Varbind, request_id: int = pdu.FIRST_ID, status: int = 0, index: int = 0) -> bytes:
    return element(pdu.RESPONSE, integer(request_id) + integer(status) + integer(index) + encode_varbinds(list(varbinds)))


@given(st.lists(arcs, max_size=20), ids, st.integers(0, 10), st.integers(0, 100))
def test_requests_are_what_a_strict_reader_accepts(oids: list[bytes], request_id: int, scalars: int, repetitions: int) -> None:
    """GETBULK with any names, patched with any id, decoded by pyasn1 with pysnmp's own schema."""
    template = pdu.build_request(pdu.GET_BULK_REQUEST, oids, scalars, repetitions)
    read, rest = decoder.decode(template.pdu(request_id), asn1Spec=v2c.GetBulkRequestPDU())
    assert not rest
    assert (int(read[0]), int(read[1]), int(read[2])) == (request_id, scalars, repetitions)
    assert [tuple(varbind[0]) for varbind in read[3]] == [decode_oid(oid) for oid in oids]
    assert template.varbinds == len(oids)


@given(ids, ids)
def test_only_the_id_is_patched(one: int, other: int) -> None:
    """Two requests of one template differ in four octets."""
    template = pdu.build_request(pdu.GET_REQUEST, [mib.SYS_UP_TIME])
    first, second = template.pdu(one), template.pdu(other)
    assert len(first) == len(second)
    assert pdu.read_request_id(first, 0, len(first)) == one
    assert first.replace(one.to_bytes(4, "big"), other.to_bytes(4, "big"), 1) == second


def test_a_response_is_read_whole() -> None:
    """Id, status, index and varbinds."""
    varbind = Varbind(mib.SYS_UP_TIME, mib.TIME_TICKS, b"\x01\x02")
    assert pdu.read_response(response(varbind, status=5, index=1)) == pdu.Response(pdu.FIRST_ID, 5, 1, [varbind])


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xa2",
        response()[:-1],
        response() + b"\0",
        element(pdu.REPORT, response()[2:]),
        element(pdu.RESPONSE, response()[2:] + b"\0"),
        element(pdu.RESPONSE, integer(1) + integer(0) + integer(0)),
        element(pdu.RESPONSE, integer(1) + integer(0) + encode_varbinds([])),
        element(pdu.RESPONSE, b"\x02\x00" + integer(0) + integer(0) + encode_varbinds([])),
    ],
)
def test_what_is_no_response_is_refused(octets: bytes) -> None:
    """Cut off, left over, of another kind, fields missing or empty."""
    with pytest.raises(BerError):
        pdu.read_response(octets)


@given(st.binary(max_size=100))
def test_random_octets_are_no_response(octets: bytes) -> None:
    """The one error, whatever comes."""
    with pytest.raises(BerError):
        pdu.read_response(element(0x30, octets))
    try:
        pdu.read_response(element(pdu.RESPONSE, octets))
    except BerError:
        return
