"""Records of a ring to columns: the same whatever the layout and wherever frames begin in their records."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from netmote.capture.ring_records import RecordReading
from netmote.capture.ring_v2 import FrameRing
from netmote.capture.ring_v3 import BlockRing

_SLOT = 256
_COUNT = 20_000  # more than are copied at once


def written(record: "np.dtype[Any]", place: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.void]]:
    """A buffer of records of random content whose frames begin at `place`, and their heads."""
    random = np.random.default_rng(3)
    slots = random.integers(0, 256, (len(place), _SLOT), dtype="u1")
    heads = slots[:, : record.itemsize].copy().view(record).reshape(-1)
    heads["mac"] = place
    heads["nanosecond"] %= 1_000_000_000
    slots[:, : record.itemsize] = heads.view("u1").reshape(len(place), -1)
    return slots.reshape(-1), heads


@pytest.mark.parametrize("layout", [BlockRing, FrameRing])
@pytest.mark.parametrize("places", [(92,), (76,), (200,), (92, 108), (108, 60)], ids=str)
def test_every_column_says_what_stands_in_the_record(layout: type[BlockRing] | type[FrameRing], places: tuple[int, ...]) -> None:
    """Wherever frames begin, in all records alike or not, each column is the record's own field, and bytes are the frame's own."""
    place = np.resize(np.array(places), _COUNT)
    buffer, heads = written(layout.record, place)
    offset = np.arange(_COUNT) * _SLOT
    read = RecordReading(buffer, offset, layout.record, is_ethernet=True)
    assert read.timestamp_ns.tolist() == [
        int(s) * 1_000_000_000 + int(n) for s, n in zip(heads["second"], heads["nanosecond"], strict=True)
    ]
    assert (read.begin == offset + place).all()
    for column, name in ((read.captured, "captured"), (read.length, "length"), (read.status, "status")):
        assert (column == heads[name]).all()
    flat = buffer.tolist()
    begins = read.begin.tolist()
    assert read.ether_type is not None
    assert read.ether_type.tolist() == [flat[at + 12] << 8 | flat[at + 13] for at in begins]
    assert read.segment_kind.tolist() == [flat[at - 9] for at in begins]


def test_the_last_record_may_end_with_the_buffer() -> None:
    """A short frame in the last record: nothing behind the buffer is read, and what is missing counts as zero."""
    buffer, heads = written(BlockRing.record, np.array([92, 92]))
    buffer = buffer[: _SLOT + 92 + 13].copy()
    read = RecordReading(buffer, np.array([0, _SLOT]), BlockRing.record, is_ethernet=True)
    assert read.captured.tolist() == heads["captured"].tolist()
    assert read.ether_type is not None
    assert int(read.ether_type[1]) == int(buffer[-1]) << 8


def test_no_packet_and_no_link_header() -> None:
    """Nothing ready gives empty columns; frames without an Ethernet header have no EtherType."""
    read = RecordReading(np.zeros(4096, "u1"), np.zeros(0, "i8"), BlockRing.record, is_ethernet=False)
    assert len(read.timestamp_ns) == len(read.begin) == 0
    assert read.ether_type is None
