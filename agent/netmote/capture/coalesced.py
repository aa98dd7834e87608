"""Taking packets apart that stand for several on the wire: what one full segment is, and what the others add.

The network card or the kernel joins segments that arrived (GRO), or the sending host leaves the cutting to its card (TSO, UDP GSO).
Every segment had all the headers on the wire. Cut is the payload of TCP, or of UDP where each datagram got a header of its own.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.internet import Columns
from netmote.capture.packets import PROTOCOL_TCP, PROTOCOL_UDP, CoalescedColumns

_UDP_HEADER = 8
_JUMBO_HEADER = (
    8  # hop-by-hop header with a jumbo payload option (RFC 2675), which joined packets over 64 KiB have and segments have not
)


def take_apart(frames: Frames, network: NDArray[np.int64], columns: Columns) -> CoalescedColumns:
    """What to add for the segments of the packets that have several; `columns` then describe one full segment of each.

    `network` (n,) is where the IP headers begin. A packet is left whole where its headers do not say what is cut: not captured, or
    a tunnel around what the kernel cut. `tcp_payload_octets` stays that of the whole, as the next sequence number needs it.
    """
    if frames.segment_size is None or frames.segment_protocol is None:
        return CoalescedColumns()
    row = np.flatnonzero(frames.segment_size)
    is_guess = frames.segment_protocol[row] == 0
    protocol = np.where(is_guess, PROTOCOL_TCP, frames.segment_protocol[row])
    row = row[columns.flow_class[row] & np.uint64(0xFF) == protocol]
    row = row[~columns.is_fragment[row]]
    header = columns.transport[row] - network[row]
    data_offset = rows_at(frames.buffer, columns.transport[row] + 12, 1).reshape(-1) >> 4
    is_tcp = frames.segment_protocol[row] != PROTOCOL_UDP
    header += np.where(is_tcp, data_offset.astype("i8") << 2, _UDP_HEADER)
    is_there = columns.transport[row] + np.where(is_tcp, 13, 0) <= frames.offset[row] + frames.captured[row]
    payload = columns.ip_total_length[row].astype("i8") - header
    is_jumbo = (columns.flow_class[row] >> np.uint64(8) & np.uint64(0xFF) == 6) & (payload > 0xFFFF - 20)
    has_option = is_jumbo & (rows_at(frames.buffer, network[row] + 6, 1).reshape(-1) == 0)
    header -= _JUMBO_HEADER * has_option
    size = frames.segment_size[row].astype("i8")
    size -= np.where(frames.segment_protocol[row] == 0, header, 0)
    has_several = is_there & (payload > size) & (size > 0)
    row, header, payload, size = row[has_several], header[has_several], payload[has_several], size[has_several]
    count = -(-payload // size)
    full, last = header + size, header + payload - (count - 1) * size
    columns.ip_total_length[row] = full
    return CoalescedColumns(
        row,
        (count - 1).astype("u4"),
        ((count - 2) * full + last).astype("u4"),
        ((count - 2) * full * full + last * last).astype("u8"),
        last.astype("u4"),
    )
