"""Recent headers: bounded, reaching back a minute at any rate, whole while they are being overwritten."""

import threading
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from frames_in_memory import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.capture.frames import LINKTYPE_ETHERNET, Frames
from netmote.capture.header_bank import REACH_SECONDS
from netmote.capture.recent_headers import HeaderFollowers, KeptHeaders, RecentHeaders
from netmote.capture.snap_filter import LONG_BYTES, PLAIN_BYTES

START = 1_700_000_000_000_000_000
ALWAYS = (0, 2**62)


def recent(size_bytes: int = 100_000) -> RecentHeaders:
    return RecentHeaders(interface="x", link_type=LINKTYPE_ETHERNET, size_bytes=size_bytes, random=Random(7))


def stamped(timestamp_ns: np.ndarray, *, length: int = 60) -> Frames:
    """Frames whose bytes repeat their time, so that a torn row is seen."""
    count = len(timestamp_ns)
    rows = np.zeros((count, length // 8 + 1), "<i8")
    rows[:] = timestamp_ns[:, None]
    return Frames(
        rows.view("u1").reshape(-1),
        np.arange(count) * rows.shape[1] * 8,
        captured=np.full(count, length, "i8"),
        wire_length=np.full(count, 1500, "u4"),
        timestamp_ns=timestamp_ns,
        link_type=LINKTYPE_ETHERNET,
    )


def bytes_of(kept: KeptHeaders) -> list[bytes]:
    frames = kept.frames
    return [
        frames.buffer[offset : offset + length].tobytes()
        for offset, length in zip(frames.offset.tolist(), frames.captured.tolist(), strict=True)
    ]


def test_frames_come_back_in_order_with_both_lengths() -> None:
    """What is kept is what was captured, plain and long mixed; bytes behind a frame's end are not told."""
    lengths = [60, 366, 14, PLAIN_BYTES, PLAIN_BYTES + 1, 42]
    frames = [bytes([number + 1]) * length for number, length in enumerate(lengths)]
    kept = recent()
    kept.write(frames_of(frames))
    found = kept.between(*ALWAYS)
    assert bytes_of(found) == frames
    assert np.diff(found.frames.timestamp_ns).tolist() == [10**9] * 5
    assert found.frames.wire_length.tolist() == lengths
    assert found.stands_for.tolist() == [1.0] * 6
    second = kept.between(START + 10**9, START + 3 * 10**9)
    assert bytes_of(second) == frames[1:3]
    assert kept.left_out == 0


def test_tags_the_kernel_took_out_are_kept() -> None:
    """Their control and protocol stand beside the frame."""
    frames = stamped(np.array([START, START + 1]))
    tagged = Frames(
        frames.buffer,
        frames.offset,
        captured=frames.captured,
        wire_length=frames.wire_length,
        timestamp_ns=frames.timestamp_ns,
        link_type=LINKTYPE_ETHERNET,
        is_tagged=np.array([True, False]),
        tag_control=np.array([100, 0], "u2"),
        tag_protocol=np.array([0x88A8, 0x8100], "u2"),
    )
    kept = recent()
    kept.write(tagged)
    kept.write(frames)
    found = kept.between(*ALWAYS).frames
    assert found.is_tagged.tolist() == [True, False, False, False]
    assert (int(found.tag_control[0]), int(found.tag_protocol[0])) == (100, 0x88A8)


def test_longer_frames_are_cut() -> None:
    """Headers only: whatever is handed in, no more than the snap length is kept."""
    kept = recent()
    kept.write(frames_of([b"a" * 1500]))
    assert bytes_of(kept.between(*ALWAYS)) == [b"a" * LONG_BYTES]


def test_memory_is_bounded_and_the_newest_stay() -> None:
    """The banks fit the size; slow traffic pushes out the oldest alone."""
    kept = recent(200_000)
    assert 190_000 < kept.memory_bytes <= 200_000
    capacity, _ = kept.capacity
    times = START + np.arange(3 * capacity) * 10**9
    for part in np.array_split(times, 50):
        kept.write(stamped(part))
    assert kept.left_out == 0
    assert kept.between(*ALWAYS).frames.timestamp_ns.tolist() == times[-capacity:].tolist()


def test_too_small_is_refused() -> None:
    """A size that holds nothing worth having is a mistake."""
    with pytest.raises(ValueError, match="at least 100000"):
        recent(99_999)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(0, 20_000)), min_size=1, max_size=60), st.booleans())
def test_it_reaches_back_over_a_window_at_any_rate(blocks: list[tuple[int, int]], is_long: bool) -> None:
    """No packet that was kept is lost before its window has been judged, each is counted, and kept ones stand for all of their block."""
    kept = recent()
    now, seen, written = START, 0, []
    for count, gap_ms in blocks:
        now += gap_ms * 1_000_000
        before = kept.left_out
        kept.write(stamped(np.full(count, now), length=200 if is_long else 60))
        seen += count
        written.append((now, count - (kept.left_out - before), count))
    assert sum(rows for _, rows, _ in written) + kept.left_out == seen
    begin = now - round(REACH_SECONDS * 1e9)
    found = kept.between(begin + 1, now + 1)
    assert len(found) == sum(rows for at, rows, _ in written if at > begin)
    told = sum(count for at, rows, count in written if at > begin and rows)
    assert float(found.stands_for.sum()) == pytest.approx(told, rel=1e-4)


def test_a_flood_leaves_an_even_share() -> None:
    """Of a minute at ten times what fits, every second has some, and none has most."""
    kept = recent()
    capacity, _ = kept.capacity
    per_second = capacity // 6
    for second in range(60):
        kept.write(stamped(START + second * 10**9 + np.arange(per_second) * (10**9 // per_second)))
    times = kept.between(START, START + 60 * 10**9).frames.timestamp_ns
    later = np.bincount((times - START) // 10**9, minlength=60)[10:]
    assert later.min() >= capacity / 2 / REACH_SECONDS - 2
    assert later.max() <= capacity / 2 / REACH_SECONDS + 2
    assert kept.left_out == 60 * per_second - len(times)


def test_a_clock_set_back_does_not_stop_it() -> None:
    """Packets of an earlier time are kept as far as there is room, and the reckoning goes on from there."""
    kept = recent()
    kept.write(stamped(START + 10**12 + np.arange(10)))
    kept.write(stamped(START + np.arange(10)))
    assert len(kept.between(START, START + 100)) == 10


def test_reading_while_it_is_overwritten_gives_whole_rows() -> None:
    """A reader beside the writer never sees half of one packet and half of another, and the writer never waits."""
    kept = recent()
    stop = threading.Event()
    written = [0]

    def write() -> None:
        now = START
        while not stop.is_set():
            now += 60 * 10**9  # so that all are kept
            kept.write(stamped(now + np.arange(300)))
            written[0] += 300

    writer = threading.Thread(target=write)
    writer.start()
    try:
        torn = reads = 0
        while reads < 400 or written[0] < 60_000:
            found = kept.between(*ALWAYS)
            first = np.array([int.from_bytes(each[:8], "little") for each in bytes_of(found)[::37]], "i8")
            last = np.array([int.from_bytes(each[48:56], "little") for each in bytes_of(found)[::37]], "i8")
            times = found.frames.timestamp_ns[::37]
            torn += int(((first != times) | (last != times)).sum())
            reads += 1
    finally:
        stop.set()
        writer.join()
    assert torn == 0


def test_several_followers_are_told_everything() -> None:
    """A tee beside the recent headers changes nothing for either."""
    one, two = recent(), recent()
    both = HeaderFollowers(one, two)
    both.write(frames_of([b"q" * 60]))
    both.write_dropped(START, 3)
    both.close()
    assert len(one.between(*ALWAYS)) == len(two.between(*ALWAYS)) == 1


def test_how_packets_were_joined_is_kept() -> None:
    """Evidence of joined packets counts as the flows it is evidence of; frames that say nothing stand for one."""
    frames = frames_of([bytes([number + 1]) * length for number, length in enumerate((60, 366, 60, 366))])
    joined = replace(frames, segment_size=np.array([1448, 0, 0, 1200], "u2"), segment_protocol=np.array([6, 0, 0, 17], "u1"))
    kept = recent()
    kept.write(joined)
    kept.write(replace(frames, timestamp_ns=frames.timestamp_ns + 10 * 10**9))
    found = kept.between(*ALWAYS).frames
    assert found.segment_size is not None
    assert found.segment_protocol is not None
    assert found.segment_size.tolist() == [1448, 0, 0, 1200, 0, 0, 0, 0]
    assert found.segment_protocol.tolist() == [6, 0, 0, 17, 0, 0, 0, 0]
    assert found.at(np.array([3])).segment_size.tolist() == [1200]
