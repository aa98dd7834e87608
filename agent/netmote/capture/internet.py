"""IPv4 and IPv6 headers that are not plain: options, fragments, extension headers, whatever the sender left out.

Bytes are read where they lie, at offsets that were checked against what was captured and what the IP header claims, so a header
chain of any length is followed, and padding behind a short packet is never taken for ports.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, Undecodable

_IPV4_HEADER, _IPV6_HEADER = 20, 40
_SHORTEST_PAYLOAD = 46  # of an Ethernet frame, padded (IEEE 802.3 section 3.2.7)
_IPV6_ROW = _IPV6_HEADER + 16  # up to the control bits of TCP, in words of eight bytes
# Extension headers that are stepped over (RFC 8200 section 4; AH: RFC 4302 section 2). ESP (50) hides what follows; 59 is none.
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS = 0, 43, 44, 51, 60
_LONGEST_CHAIN = 32
_MAPPED = np.uint64(0xFFFF_0000)
_PLAIN_COLUMNS = (
    "source_word",
    "destination_word",
    "flow_class",
    "ip_total_length",
    "ip_class_of_service",
    "tcp_control_bits",
    "icmp_type",
    "icmp_code",
    "time_to_live",
    "tcp_sequence",
    "tcp_payload_octets",
)


@dataclass(slots=True, eq=False)
class Columns:
    """The columns of a block while it is being decoded; `flow_class` 0 marks a row nobody has filled."""

    source_word: NDArray[np.uint64]
    destination_word: NDArray[np.uint64]
    flow_class: NDArray[np.uint64]
    ip_total_length: NDArray[np.uint32]
    ip_class_of_service: NDArray[np.uint8]
    tcp_control_bits: NDArray[np.uint8]
    icmp_type: NDArray[np.uint8]
    icmp_code: NDArray[np.uint8]
    is_fragment: NDArray[np.bool_]
    time_to_live: NDArray[np.uint8]
    tcp_sequence: NDArray[np.uint32]
    tcp_payload_octets: NDArray[np.uint16]
    transport: NDArray[np.int64]  # where the transport header begins, in the buffer
    is_reread: bool = False  # inner packets stand where outer ones stood
    _six: list[tuple[NDArray[np.int64], NDArray[np.uint64]]] = field(default_factory=list)

    @classmethod
    def allocate(cls, count: int) -> "Columns":
        def column(dtype: str) -> NDArray[np.uint64]:
            return np.empty(count, dtype)

        small = np.zeros((3, count), "u1")
        return cls(
            column("u8"),
            column("u8"),
            np.zeros(count, "u8"),
            np.empty(count, "u4"),
            np.empty(count, "u1"),
            np.empty(count, "u1"),
            small[0],
            small[1],
            small[2].view("?"),
            np.empty(count, "u1"),
            np.empty(count, "u4"),
            np.empty(count, "u2"),
            np.empty(count, "i8"),
        )

    def put(self, rows: NDArray[np.int64], found: "Columns") -> None:
        """Take over what was found of the packets at `rows`, but where their transport headers begin."""
        for name in _PLAIN_COLUMNS:
            getattr(self, name)[rows] = getattr(found, name)

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Forget what was read of these packets."""
        for column in (self.source_word, self.destination_word, self.ip_total_length, self.tcp_sequence):
            column[rows] = 0
        self.is_fragment[rows] = False
        for small in (self.ip_class_of_service, self.tcp_control_bits, self.icmp_type, self.icmp_code, self.time_to_live):
            small[rows] = 0
        self.tcp_payload_octets[rows] = 0

    def add_six(self, rows: NDArray[np.int64], addresses: NDArray[np.uint64]) -> None:
        self._six.append((rows, addresses))

    def six(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Rows that are IPv6, ascending, and their addresses."""
        if not self._six:
            return np.zeros(0, "i8"), np.zeros((0, 4), "u8")
        if not self.is_reread:
            return self._six[0]
        rows = np.concatenate([rows for rows, _ in self._six])
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        latest = np.append(rows[1:] != rows[:-1], [True])  # of each row the last counts, where that is IPv6
        latest &= self.flow_class.view("u1")[1::8][rows] == 6
        return rows[latest], np.concatenate([addresses for _, addresses in self._six])[order[latest]]


@dataclass(frozen=True, slots=True, eq=False)
class Datagrams:
    """Where the network headers of a block lie."""

    buffer: NDArray[np.uint8]
    ether_type: NDArray[np.uint16]  # (n,)
    offset: NDArray[np.int64]  # (n,) of the IP header in the buffer
    end: NDArray[np.int64]  # (n,) where the bytes end that are there
    frames: Frames  # that they are in

    def available(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes captured from the IP header on."""
        return self.end.take(rows) - self.offset.take(rows)

    def wire(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes on the wire from the IP header on."""
        frames = self.frames
        wire = frames.wire_length.take(rows) + (frames.offset.take(rows) - self.offset.take(rows))
        if frames.is_tagged is not None:
            wire -= 4 * frames.is_tagged.take(rows)
        return wire


def decode_ipv4(datagrams: Datagrams, rows: NDArray[np.int64], columns: Columns) -> NDArray[np.uint8]:
    """Decode IPv4 packets (RFC 791 section 3.1) at `rows` into `columns`; returns the reason of each, 0 where decoded.

    A total length of zero is an offloaded segment (the sending host lets its network card cut it), or more than 64 KiB joined: its
    length is the wire's, where that is more than the padding of a short frame may be.
    """
    buffer, offset = datagrams.buffer, datagrams.offset[rows]
    available, wire = datagrams.available(rows), datagrams.wire(rows)
    header = rows_at(buffer, offset, _IPV4_HEADER)
    claimed = header.view(">u2")[:, 1].astype("i8")
    total = np.where((claimed == 0) & (wire > _SHORTEST_PAYLOAD), wire, claimed)
    length = (header[:, 0] & 0x0F).astype("i8") * 4
    reason = np.zeros(len(rows), "u1")
    reason[(header[:, 0] >> 4 != 4) | (length < _IPV4_HEADER) | (total < length)] = Undecodable.BAD_IP_HEADER
    reason[available < 1] = Undecodable.TRUNCATED
    reason[(reason == 0) & (available < _IPV4_HEADER)] = Undecodable.TRUNCATED
    good = reason == 0
    header, offset, total, rows = header[good], offset[good], total[good], rows[good]
    transport = offset + length[good]
    fragment = header.view(">u2")[:, 3].astype("u2")
    is_first = (fragment & 0x1FFF) == 0
    columns.is_fragment[rows] = (fragment & 0x3FFF) != 0
    columns.ip_total_length[rows] = total
    columns.ip_class_of_service[rows] = header[:, 1]
    columns.time_to_live[rows] = header[:, 8]
    columns.flow_class[rows] = header[:, 9].astype("u8") | np.uint64(4 << 8)
    address = header.view("u4")[:, 3:5].astype("u8") << np.uint64(32)
    columns.source_word[rows] = address[:, 0] | _MAPPED
    columns.destination_word[rows] = address[:, 1] | _MAPPED
    end = offset + np.minimum(total, available[good])
    is_whole = (fragment & 0x3FFF) == 0
    _Transport(buffer, transport, np.where(is_first, end, 0), header[:, 9].copy()).read(
        rows, columns, payload_end=np.where(is_whole, offset + total, 0)
    )
    return reason


def decode_ipv6(datagrams: Datagrams, rows: NDArray[np.int64], columns: Columns) -> NDArray[np.uint8]:
    """Decode IPv6 packets (RFC 8200 section 3) at `rows` into `columns`; returns the reason of each, 0 where decoded.

    A payload length of zero is that of a jumbogram (RFC 2675) or of an offloaded TCP or UDP segment: its length is the wire's.
    """
    buffer, offset = datagrams.buffer, datagrams.offset[rows]
    available, wire = datagrams.available(rows), datagrams.wire(rows)
    header = rows_at(buffer, offset, _IPV6_ROW)
    reason = np.zeros(len(rows), "u1")
    reason[header[:, 0] >> 4 != 6] = Undecodable.BAD_IP_HEADER
    reason[available < 1] = Undecodable.TRUNCATED
    reason[(reason == 0) & (available < _IPV6_HEADER)] = Undecodable.TRUNCATED
    if reason.any():
        good = reason == 0
        header, offset, available, wire, rows = header[good], offset[good], available[good], wire[good], rows[good]
    next_header = header[:, 6].copy()
    payload = header.view(">u2")[:, 2].astype("i8")
    total = payload + _IPV6_HEADER
    empty = (payload == 0).nonzero()[0]
    if len(empty):
        total[empty] = _of_empty(next_header[empty], wire[empty])
    columns.ip_total_length[rows] = total
    columns.ip_class_of_service[rows] = (header[:, 0] << 4) | (header[:, 1] >> 4)
    columns.time_to_live[rows] = header[:, 7]
    columns.add_six(rows, header.view("u8")[:, 1:5].copy())
    there = np.minimum(total, available)
    end = offset + there
    # Most have a transport header that is wholly there, right behind: it was gathered along with this one.
    is_tcp = next_header == PROTOCOL_TCP
    is_plain = (is_tcp & (there >= _IPV6_HEADER + 14)) | ((next_header == PROTOCOL_UDP) & (there >= _IPV6_HEADER + 4))
    # Nearly always that is all of them, and views do.
    chosen: slice | NDArray[np.bool_] = slice(None) if is_plain.all() else is_plain
    plain = rows[chosen]
    columns.transport[plain] = offset[chosen] + _IPV6_HEADER
    columns.flow_class[plain] = next_header[chosen] | np.uint64(6 << 8)
    behind = header[chosen, _IPV6_HEADER:]
    ports = behind.view("u2")
    columns.source_word[plain], columns.destination_word[plain] = ports[:, 0], ports[:, 1]
    has_tcp = is_tcp[chosen]
    columns.tcp_control_bits[plain] = behind[:, 13] * has_tcp
    columns.tcp_sequence[plain] = behind.view(">u4")[:, 1] * has_tcp
    behind_tcp = total[chosen] - _IPV6_HEADER
    behind_tcp -= (behind[:, 12] >> 4) << 2
    behind_tcp *= has_tcp
    columns.tcp_payload_octets[plain] = np.minimum(np.maximum(behind_tcp, 0), 0xFFFF)
    if not isinstance(chosen, slice):
        rest = np.flatnonzero(~is_plain)
        rows = rows[rest]
        columns.source_word[rows] = 0
        columns.destination_word[rows] = 0
        protocol, transport, is_fragment, is_first = _follow_chain(
            buffer, offset[rest] + _IPV6_HEADER, end[rest], next_header[rest]
        )
        columns.is_fragment[rows] = is_fragment
        columns.flow_class[rows] = protocol.astype("u8") | np.uint64(6 << 8)
        _Transport(buffer, transport, np.where(is_first, end[rest], 0), protocol).read(
            rows, columns, payload_end=np.where(is_fragment, 0, offset[rest] + total[rest])
        )
    return reason


def _of_empty(kind: NDArray[np.uint8], wire: NDArray[np.int64]) -> NDArray[np.int64]:
    """Total lengths of packets that claim no payload, by what comes next and how long they are on the wire."""
    is_whole_wire = (kind == PROTOCOL_TCP) & (wire >= _IPV6_HEADER + 20)  # less is the padding of a short frame
    is_whole_wire |= (kind == PROTOCOL_UDP) & (wire >= _IPV6_HEADER + 8)
    is_whole_wire |= (kind == _HOP_BY_HOP) & (wire > _IPV6_HEADER + 0xFFFF)
    return np.where(is_whole_wire, np.maximum(wire, _IPV6_HEADER), _IPV6_HEADER)


def _follow_chain(
    buffer: NDArray[np.uint8], transport: NDArray[np.int64], end: NDArray[np.int64], protocol: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Step over extension headers: (protocol, where it begins, is a fragment, is a first fragment or none).

    A chain that is cut off ends at the header that is missing, with that header's number as the protocol.
    """
    is_fragment = np.zeros(len(protocol), "?")
    is_first = np.ones(len(protocol), "?")
    walking = np.flatnonzero(_is_extension(protocol))
    for _ in range(_LONGEST_CHAIN):
        walking = walking[transport[walking] + 8 <= end[walking]]
        if not len(walking):
            break
        header = rows_at(buffer, transport[walking], 4)
        kind = protocol[walking]
        length = header[:, 1].astype("i8")
        step = np.where(kind == _FRAGMENT, 8, np.where(kind == _AUTHENTICATION, (length + 2) * 4, (length + 1) * 8))
        bits = np.where(kind == _FRAGMENT, header.view(">u2")[:, 1], 0)  # offset << 3 | reserved | M (RFC 8200 section 4.5)
        is_fragment[walking] |= (bits & 0xFFF9) != 0
        is_first[walking] &= (bits & 0xFFF8) == 0
        transport[walking] += step
        protocol[walking] = header[:, 0]
        walking = walking[_is_extension(protocol[walking]) & is_first[walking]]
    return protocol, transport, is_fragment, is_first


def _is_extension(protocol: NDArray[np.uint8]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (protocol == _HOP_BY_HOP) | (protocol == _ROUTING) | (protocol == _FRAGMENT)
    found |= (protocol == _AUTHENTICATION) | (protocol == _DESTINATION_OPTIONS)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Transport:
    """Transport headers of some packets: where each begins, where its bytes end, and its protocol."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    end: NDArray[np.int64]
    protocol: NDArray[np.uint8]

    def read(self, rows: NDArray[np.int64], columns: Columns, *, payload_end: NDArray[np.int64]) -> None:
        """Ports, TCP control bits, sequence and payload, ICMP type and code into `columns` at `rows`, as far as they are there.

        `payload_end` is where the packet ends by its IP header; 0 for fragments, whose payload is not told.
        """
        buffer, offset, end, protocol = self.buffer, self.offset, self.end, self.protocol
        columns.transport[rows] = offset
        has_ports = (protocol == PROTOCOL_TCP) | (protocol == PROTOCOL_UDP) | (protocol == PROTOCOL_SCTP)
        i = np.flatnonzero(has_ports & (offset + 4 <= end))
        ports = rows_at(buffer, offset[i], 4).view("u2")
        columns.source_word[rows[i]] |= ports[:, 0]
        columns.destination_word[rows[i]] |= ports[:, 1]
        for column in (columns.tcp_control_bits, columns.tcp_sequence, columns.tcp_payload_octets):
            column[rows] = 0
        i = np.flatnonzero((protocol == PROTOCOL_TCP) & (offset + 14 <= end))
        header = rows_at(buffer, offset[i], 16)
        columns.tcp_control_bits[rows[i]] = header[:, 13]
        columns.tcp_sequence[rows[i]] = header.view(">u4")[:, 1]
        payload = payload_end[i] - offset[i] - ((header[:, 12] >> 4).astype("i8") << 2)
        columns.tcp_payload_octets[rows[i]] = np.clip(payload, 0, 0xFFFF)
        i = np.flatnonzero(((protocol == PROTOCOL_ICMP) | (protocol == PROTOCOL_ICMPV6)) & (offset + 2 <= end))
        kind = rows_at(buffer, offset[i], 2)
        columns.icmp_type[rows[i]] = kind[:, 0]
        columns.icmp_code[rows[i]] = kind[:, 1]
