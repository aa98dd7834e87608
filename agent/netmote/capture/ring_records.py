"""The records of a ring to columns: what the kernel says of each packet, and of its frame what decides how it is decoded.

Ring memory is larger than any cache and another processor wrote it, so that each look at every record costs as much as all that is
calculated with what is found. Some thousand records are copied up to their EtherType at once, and read from the copy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import rows_at
from netmote.capture.virtio_header import GSO_TYPE, VIRTIO_HEADER_BYTES

_COPIED = 8192  # records: the copy stays in the second-level cache, and below what `daemon.memory` has mapped anew each time
_ROW = 112  # behind the EtherType, whichever the layout; 64 would take twice as long (numpy 2)
_ETHER_TYPE, _ETHERNET_HEADER = 12, 14


class RecordReading:
    """Columns of the records at `offset` (n,) in `buffer`, whose heads are `record`. Copies: they stay when the ring goes on."""

    def __init__(
        self, buffer: NDArray[np.uint8], offset: NDArray[np.int64], record: "np.dtype[Any]", *, is_ethernet: bool
    ) -> None:
        count = len(offset)
        self.timestamp_ns: NDArray[np.int64] = np.empty(count, "i8")
        self.begin: NDArray[np.int64] = np.empty(count, "i8")
        """Of each frame, in the buffer."""
        self.captured: NDArray[np.int64] = np.empty(count, "i8")
        self.length: NDArray[np.uint32] = np.empty(count, "u4")
        self.status: NDArray[np.uint32] = np.empty(count, "u4")
        self.segment_kind: NDArray[np.uint8] = np.empty(count, "u1")
        """The byte `GSO_TYPE` of the virtio_net_hdr before each frame, where the layout has one."""
        self.ether_type: NDArray[np.uint16] | None = np.empty(count, "u2") if is_ethernet else None
        """Behind the addresses of each frame; None where they have no Ethernet header."""
        for first in range(0, count, _COPIED):
            self._read(buffer, offset, record, slice(first, min(first + _COPIED, count)))

    def _read(self, buffer: NDArray[np.uint8], offset: NDArray[np.int64], record: "np.dtype[Any]", part: slice) -> None:
        at = offset[part]
        rows = rows_at(buffer, at, _ROW)
        head = rows[:, : record.itemsize].view(record)[:, 0]
        timestamp = self.timestamp_ns[part]
        np.multiply(head["second"], 1_000_000_000, out=timestamp, dtype="i8")
        timestamp += head["nanosecond"]
        self.captured[part] = head["captured"]
        self.length[part] = head["length"]
        self.status[part] = head["status"]
        place = head["mac"]
        np.add(at, place, out=self.begin[part])
        begin = int(place[0])  # nearly always the same in all
        if begin < VIRTIO_HEADER_BYTES or begin + _ETHERNET_HEADER > _ROW or (place != begin).any():
            begin = VIRTIO_HEADER_BYTES
            rows = rows_at(buffer, self.begin[part] - begin, begin + _ETHERNET_HEADER)
        self.segment_kind[part] = rows[:, begin - VIRTIO_HEADER_BYTES + GSO_TYPE]
        if self.ether_type is not None:
            self.ether_type[part] = rows[:, begin + _ETHER_TYPE : begin + _ETHERNET_HEADER].view(">u2")[:, 0]
