"""Single elements of BER: what is read, what is written, and that nothing but BerError comes of wrong octets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.snmp.native.ber import BerError, element, encode_length, enter, integer, read_header, read_integer


@given(st.integers(0, 100_000), st.integers(1, 255))
def test_a_written_element_is_read_back(length: int, tag: int) -> None:
    """Tag and bounds of whatever length, short form or long."""
    octets = element(tag, bytes(length))
    found, start, stop = read_header(octets, 0, len(octets))
    assert (found, stop - start, stop) == (tag, length, len(octets))


@given(st.integers(-(2**63), 2**64 - 1))
def test_integers_go_there_and_back(value: int) -> None:
    """Shortest two's complement form, and its value."""
    octets = integer(value)
    assert read_integer(octets, 0, len(octets)) == (value, len(octets))
    assert octets[2] not in (0x00, 0xFF) or len(octets) == 3 or (octets[2] ^ octets[3]) & 0x80, "no octet to spare"


def test_lengths_are_written_in_their_shortest_form() -> None:
    """X.690 section 8.1.3: short below 128, then as many octets as needed."""
    assert [encode_length(length).hex() for length in (0, 127, 128, 255, 256, 65_535, 65_536)] == [
        "00", "7f", "8180", "81ff", "820100", "82ffff", "83010000",
    ]  # fmt: skip


def test_lengths_with_octets_to_spare_are_read() -> None:
    """Agents write 84 00 00 00 01 for one octet."""
    assert read_header(bytes.fromhex("04840000000161"), 0, 7) == (4, 6, 7)


@pytest.mark.parametrize(
    "octets", ["", "04", "0402", "040261", "0480", "048061 0000", "04ff", "0482ff", "0485 0000000001 61", "04 84 80000000"]
)
def test_wrong_lengths_are_refused(octets: str) -> None:
    """Indefinite, cut off, beyond the enclosing element, or absurdly long."""
    content = bytes.fromhex(octets)
    with pytest.raises(BerError):
        read_header(content, 0, len(content))


def test_an_inner_element_never_leaves_the_outer_one() -> None:
    """The octets are there, and belong to somebody else."""
    with pytest.raises(BerError):
        read_header(bytes.fromhex("0403616263"), 0, 4)


def test_another_tag_than_expected_is_refused() -> None:
    """By name in the message."""
    with pytest.raises(BerError, match="0x04 where 0x30"):
        enter(b"\x04\x00", 0, 2, 0x30)


@pytest.mark.parametrize("octets", ["0200", "020a" + "00" * 10, "0401ff"])
def test_what_is_no_integer_is_refused(octets: str) -> None:
    """Without content, beyond 64 bits, of another tag."""
    content = bytes.fromhex(octets)
    with pytest.raises(BerError):
        read_integer(content, 0, len(content))


@given(st.binary(max_size=64), st.integers(0, 70))
def test_random_octets_give_a_header_or_the_one_error(octets: bytes, at: int) -> None:
    """Bounds hold for whatever came."""
    try:
        _, start, stop = read_header(octets, at, len(octets))
    except BerError:
        return
    assert at < start <= stop <= len(octets)
