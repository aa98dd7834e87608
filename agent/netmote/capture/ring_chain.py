"""Where the records of a TPACKET_V3 block lie, in numpy. Pure: a block's bytes in, offsets out.

A record says how far the next one is. Following that in Python costs more than all metering, so it is guessed that the next records
are as long as this one, and a strided view checks the guess for all of them at once; where runs are short the chain is followed.
Nothing outside the block is read and nothing loops, whatever the words say: the chain then ends early.
"""

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 48  # struct tpacket3_hdr, and as much describes a block
_ALIGNMENT = 8  # V3_ALIGNMENT of net/packet/af_packet.c
_SHORT_RUN, _WALKED = 24, 512  # runs shorter than this make the chain be followed for so many records


def record_offsets(block: memoryview, count: int) -> tuple[NDArray[np.int64], int]:
    """Offsets of the `count` records of a block, counted from its begin, and how many of them were found by following the chain.

    Fewer than `count` where the chain breaks: a record that would overlap the one before it, or reach out of the block.
    """
    words = block.cast("I")
    try:
        return _offsets(block, words, count)
    finally:
        words.release()


def _offsets(block: memoryview, words: memoryview, count: int) -> tuple[NDArray[np.int64], int]:
    last = len(block) - HEADER_BYTES  # where a record may begin
    found: list[NDArray[np.int64]] = []
    walked = short_runs = 0
    offset = words[4]  # offset_to_first_pkt
    if offset < HEADER_BYTES:
        return np.zeros(0, "i8"), 0
    while count > 0 and offset <= last and offset % _ALIGNMENT == 0:
        stride = words[offset >> 2]
        if count == 1 or not _is_length(stride):
            found.append(np.array([offset], "i8"))
            break
        most = min(count, (last - offset) // stride + 1)
        same = np.ndarray((most - 1,), "u4", block, offset, (stride,)) == stride
        run = most if same.all() else int(same.argmin()) + 1
        found.append(offset + np.arange(run) * stride)
        count -= run
        if count == 0:
            break
        offset += (run - 1) * stride
        following = words[offset >> 2]
        if not _is_length(following):
            break
        offset += following
        short_runs = short_runs + 1 if run < _SHORT_RUN else 0
        if short_runs > 2:
            followed, offset = _follow(words, offset, min(count, _WALKED), last)
            found.append(followed)
            walked += len(followed)
            count -= len(followed)
            short_runs = 0
    return (np.concatenate(found) if found else np.zeros(0, "i8")), walked


def _is_length(stride: int) -> bool:
    return stride >= HEADER_BYTES and stride % _ALIGNMENT == 0


def _follow(words: memoryview, offset: int, count: int, last: int) -> tuple[NDArray[np.int64], int]:
    """At most `count` records by their own lengths, and where the next one begins; beyond `last` where the chain is broken."""
    at = offset >> 2
    places: list[int] = []
    append = places.append
    try:
        for _ in range(count):
            append(at)
            at += words[at] >> 2
    except IndexError:  # out of the block: the place just noted, or the one after it
        places.pop()
    found = np.array(places, "i8") << 2
    sound = found <= last
    sound[1:] &= np.diff(found) >= HEADER_BYTES
    sound &= found % _ALIGNMENT == 0
    following = at << 2
    if not sound.all():
        return found[: int(sound.argmin())], last + 1
    if len(found) < count or following - int(found[-1]) < HEADER_BYTES:
        following = last + 1
    return found, following
