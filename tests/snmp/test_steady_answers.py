"""Numbers of many answers at once: exactly those that the reader of single varbinds gives, and nothing where it finds anything else."""

from random import Random

import numpy as np
import pytest

from netmote.snmp import mib
from netmote.snmp.native.varbinds import encode_varbinds
from netmote.snmp.oid import encode_arcs
from netmote.snmp.reading import STEADY_COLUMNS
from netmote.snmp.session import Varbind
from netmote.snmp.steady_answers import LOOK_AHEAD, MOST_VARBINDS, Names, fits, forms_of

WIDTHS = {mib.INTEGER: 4, mib.COUNTER32: 4, mib.GAUGE32: 4, mib.TIME_TICKS: 4, mib.COUNTER64: 8}


def names_of(first: int, rows: int = 4) -> tuple[bytes, ...]:
    return (
        mib.SYS_UP_TIME,
        *(column + encode_arcs((first + row,)) for row in range(rows) for column in STEADY_COLUMNS),
    )


def content(varbinds: list[Varbind]) -> bytes:
    """Of the list, without its own tag and length."""
    return b"".join(encode_varbinds([varbind])[2:] for varbind in varbinds)


def answer(names: tuple[bytes, ...], random: Random) -> bytes:
    varbinds = []
    for name in names:
        tag = random.choice(list(WIDTHS))
        number = random.getrandbits(random.randrange(1, 8 * WIDTHS[tag]))
        varbinds.append(Varbind(name, tag, number.to_bytes(number.bit_length() // 8 + 1, "big")))
    return content(varbinds)


def read(table: Names, rows: list[int], answers: list[bytes], forms: list[np.ndarray]) -> tuple[list[list[int]], list[bool]]:
    octets = np.frombuffer(b"head" * 4 + b"".join(answers) + bytes(LOOK_AHEAD), np.uint8)
    ends = 16 + np.cumsum([len(each) for each in answers])
    begins = ends - [len(each) for each in answers]
    values, is_steady = table.read(octets, begins, ends, np.array(rows), np.array(forms))
    return values.tolist(), is_steady.tolist()


def test_numbers_are_those_of_the_reader_of_single_varbinds() -> None:
    """Of answers to different questions, whose values have all types and lengths."""
    random, table = Random(3), Names(100)
    names = [names_of(1), names_of(10_101), names_of(10_105, rows=2)]
    rows = [table.take(each) for each in names]
    assert None not in rows
    asked = [random.randrange(3) for _ in range(40)]
    answers = [answer(names[number], random) for number in asked]
    forms = [forms_of(each, names[number]) for each, number in zip(answers, asked, strict=True)]
    values, is_steady = read(table, [rows[number] for number in asked], answers, forms)
    assert all(is_steady)
    for number, octets, found in zip(asked, answers, values, strict=True):
        at, expected = 0, []
        for _ in names[number]:
            end = at + 2 + octets[at + 1]
            tag_at = at + 4 + octets[at + 3]
            expected.append(int.from_bytes(octets[tag_at + 2 : end], "big"))
            at = end
        assert found[: len(expected)] == expected
        assert not any(found[len(expected) :]), "padding reads as 0"


def test_any_flipped_bit_that_is_not_a_value_is_seen() -> None:
    """A flip leaves an answer steady exactly when the reader of single varbinds still finds these names, types and lengths."""
    random, table = Random(5), Names(10)
    names = names_of(10_101)
    row, octets = table.take(names), answer(names, random)
    forms = forms_of(octets, names)
    seen = {True: 0, False: 0}
    for _ in range(1_500):
        flipped = bytearray(octets)
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
        again = forms_of(bytes(flipped), names)
        expected = again is not None and np.array_equal(again, forms)
        assert read(table, [row], [bytes(flipped)], [forms])[1] == [expected]
        seen[expected] += 1
    assert min(seen.values()) > 100


@pytest.mark.parametrize("cut", [1, 7, 400])
def test_an_answer_of_another_length_is_not_read(cut: int) -> None:
    """Shorter, longer, or empty; others of the same heap are read all the same."""
    random, table = Random(7), Names(10)
    names = names_of(5)
    row = table.take(names)
    octets = answer(names, random)
    forms = forms_of(octets, names)
    answers = [octets[:-cut], octets, octets + bytes(cut), octets[: len(octets) - 1 - cut]]
    assert read(table, [row] * 4, answers, [forms] * 4)[1] == [False, True, False, False]


def test_a_value_that_could_be_two_has_no_form() -> None:
    """A sign octet left out in a short number, octets above the type's width, none at all, and what is no number."""
    name = (mib.SYS_UP_TIME,)
    for tag, value in (
        (mib.COUNTER32, b"\xff\x38"),
        (mib.GAUGE32, b""),
        (mib.COUNTER32, b"\1\0\0\0\0"),
        (mib.OCTET_STRING, b"\1"),
        (mib.NO_SUCH_INSTANCE, b""),
    ):
        assert forms_of(content([Varbind(name[0], tag, value)]), name) is None
    assert forms_of(content([Varbind(mib.SYS_UP_TIME, mib.TIME_TICKS, b"\1")]), (mib.HR_SYSTEM_UPTIME,)) is None
    assert forms_of(b"\x30\x05", name) is None


def test_names_are_shared_given_back_and_bounded() -> None:
    """The same question has one row for all; a row that nobody uses is used again; beyond the bound there is none."""
    table = Names(2)
    first, second = table.take(names_of(1)), table.take(names_of(2))
    assert table.take(names_of(1)) == first
    assert table.take(names_of(3)) is None
    table.give_back(first)
    assert table.take(names_of(3)) is None
    table.give_back(first)
    assert table.take(names_of(3)) == first
    assert len(table) == 2
    assert second != first


def test_only_names_of_a_certain_length_fit() -> None:
    """A name that the three words at the front do not cover, or more varbinds than a row has, are left to other readers."""
    assert fits(names_of(1))
    assert not fits((mib.SYS_UP_TIME + encode_arcs((2**31,) * 3),))
    assert not fits((b"\x2b",))
    assert not fits((mib.SYS_UP_TIME,) * (MOST_VARBINDS + 1))
    assert Names(5).take((b"\x2b",)) is None
