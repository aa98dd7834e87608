"""The records of a ring to columns: what the kernel says of each packet, and the plain packets themselves.

Ring memory is larger than any cache and another processor wrote it, so that each look at every record costs as much as all that is
calculated with what is found. So everything is read in one go. Records that lie evenly, as `ring_chain` finds most of them, are read
where they lie; of others some thousand are copied at once, and read from the copy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import even_parts, rows_at
from netmote.capture.internet import Columns
from netmote.capture.plain import ETHERNET_HEADER, PLAIN_ROW, decode_plain, ether_types, seen_at
from netmote.capture.virtio_header import GSO_TYPE, VIRTIO_HEADER_BYTES

_LAST_USUAL_BEGIN = 92  # of a frame in its record: TPACKET_V3 with the virtio_net_hdr (see `ring_layout`); of TPACKET_V2 it is 76


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
        self.columns = Columns.allocate(count)
        """Plain packets are decoded; of the others `flow_class` is 0."""
        self._link = ETHERNET_HEADER if is_ethernet else 0
        for part, rows in even_parts(buffer, offset, _LAST_USUAL_BEGIN + self._link + PLAIN_ROW):
            self._read(buffer, offset[part], record, part, rows)

    def _read(
        self, buffer: NDArray[np.uint8], at: NDArray[np.int64], record: "np.dtype[Any]", part: slice, rows: NDArray[np.uint8]
    ) -> None:
        def head(name: str) -> NDArray[Any]:
            kind, place = record.fields[name][:2] if record.fields else (record, 0)
            return seen_at(rows, int(place), kind)

        timestamp, second = self.timestamp_ns[part], head("second").copy()
        timestamp[:] = head("nanosecond")
        if (second == second[0]).all():
            timestamp += int(second[0]) * 1_000_000_000
        else:
            timestamp += second * np.int64(1_000_000_000)
        self.captured[part] = head("captured")
        self.length[part] = head("length")
        self.status[part] = head("status")
        place = head("mac").copy()
        np.add(at, place, out=self.begin[part])
        begin = int(place[0])  # nearly always the same in all
        if not VIRTIO_HEADER_BYTES <= begin <= _LAST_USUAL_BEGIN or (place != begin).any():
            begin = VIRTIO_HEADER_BYTES
            rows = rows_at(buffer, self.begin[part] - begin, begin + self._link + PLAIN_ROW)
        self.segment_kind[part] = seen_at(rows, begin - VIRTIO_HEADER_BYTES + GSO_TYPE, "u1")
        ether_type = None
        if self.ether_type is not None:
            ether_type = self.ether_type[part]
            ether_type[:] = ether_types(rows, begin)
        decode_plain(rows[:, begin + self._link :], ether_type, self.captured[part], self.columns, part, link_header=self._link)
