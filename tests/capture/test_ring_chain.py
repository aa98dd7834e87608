"""Where the records of a block lie: found as the chain says, and never outside the block, whatever its words say."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.capture.ring_chain import HEADER_BYTES, record_offsets

FIRST = 48


def block_of(lengths: list[int], *, size: int = 1 << 16) -> bytearray:
    """A block as the kernel fills it: the last record says 0."""
    block = bytearray(size)
    struct.pack_into("II", block, 12, len(lengths), FIRST)
    at = FIRST
    for number, length in enumerate(lengths):
        struct.pack_into("I", block, at, length if number + 1 < len(lengths) else 0)
        at += length
    return block


def by_the_chain(block: bytes, count: int) -> list[int]:
    """The plain way: one record after another, as long as each lies behind the other and in the block."""
    found: list[int] = []
    at = struct.unpack_from("I", block, 16)[0]
    if at < HEADER_BYTES:
        return found
    while len(found) < count and at % 8 == 0 and at + HEADER_BYTES <= len(block):
        found.append(at)
        step = struct.unpack_from("I", block, at)[0]
        if step < HEADER_BYTES or step % 8:
            break
        at += step
    return found


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([112, 152, 160, 168, 464]), st.integers(1, 60)), max_size=40))
def test_records_are_found_in_runs_or_one_by_one(runs: list[tuple[int, int]]) -> None:
    """Every record, in order, however lengths alternate."""
    lengths = [length for length, times in runs for _ in range(times)]
    while sum(lengths) > 65_000:
        lengths.pop()
    block = block_of(lengths)
    offsets, _ = record_offsets(memoryview(block), len(lengths))
    assert offsets.tolist() == (np.cumsum([FIRST, *lengths])[: len(lengths)]).tolist()


def marked(block: bytearray, lengths: list[int], mark: int) -> bytearray:
    """Every record says where its frame begins; the bytes before it hold what an older record may have left."""
    at = FIRST
    for length in lengths:
        struct.pack_into("I", block, at + 24, mark)
        struct.pack_into("II", block, at + 72, mark, 0x0008_0011)
        at += length
    return block


@pytest.mark.parametrize("lengths", [[160] * 400, [160, 152] * 200, [152, 160, 160, 464, 168, 112] * 50, [464, 152] * 100])
def test_records_are_found_without_following_them(lengths: list[int]) -> None:
    """One length or several that alternate: at most the few before it is noticed are followed one by one."""
    offsets, walked = record_offsets(memoryview(marked(block_of(lengths), lengths, 106 << 16 | 92)), len(lengths))
    assert len(offsets) == len(lengths)
    assert walked == 0


def test_records_that_differ_in_all_are_followed() -> None:
    """Frames that begin at another place in each record, as those of several link headers would."""
    lengths = [160, 152] * 200
    block = block_of(lengths)
    at = FIRST
    for number, length in enumerate(lengths):
        struct.pack_into("I", block, at + 24, number + 1)
        at += length
    offsets, walked = record_offsets(memoryview(block), len(lengths))
    assert len(offsets) == 400
    assert walked > 380


@settings(deadline=None)
@given(
    lengths=st.lists(st.sampled_from([152, 160, 168]), min_size=1, max_size=300),
    damage=st.lists(
        st.tuples(
            st.integers(0, 16_383),
            st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 2**16 + 200), st.sampled_from([0, 8, 40, 48, 2**32 - 8, 2**31])),
        ),
        max_size=12,
    ),
    count=st.integers(0, 3000),
    mark=st.sampled_from([0, 106 << 16 | 92]),
)
def test_garbage_ends_the_chain(lengths: list[int], damage: list[tuple[int, int]], count: int, mark: int) -> None:
    """Any words anywhere: what is found is what following the chain with every check finds, ascending and inside the block."""
    block = marked(block_of(lengths), lengths, mark)
    for word, value in damage:
        struct.pack_into("I", block, 4 * word, value)
    # Damage where it matters: the records' own lengths.
    for word, value in damage[:3]:
        struct.pack_into("I", block, FIRST + sum(lengths[: word % len(lengths)]), value)
    offsets, walked = record_offsets(memoryview(block), count)
    assert offsets.tolist() == by_the_chain(block, count)
    assert 0 <= walked <= len(offsets)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4096), st.integers(0, 2**32 - 1))
def test_noise(seed: int, first: int, count: int) -> None:
    """A block of nothing but noise behind the word that says where the first record is."""
    block = bytearray(np.random.default_rng(seed).bytes(4096))
    struct.pack_into("I", block, 16, first)
    offsets, _ = record_offsets(memoryview(block), count)
    assert offsets.tolist() == by_the_chain(block, count)
    assert (np.diff(offsets) >= HEADER_BYTES).all()
