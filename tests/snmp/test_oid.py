"""Object identifiers as BER bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.snmp.oid import decode_arcs, decode_oid, encode_arcs, encode_oid, oid_text, parse_oid

ARCS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20).map(tuple)


@given(st.integers(0, 1), st.integers(0, 39), ARCS)
def test_every_oid_survives_the_way_there_and_back(top: int, second: int, rest: tuple[int, ...]) -> None:
    """Decoding inverts encoding for every OID an agent may send."""
    oid = (top, second, *rest)
    assert decode_oid(encode_oid(oid)) == oid


@given(ARCS)
def test_a_prefix_of_arcs_is_a_prefix_of_bytes(arcs: tuple[int, ...]) -> None:
    """Columns are recognised by their bytes, whatever the index."""
    assert encode_oid((1, 3, *arcs)).startswith(encode_oid((1, 3, *arcs[:-1])))
    assert decode_arcs(encode_arcs(arcs)) == arcs


def test_known_encodings() -> None:
    """The example of X.690 section 8.19.5 and an OID of IF-MIB."""
    assert encode_oid((2, 100, 3)) == bytes.fromhex("813403")
    assert decode_oid(bytes.fromhex("813403")) == (2, 100, 3)
    assert parse_oid("1.3.6.1.2.1.31.1.1.1.6.10101") == bytes.fromhex("2b060102011f01010106ce75")
    assert oid_text(parse_oid(".1.3.6.1")) == "1.3.6.1"


def test_bytes_do_not_sort_as_arcs() -> None:
    """Why the loop guard decodes: 16384 has smaller first byte than 16383, and yet comes after it."""
    assert encode_arcs([16383]) > encode_arcs([16384])
    assert decode_arcs(encode_arcs([16383])) < decode_arcs(encode_arcs([16384]))


@pytest.mark.parametrize("broken", [b"", b"\x2b\x86"])
def test_a_broken_oid_is_refused(broken: bytes) -> None:
    """Empty, or cut within an arc: ValueError, never a made-up OID."""
    with pytest.raises(ValueError):
        decode_oid(broken)


@pytest.mark.parametrize("arcs", [(1,), (1, -3), ()])
def test_what_is_no_oid_is_refused(arcs: tuple[int, ...]) -> None:
    """Fewer than two arcs, or a negative one."""
    with pytest.raises(ValueError):
        encode_oid(arcs)
