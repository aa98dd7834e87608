"""Where the records of a TPACKET_V3 block lie, in numpy. Pure: a block's bytes in, offsets out.

A record says how far the next one is. Following that in Python costs more than all metering, so it is guessed where records are, and
the chain checks the guess for all of them at once. First guess: the next ones are as long as this one. Where lengths alternate: they
are where the word stands that says where a frame begins in its record, for it is the same in all. Only where that fails too is the
chain followed. Nothing outside the block is read and nothing loops, whatever the words say: the chain then ends early.
"""

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 48  # struct tpacket3_hdr, and as much describes a block
_ALIGNMENT = 8  # V3_ALIGNMENT of net/packet/af_packet.c
_FRAME_PLACE = 24  # tp_mac and tp_net of struct tpacket3_hdr, one word
_SHORT_RUN, _WALKED = 24, 512  # runs shorter than this make the chain be followed for so many records
_SEARCHED = 1 << 19  # bytes, at a time


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
        run = _equal(block, offset, stride, min(count, (last - offset) // stride + 1))
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
            marked, offset = _marked(block, offset, count, last)
            found.append(marked)
            count -= len(marked)
            short_runs = 2  # where lengths alternate they go on to
            if len(marked) < _SHORT_RUN and count > 0:
                followed, offset = _follow(words, offset, min(count, _WALKED), last)
                found.append(followed)
                walked += len(followed)
                count -= len(followed)
    return (np.concatenate(found) if found else np.zeros(0, "i8")), walked


def _equal(block: memoryview, offset: int, stride: int, most: int) -> int:
    """How many records from `offset` on, of at most so many, follow one another at this distance."""
    run, window = 1, _SHORT_RUN
    while run < most:
        window = min(8 * window, most - run)
        # Copied before it is compared: 3 ns a record instead of 7, as numpy compares what lies side by side much faster.
        same = np.ndarray((window,), "u4", block, offset + (run - 1) * stride, (stride,)).copy() == stride
        if not same.all():
            return run + int(same.argmin())
        run += window
    return run


def _is_length(stride: int) -> bool:
    return stride >= HEADER_BYTES and stride % _ALIGNMENT == 0


def _marked(block: memoryview, offset: int, count: int, last: int) -> tuple[NDArray[np.int64], int]:
    """At most `count` records that place their frame as the one at `offset` does, as far as the chain agrees; where the next begins."""
    slots = (min(last - offset, _SEARCHED) // _ALIGNMENT) + 1
    if offset > last or offset % _ALIGNMENT:
        return np.zeros(0, "i8"), offset
    mark = np.ndarray((slots,), "u4", block, offset + _FRAME_PLACE, (_ALIGNMENT,))
    place = np.flatnonzero(mark == mark[0])
    length = np.ndarray((slots,), "u4", block, offset, (_ALIGNMENT,))[place]
    # Old bytes between a record's head and its frame may hold the mark too; what stands there is hardly ever a length.
    is_length = (length >= HEADER_BYTES) & (length % _ALIGNMENT == 0)
    place, length = place[is_length], length[is_length].astype("i8")
    if not len(place) or place[0]:
        return np.zeros(0, "i8"), offset
    agrees = place[:-1] + length[:-1] // _ALIGNMENT == place[1:]
    run = min(count, len(place) if agrees.all() else int(agrees.argmin()) + 1)
    found = offset + place[:run] * _ALIGNMENT
    return found, int(found[-1] + length[run - 1])


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
