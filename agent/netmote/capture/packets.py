"""The noun of this room: a block of decoded packets as columns, one observation point, in the order seen.

Owns: what a decoded packet is, and why one could not be decoded. Every packet handed in is either a row of the columns or an
entry of `undecodable_*`; nothing disappears. A block keeps the order of both, so that results never depend on block borders.

The columns are laid out for metering. A packet's `flow_class` packs protocol | version << 8 | vlan << 16 | inner vlan << 32.
An endpoint word is, byte by byte, `[port, port, ff, ff, a, b, c, d]` for IPv4 (the low half of the IPv4-mapped address of RFC
4291 section 2.5.5.2 with the port, in network order, in its two zero bytes) and `[port, port, 0, 0, 0, 0, 0, 0]` for IPv6, whose
addresses stand in `six_address`. Everything else is a view of these.
"""

from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMPV6, PROTOCOL_SCTP = 1, 6, 17, 58, 132


class Undecodable(IntEnum):
    """Why a packet is no row. The lower-case name is the reason in `CaptureLoss` and in metrics."""

    ARP = 1  # EtherType 0x0806
    NOT_IP = 2  # any other EtherType or 802.3 frame; MPLS or PPPoE that does not plainly carry IP
    TRUNCATED = 3  # the capture ends inside the link header or the fixed part of the IP header
    BAD_IP_HEADER = 4  # version, IHL or total length contradict each other (RFC 791 section 3.1, RFC 8200 section 3)
    UNKNOWN_LINK_TYPE = 5  # a LINKTYPE_ this room does not decode
    BAD_TIMESTAMP = 6  # before 1970 or beyond 2199: no clock, but damage
    BAD_RECORD = 7  # a capture file's record contradicts itself; what follows it cannot be found
    CUT_OFF = 8  # a capture file ends inside a record

    @property
    def reason(self) -> str:
        return self.name.lower()


class Claim(IntEnum):
    """How a packet tied an IP address to a hardware address."""

    ARP_REQUEST = 1
    ARP_REPLY = 2
    GRATUITOUS_ARP = 3  # sender and target are the same address
    NEIGHBOUR_SOLICITATION = 4
    NEIGHBOUR_ADVERTISEMENT = 5
    DHCP_SERVER = 6  # the address is that of a server or relay, the hardware address that of the frame

    @property
    def reason(self) -> str:
        return self.name.lower()


def _empty(dtype: Any, *shape: int) -> NDArray[Any]:
    return np.zeros(shape or (0,), dtype)


@dataclass(frozen=True, slots=True, eq=False)
class _SparseColumns:
    """What only some packets have: columns of one length beside the rows they belong to."""

    position: NDArray[np.int64] = field(default_factory=lambda: _empty("i8"))  # (k,) row of the packet, ascending

    def __len__(self) -> int:
        return len(self.position)

    def between(self, start: int, stop: int) -> Self:
        """Those of the packets `start` to `stop`, positions counted from `start`."""
        if not len(self.position):
            return self
        first, last = (int(bound) for bound in np.searchsorted(self.position, (start, stop)))
        return self.taken(slice(first, last), self.position[first:last] - start)

    def of_kept(self, keep: NDArray[np.bool_]) -> Self:
        """Those of the packets with `keep` (n,), positions counted among these."""
        if not len(self.position):
            return self
        chosen = keep[self.position]
        return self.taken(chosen, (np.cumsum(keep) - 1)[self.position[chosen]])

    def taken(self, chosen: "slice | NDArray[np.bool_] | NDArray[np.int64]", position: NDArray[np.int64]) -> Self:
        """Those `chosen`, at these positions."""
        return type(self)(position, *(getattr(self, each.name)[chosen] for each in fields(self)[1:]))


@dataclass(frozen=True, slots=True, eq=False)
class CoalescedColumns(_SparseColumns):
    """The packets among the rows that stand for several on the wire: the network card or the kernel joined them (GRO), or the
    sending host left the cutting to its card (GSO, TSO). The row says what one full segment is; this, what to add for the others.
    """

    extra_packets: NDArray[np.uint32] = field(default_factory=lambda: _empty("u4"))  # segments - 1
    extra_octets: NDArray[np.uint32] = field(default_factory=lambda: _empty("u4"))  # ipTotalLength of all, minus the row's
    extra_squares: NDArray[np.uint64] = field(default_factory=lambda: _empty("u8"))  # the same of the squares
    smallest: NDArray[np.uint32] = field(default_factory=lambda: _empty("u4"))  # ipTotalLength of the last segment


@dataclass(frozen=True, slots=True, eq=False)
class DnsColumns(_SparseColumns):
    """The DNS messages (RFC 1035 section 4.1) among the packets: UDP port 53, first fragment, header captured."""

    is_response: NDArray[np.bool_] = field(default_factory=lambda: _empty("?"))  # QR
    response_code: NDArray[np.uint8] = field(default_factory=lambda: _empty("u1"))  # RCODE; 0 in queries
    question_octets: NDArray[np.uint32] = field(
        default_factory=lambda: _empty("u4")
    )  # of the query's name, dots included; else 0
    question_entropy_millibits: NDArray[np.uint32] = field(default_factory=lambda: _empty("u4"))  # per character, of that name


@dataclass(frozen=True, slots=True, eq=False)
class ClaimColumns(_SparseColumns):
    """Who says it has which address, in the order of arrival. Here `position` counts the rows that came before, as ARP is no row."""

    timestamp_ns: NDArray[np.int64] = field(default_factory=lambda: _empty("i8"))
    kind: NDArray[np.uint8] = field(default_factory=lambda: _empty("u1"))  # Claim
    segment: NDArray[np.uint32] = field(default_factory=lambda: _empty("u4"))  # VLAN | inner VLAN << 16
    hardware: NDArray[np.uint64] = field(default_factory=lambda: _empty("u8"))  # 48 bits, the first octet highest
    address: NDArray[np.void] = field(default_factory=lambda: _empty("V16"))  # IPv4 as IPv4-mapped IPv6


@dataclass(frozen=True, slots=True, eq=False)
class PacketColumns:
    """`n` decoded packets of one interface in capture order, and those between them that could not be decoded."""

    interface: str  # at the observation point; empty when a capture file does not name it
    timestamp_ns: NDArray[np.int64]  # (n,) UTC
    wire_length: NDArray[np.uint32]  # (n,) octets of the frame on the wire
    ip_total_length: NDArray[np.uint32]  # (n,) ipTotalLength (IANA 224): IPv6: 40 + payload length
    source_word: NDArray[np.uint64]  # (n,) endpoint words, see above
    destination_word: NDArray[np.uint64]  # (n,)
    flow_class: NDArray[np.uint64]  # (n,)
    ip_class_of_service: NDArray[np.uint8]  # (n,) TOS or traffic class
    tcp_control_bits: NDArray[np.uint8]  # (n,) the low eight; 0 for other protocols
    icmp_type: NDArray[np.uint8]  # (n,) 0 for other protocols
    icmp_code: NDArray[np.uint8]  # (n,)
    is_fragment: NDArray[np.bool_]  # (n,) More Fragments or an offset
    time_to_live: NDArray[np.uint8]  # (n,) TTL or hop limit (ipTTL, IANA 192)
    tcp_sequence: NDArray[np.uint32]  # (n,) sequence number (tcpSequenceNumber, 184); 0 for other protocols and later fragments
    tcp_payload_octets: NDArray[
        np.uint16
    ]  # (n,) behind the TCP header, as far as the IP header says; 0 as above and for fragments
    six_position: NDArray[np.int64] = field(default_factory=lambda: _empty("i8"))  # (m,) rows that are IPv6, ascending
    six_address: NDArray[np.uint64] = field(default_factory=lambda: _empty("u8", 0, 4))  # (m, 4) source, destination as raw words
    dns: DnsColumns = field(default_factory=DnsColumns)
    coalesced: CoalescedColumns = field(default_factory=CoalescedColumns)
    claims: ClaimColumns = field(default_factory=ClaimColumns)
    undecodable_position: NDArray[np.int64] = field(default_factory=lambda: _empty("i8"))  # (k,) rows that came before it
    undecodable_timestamp_ns: NDArray[np.int64] = field(default_factory=lambda: _empty("i8"))  # (k,)
    undecodable_reason: NDArray[np.uint8] = field(default_factory=lambda: _empty("u1"))  # (k,) Undecodable
    dropped: int = 0  # packets lost before these were read: the kernel's ring was full, or the file says so

    @classmethod
    def empty(cls, interface: str, *, dropped: int = 0) -> "PacketColumns":
        """No packets: it may still say how many were dropped."""
        words, small = _empty("u8"), _empty("u1")
        lengths = _empty("u4")
        return cls(
            interface,
            _empty("i8"),
            lengths,
            lengths,
            words,
            words,
            words,
            small,
            small,
            small,
            small,
            _empty("?"),
            small,
            lengths,
            _empty("u2"),
            dropped=dropped,
        )

    @classmethod
    def undecoded(cls, interface: str, timestamp_ns: int, reason: Undecodable) -> "PacketColumns":
        """One packet of which nothing is known but why."""
        return replace(
            cls.empty(interface),
            undecodable_position=np.zeros(1, "i8"),
            undecodable_timestamp_ns=np.array([timestamp_ns], "i8"),
            undecodable_reason=np.array([reason], "u1"),
        )

    def __len__(self) -> int:
        return len(self.timestamp_ns)

    @property
    def received(self) -> int:
        """Packets this block accounts for: rows and undecodable ones."""
        return len(self.timestamp_ns) + len(self.undecodable_position)

    @property
    def undecodable(self) -> dict[str, int]:
        """Packets by reason, sorted by reason."""
        counts = np.bincount(self.undecodable_reason, minlength=len(Undecodable) + 1)
        return {reason: count for reason, count in sorted((kind.reason, int(counts[kind])) for kind in Undecodable) if count}

    @property
    def protocol_identifier(self) -> NDArray[np.uint8]:
        return self.flow_class.view("u1")[0::8]

    @property
    def ip_version(self) -> NDArray[np.uint8]:
        return self.flow_class.view("u1")[1::8]

    @property
    def vlan_id(self) -> NDArray[np.uint16]:
        """Outermost tag, 0 = untagged."""
        return self.flow_class.view("u2")[1::4]

    @property
    def inner_vlan_id(self) -> NDArray[np.uint16]:
        """Second tag of 802.1ad frames, 0 = none."""
        return self.flow_class.view("u2")[2::4]

    @property
    def source_port(self) -> NDArray[np.uint16]:
        return self.source_word.view(">u2")[0::4]

    @property
    def destination_port(self) -> NDArray[np.uint16]:
        return self.destination_word.view(">u2")[0::4]

    @property
    def source_address(self) -> NDArray[np.void]:
        """(n,) V16, IPv4 as IPv4-mapped IPv6."""
        return self._addresses(self.source_word, 0)

    @property
    def destination_address(self) -> NDArray[np.void]:
        """(n,) V16, IPv4 as IPv4-mapped IPv6."""
        return self._addresses(self.destination_word, 2)

    def _addresses(self, words: NDArray[np.uint64], column: int) -> NDArray[np.void]:
        pair = np.zeros((len(self), 2), "u8")
        pair[:, 1] = words & np.uint64(0xFFFF_FFFF_FFFF_0000)
        pair[self.six_position] = self.six_address[:, column : column + 2]
        return pair.view("V16").reshape(-1)

    def between(self, start: int, stop: int) -> "PacketColumns":
        """Rows `start` to `stop` as views, without the undecodable packets, the claims and the drops."""
        six_first, six_last = (int(bound) for bound in np.searchsorted(self.six_position, (start, stop)))
        rows = slice(start, stop)
        return PacketColumns(
            self.interface,
            **self._rows(rows),
            six_position=self.six_position[six_first:six_last] - start,
            six_address=self.six_address[six_first:six_last],
            dns=self.dns.between(start, stop),
            coalesced=self.coalesced.between(start, stop),
        )

    def kept(self, keep: NDArray[np.bool_]) -> "PacketColumns":
        """The rows with `keep` (n,), copied, without the undecodable packets and the claims; the drops stay."""
        six = keep[self.six_position]
        return PacketColumns(
            self.interface,
            **self._rows(keep),
            six_position=(np.cumsum(keep) - 1)[self.six_position[six]],
            six_address=self.six_address[six],
            dns=self.dns.of_kept(keep),
            coalesced=self.coalesced.of_kept(keep),
            dropped=self.dropped,
        )

    def _rows(self, chosen: "slice | NDArray[np.bool_]") -> dict[str, Any]:
        return {name: getattr(self, name)[chosen] for name in ROW_COLUMNS}

    def split(self, position: int) -> "tuple[PacketColumns, PacketColumns]":
        """Two blocks that say together what this one says: `position` rows and what came before the next; the rest, and the drops."""
        k = int(np.searchsorted(self.undecodable_position, position, side="left"))
        claimed = int(np.searchsorted(self.claims.position, position, side="left"))
        parts = []
        for part, bounds, claims, origin in (
            (self.between(0, position), slice(0, k), slice(0, claimed), 0),
            (self.between(position, len(self)), slice(k, None), slice(claimed, None), position),
        ):
            parts.append(
                replace(
                    part,
                    undecodable_position=self.undecodable_position[bounds] - origin,
                    undecodable_timestamp_ns=self.undecodable_timestamp_ns[bounds],
                    undecodable_reason=self.undecodable_reason[bounds],
                    claims=self.claims.taken(claims, self.claims.position[claims] - origin),
                    dropped=self.dropped if origin == position and bounds.stop is None else 0,
                )
            )
        return parts[0], parts[1]


ROW_COLUMNS = tuple(each.name for each in fields(PacketColumns)[1:15])
"""The columns that every row has."""
