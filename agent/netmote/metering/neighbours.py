"""Which hardware address answers for which IP address, and the facts when that is disputed. State, no I/O.

Fed with the claims of packet columns (ARP, IPv6 neighbour discovery, DHCP servers); time is event time alone, and the outcome does
not depend on how packets were cut into blocks. Within a second of event time the same claim counts once.

    nobody ──claim──► held by A ──claim of B──► held by B, A before     tells neighbour_changed where A was heard of lately
                                                     │ claim of A, B heard within `conflict_ns`
                                                     ▼
                                               held by A, B before      tells address_conflict: both are there

An address that moves is not yet a conflict: a machine may be replaced, or fail over. Only where the former holder goes on claiming
are there two. Each fact is told of an address once per cool-down. Of two virtual hardware addresses of router redundancy
(VRRP, CARP, HSRP, GLBP), and where one takes over, nothing is told; where another takes over from one, it is.

DHCP servers: the first of a segment is learned, every further one is a fact, once.

Full. Addresses not heard of within `memory_ns` make room; where there are none, newcomers are refused and counted. Likewise claims
beyond the bound of one second.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import Claim, ClaimColumns
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import address_text

SECOND_NS = 1_000_000_000
_NEVER = -(2**62)
_MOST_SERVERS = 16
_AT_ONCE = 4096  # claims looked at together
# Hardware addresses that stand for a group of routers, by their leading octets: VRRP and CARP over IPv4 and IPv6 (RFC 9568
# section 7.3), HSRP version 1, version 2 over IPv4 and IPv6, GLBP (Cisco).
_VIRTUAL = ("00005e0001", "00005e0002", "00000c07ac", "00000c9ff", "000573a0", "0007b400")
_KEY = np.dtype([("second", "i8"), ("hardware", "u8"), ("address", "V16"), ("segment", "u4"), ("is_server", "u4")])


@dataclass(slots=True)
class _Holder:
    """Who claims an address: the latest one, and the one before."""

    hardware: int
    heard_ns: int
    former: int = 0  # 0: nobody
    changed_told_ns: int = _NEVER
    conflict_told_ns: int = _NEVER


class Neighbours:
    """The neighbours of one observation point. Not thread-safe: its capture thread owns it.

    `source` goes into every batch. At most `max_addresses` are known at once, and `max_claims` different claims heard in a second.
    """

    def __init__(
        self,
        *,
        source: str,
        max_addresses: int = 4096,
        max_claims: int = 2048,
        conflict_ns: int = 60 * SECOND_NS,
        memory_ns: int = 600 * SECOND_NS,
        cool_down_ns: int = 600 * SECOND_NS,
    ) -> None:
        self._source, self._interface = source, source.partition(":")[2]
        self._max_addresses, self._max_claims = max_addresses, max_claims
        self._conflict_ns, self._memory_ns, self._cool_down_ns = conflict_ns, memory_ns, cool_down_ns
        self._holders: dict[tuple[int, bytes], _Holder] = {}  # by segment and address; the one heard of longest ago comes first
        self._servers: dict[tuple[int, bytes, int], None] = {}  # segment, address, hardware address
        self._latest_ns = 0
        self._second = -1
        self._heard: set[tuple[int, bytes, int, int]] = set()  # what was claimed in this second
        self.addresses_refused = 0
        """Claims of addresses, and of DHCP servers, for which there was no room."""
        self.claims_passed_over = 0
        """Claims beyond `max_claims` in their second."""

    def __len__(self) -> int:
        return len(self._holders)

    def begin_anew(self) -> None:
        """The clock was set back: what was heard is of another time. DHCP servers stay known."""
        self._holders.clear()
        self._heard.clear()
        self._latest_ns, self._second = 0, -1

    def observe(self, claims: ClaimColumns) -> list[FactBatch]:
        """Take the claims of a block; returns a batch with the facts they make, or nothing."""
        if not len(claims):
            return []
        times = np.maximum.accumulate(np.maximum(claims.timestamp_ns, self._latest_ns))
        self._latest_ns = int(times[-1])
        facts: tuple[Fact, ...] = ()
        for start in range(0, len(claims), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            facts += tuple(self._facts(claims.taken(part, claims.position[part]), times[part]))
        return [FactBatch(self._source, facts[0].time_ns, facts[-1].time_ns, facts)] if facts else []

    def _facts(self, claims: ClaimColumns, times: NDArray[np.int64]) -> Iterator[Fact]:
        if len(self._heard) >= self._max_claims and times[-1] // SECOND_NS == self._second:
            self.claims_passed_over += len(claims)  # a flood: the second has had its share
            return
        is_server = claims.kind == Claim.DHCP_SERVER
        for i in _first_in_their_second(claims, times // SECOND_NS, is_server).tolist():
            time_ns, hardware, segment = int(times[i]), int(claims.hardware[i]), int(claims.segment[i])
            address = claims.address[i].tobytes()
            if self._is_new(time_ns // SECOND_NS, (segment, address, hardware, int(is_server[i]))):
                if is_server[i]:
                    yield from self._served(segment, address, hardware, time_ns)
                else:
                    yield from self._claimed(segment, address, hardware, time_ns, Claim(int(claims.kind[i])))

    def _is_new(self, second: int, claim: tuple[int, bytes, int, int]) -> bool:
        if second != self._second:
            self._second = second
            self._heard.clear()
        if claim in self._heard:
            return False
        if len(self._heard) >= self._max_claims:
            self.claims_passed_over += 1
            return False
        self._heard.add(claim)
        return True

    def _claimed(self, segment: int, address: bytes, hardware: int, time_ns: int, kind: Claim) -> Iterator[Fact]:
        holder = self._holders.pop((segment, address), None)
        if holder is None or time_ns - holder.heard_ns > self._memory_ns:
            if self._has_room(time_ns):
                self._holders[segment, address] = _Holder(hardware, time_ns)
            else:
                self.addresses_refused += 1
            return
        self._holders[segment, address] = holder
        if hardware == holder.hardware:
            holder.heard_ns = time_ns
            return
        before, is_back = holder.hardware, hardware == holder.former
        is_conflict = is_back and time_ns - holder.heard_ns <= self._conflict_ns
        holder.former, holder.hardware, holder.heard_ns = before, hardware, time_ns
        if is_virtual(hardware):
            return
        told = {"hardware": hardware_text(hardware), "by": kind.reason, "interface": self._interface}
        if is_conflict:
            if time_ns - holder.conflict_told_ns >= self._cool_down_ns:
                holder.conflict_told_ns = time_ns
                yield _fact("address_conflict", segment, address, time_ns, {**told, "other": hardware_text(before)})
        elif time_ns - holder.changed_told_ns >= self._cool_down_ns:
            holder.changed_told_ns = time_ns
            yield _fact("neighbour_changed", segment, address, time_ns, {**told, "before": hardware_text(before)})

    def _has_room(self, time_ns: int) -> bool:
        if len(self._holders) < self._max_addresses:
            return True
        oldest = next(iter(self._holders))
        if time_ns - self._holders[oldest].heard_ns <= self._memory_ns:
            return False
        del self._holders[oldest]
        return True

    def _served(self, segment: int, address: bytes, hardware: int, time_ns: int) -> Iterator[Fact]:
        server = (segment, address, 0 if is_virtual(hardware) else hardware)
        if server in self._servers:
            return
        if len(self._servers) >= _MOST_SERVERS:
            self.addresses_refused += 1
            return
        known = [(each[1], each[2]) for each in self._servers if each[0] == segment]
        self._servers[server] = None
        if known:
            before = ", ".join(f"{address_text(each)} at {hardware_text(which)}" for each, which in known[:3])
            told = {"hardware": hardware_text(hardware), "before": before, "interface": self._interface}
            yield _fact("dhcp_server", segment, address, time_ns, told, value=len(known) + 1.0)


def distinct(claims: ClaimColumns, most: int) -> tuple[list[ClaimColumns], int]:
    """The claims in parts without those told before in the same second, and how many were left out once there were `most`.

    For whoever hands claims on instead of observing them: a flood costs no more than that.
    """
    parts: list[ClaimColumns] = []
    for start in range(0, len(claims), _AT_ONCE):
        if sum(map(len, parts)) >= most:
            return parts, len(claims) - start
        chosen = slice(start, start + _AT_ONCE)
        part = claims.taken(chosen, claims.position[chosen])
        first = _first_in_their_second(part, part.timestamp_ns // SECOND_NS, part.kind == Claim.DHCP_SERVER)
        parts.append(part.taken(first, part.position[first]))
    return parts, 0


def is_virtual(hardware: int) -> bool:
    """A hardware address that several routers share by agreement."""
    return f"{hardware:012x}".startswith(_VIRTUAL)


def _fact(name: str, segment: int, address: bytes, time_ns: int, annotations: dict[str, str], *, value: float = 1.0) -> Fact:
    if segment:
        annotations["vlan"] = ".".join(str(tag) for tag in (segment & 0xFFFF, segment >> 16) if tag)
    return Fact(Entity(EntityKind.HOST, address_text(address)), name, time_ns, value, annotations)


def hardware_text(hardware: int) -> str:
    """`02:00:5e:00:53:01`."""
    return ":".join(f"{octet:02x}" for octet in hardware.to_bytes(6))


def _first_in_their_second(claims: ClaimColumns, second: NDArray[np.int64], is_server: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions of the claims that are the first of their kind in their second, ascending: a flood of one claim costs one."""
    if len(claims) < 2:
        return np.arange(len(claims))
    keys = np.zeros(len(claims), _KEY)
    keys["second"], keys["hardware"], keys["segment"] = second, claims.hardware, claims.segment
    keys["address"], keys["is_server"] = claims.address, is_server
    _, first = np.unique(keys.view(f"V{_KEY.itemsize}"), return_index=True)
    found: NDArray[np.int64] = np.sort(first)
    return found
