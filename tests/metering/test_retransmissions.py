"""Retransmission hints of whole blocks, whatever the sender chose, against the definition packet by packet."""

import numpy as np
import pytest

from netmote.metering.retransmissions import _Streams

CIRCLE, HALF_CIRCLE = 2**32, 2**31
PACKETS = 20_000


def defined(sequences, lengths, halves, expected) -> tuple[list[int], list[int]]:
    """The packets that come again, and what each stream expects next: FlowMeter's rule."""
    again, state = [], dict(zip(sorted(set(halves)), expected, strict=True))
    for number, (sequence, length, half) in enumerate(zip(sequences, lengths, halves, strict=True)):
        before, end = state[half], (sequence + length) % CIRCLE
        ahead = (sequence - before) % CIRCLE
        if before and ahead >= HALF_CIRCLE and not (length == 1 and ahead == CIRCLE - 1):
            again.append(number)
        if not before or (end - before) % CIRCLE < HALF_CIRCLE:
            state[half] = end
    return again, list(state.values())


@pytest.mark.parametrize("streams", [1, 300, 12_000])
@pytest.mark.parametrize("kind", ["random", "opposite", "backwards", "the same", "in order", "mixed"])
def test_no_numbers_a_sender_chooses_change_what_is_counted(streams, kind) -> None:
    """Streams that jump, go back or stand still, few and long or many and short, alone or beside others in order."""
    random = np.random.default_rng(streams)
    half = np.sort(random.integers(0, streams, PACKETS))
    number, length = np.arange(PACKETS), random.choice([1, 1000], PACKETS).astype("u4")
    chosen = {
        "random": random.integers(0, CIRCLE, PACKETS),
        "opposite": number % 2 * HALF_CIRCLE + 7 - length,
        "backwards": -number * 1_000_000,
        "the same": np.full(PACKETS, 5),
        "in order": np.cumsum(length, dtype="i8") - length,
    }
    chosen["mixed"] = np.choose(half % 5, list(chosen.values()))
    sequence = chosen[kind].astype("u4")
    followed = _Streams(sequence, length, half)
    expected = random.choice([0, 1, HALF_CIRCLE, CIRCLE - 1], len(followed.first)).astype("u4")
    again, newest = followed.follow(expected)
    told = defined(sequence.tolist(), length.tolist(), half.tolist(), expected.tolist())
    assert (sorted(again.tolist()), newest.tolist()) == told
