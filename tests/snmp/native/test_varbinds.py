"""The tokenizer of varbind lists: fast and strict path agree, numbers have one meaning or none, nothing leaks out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.snmp import mib
from netmote.snmp.native.ber import BerError, element
from netmote.snmp.native.varbinds import encode_varbinds, read_varbinds
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import Varbind

IN_OCTETS = parse_oid("1.3.6.1.2.1.2.2.1.10.1")
NUMBERS = (0x02, 0x41, 0x42, 0x43, 0x46, 0x47)
others = st.integers(0, 255).filter(lambda tag: tag not in NUMBERS)
varbinds = st.builds(Varbind, st.binary(min_size=1, max_size=200), others, st.binary(max_size=300))


def content(varbinds: list[Varbind]) -> bytes:
    """The list without its own tag and length."""
    octets = encode_varbinds(varbinds)
    return octets[2 + (octets[1] & 0x7F if octets[1] > 0x7F else 0) :]


def read(octets: bytes) -> list[Varbind]:
    return read_varbinds(octets, 0, len(octets))


@given(st.lists(varbinds, max_size=20))
def test_what_is_written_is_read_back(sent: list[Varbind]) -> None:
    """Names and values of every length, short and long form mixed."""
    assert read(content(sent)) == sent


@given(st.sampled_from((0x41, 0x42, 0x43, 0x47)), st.integers(0, 2**32 - 1))
def test_every_form_of_a_counter_has_its_value(tag: int, number: int) -> None:
    """Canonical, at full width without sign octet, with zeros to spare: the same number modulo 2^32."""
    shortest = number.to_bytes(number.bit_length() // 8 + 1, "big")
    for form in (shortest, number.to_bytes(4, "big"), b"\0" * 3 + number.to_bytes(4, "big")):
        (varbind,) = read(content([Varbind(IN_OCTETS, tag, form)]))
        assert int.from_bytes(varbind.value, "big") & 0xFFFF_FFFF == number
        assert varbind.value


@pytest.mark.parametrize(
    ("tag", "value", "number"),
    [
        (mib.COUNTER32, "fffffffe", 2**32 - 2),  # seen on devices: the sign octet left out
        (mib.COUNTER32, "fffffffffe", 2**32 - 2),  # -2 in five octets
        (mib.COUNTER64, "fffffffffffffffe", 2**64 - 2),
        (mib.COUNTER64, "00fffffffffffffffe", 2**64 - 2),
        (mib.TIME_TICKS, "80000000", 2**31),
        (mib.INTEGER, "0080000000", 2**31),  # hrStorageSize of a large disk, written unsigned
        (mib.INTEGER, "ff", 255),  # -1, of which the readers take the bits
        (mib.COUNTER32, "ff38", None),  # 65,336 or -200
        (mib.COUNTER32, "0100000000", None),  # 2^32
        (mib.COUNTER64, "010000000000000000", None),
        (mib.TIME_TICKS, "0100000001", None),
        (mib.INTEGER, "0100000000", None),
        (mib.COUNTER32, "00" * 40, None),
        (mib.COUNTER32, "", None),
        (mib.INTEGER, "", None),
    ],
)
@pytest.mark.parametrize("is_long_form", [False, True])
def test_numbers_have_one_meaning_or_none(tag: int, value: str, number: int | None, is_long_form: bool) -> None:
    """What devices send is read where it can mean one thing; else it comes without content. The neighbours stay."""
    octets = bytes.fromhex(value)
    inner = element(0x06, IN_OCTETS) + element(tag, octets)
    odd = b"\x30\x84" + len(inner).to_bytes(4, "big") + inner if is_long_form else element(0x30, inner)
    good = Varbind(IN_OCTETS, mib.COUNTER32, b"\x05")
    before, varbind, after = read(content([good]) + odd + content([good]))
    assert before == after == good
    if number is None:
        assert varbind == Varbind(IN_OCTETS, tag, b"")
    else:
        assert varbind.value == octets
        bits = 8 * len(octets) if tag == mib.INTEGER and len(octets) < 4 else 64 if tag == mib.COUNTER64 else 32
        assert int.from_bytes(octets, "big") & ((1 << bits) - 1) == number


@pytest.mark.parametrize(
    "octets",
    [
        "30",
        "3005",
        "3003060100",  # no value
        "300406000500",  # no name
        "300506012b0500 00",  # octets left over
        "30060601 2b0500 00",
        "31 05 06012b0500",  # another tag around
        "3005 04012b 0500",  # another tag for the name
        "3005 06052b 0500",  # the name ends behind its varbind
        "3005 06012b 0505",  # the value does
        "3080 06012b 0500 0000",  # indefinite
        "3084 7fffffff 06012b0500",
        "30 81 06 06 012b 05 00",
    ],
)
def test_wrong_varbinds_are_refused(octets: str) -> None:
    """Whatever is no varbind is the one error."""
    with pytest.raises(BerError):
        read(bytes.fromhex(octets))


@given(st.binary(max_size=200))
def test_random_octets_give_varbinds_or_the_one_error(octets: bytes) -> None:
    """And what is given lies within what came."""
    try:
        found = read(octets)
    except BerError:
        return
    assert sum(len(varbind.oid) + len(varbind.value) for varbind in found) <= len(octets)


@given(st.lists(varbinds, min_size=1, max_size=6), st.data())
def test_bitten_lists_give_varbinds_or_the_one_error(sent: list[Varbind], data: st.DataObject) -> None:
    """One octet changed, some cut off or added: near misses reach deeper than noise."""
    octets = bytearray(content(sent))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    for bitten in (bytes(octets), bytes(octets[:cut]), bytes(octets[:cut]) + b"\x30"):
        try:
            found = read(bitten)
        except BerError:
            continue
        assert all(varbind.oid in bitten and varbind.value in bitten for varbind in found)


@given(st.lists(varbinds, min_size=1, max_size=4), st.integers(1, 50))
def test_the_list_ends_where_it_is_said_to(sent: list[Varbind], less: int) -> None:
    """Octets behind the end are there and belong to somebody else."""
    octets = content(sent)
    end = max(0, len(octets) - less)
    try:
        found = read_varbinds(octets, 0, end)
    except BerError:
        return
    assert encode_varbinds(found) == element(0x30, octets[:end])
