"""When each group of a device is read, what that may cost, and what came of it.

A group is due every `interval`; one that the device lacks once an hour; one that failed at growing distances. `advance` reads what is
due within a bound of requests, the oldest first; what does not fit waits for the next cycle. A failure costs its own group alone. What
a device does not bear is known from its ports, and learnt here beyond them, but never the other way round: a table that is slow or broken
does not make the ports be asked with more care.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netmote.clock import Clock
from netmote.errors import NetmoteError
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact
from netmote.snmp.careful_session import CarefulSession
from netmote.snmp.details.bgp import Bgp
from netmote.snmp.details.budget import BudgetedSession, RequestsSpent
from netmote.snmp.details.ethernet import Ethernet
from netmote.snmp.details.forwarding import REQUESTS_A_READING, Forwarding
from netmote.snmp.details.found import BgpPeer, Found, Gauge, Group, Neighbour, ObjectOutcome, Station
from netmote.snmp.details.host_resources import LoadAverages, Processors, Storage
from netmote.snmp.details.lldp import Lldp
from netmote.snmp.details.profile_group import ProfileGroup
from netmote.snmp.details.scalars import SCALARS, ScalarGroup
from netmote.snmp.details.sensors import Sensors
from netmote.snmp.profiles.loader import ProfileSet
from netmote.snmp.quirks import QuirkLearner, Quirks
from netmote.snmp.reading import DeviceReading
from netmote.snmp.session import SnmpSession

REQUESTS_A_CYCLE = 100  # of 1,400 bytes: a chassis with hundreds of sensors fits, a table without an end does not
_LONGEST_SECONDS: Final = 3600.0  # between two attempts at what is not there, or fails
_NO_QUIRKS: Final = Quirks()


@dataclass(slots=True)
class _Slot:
    group: Group
    due_at: float = 0.0
    failures: int = 0
    error: str = ""
    found: Found | None = None
    admitted: tuple[Gauge, ...] = ()
    excess: tuple[str, ...] = ()
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a device beyond its ports."""

    profile: str  # its name; "" where none fits
    gauges: Mapping[str, tuple[Gauge, ...]]  # by group
    neighbours: tuple[Neighbour, ...]
    stations: tuple[Station, ...]
    peers: tuple[BgpPeer, ...]
    port_hints: Mapping[str, str]
    outcomes: tuple[ObjectOutcome, ...]  # of the profile
    doubts: Mapping[str, tuple[str, ...]]  # by group: what is not believed, and why
    failed: Mapping[str, str]  # group -> error
    absent: tuple[str, ...]  # groups that the device does not have
    excess: tuple[str, ...]  # gauges beyond the bound


class DetailsReader:
    """Reads one device's details. Not safe for two readings at once; safe to cancel."""

    def __init__(
        self,
        device: str,
        *,
        interval: float,
        profiles: ProfileSet,
        max_gauges: int,
        clock: Clock,
        forwarding_requests: int = REQUESTS_A_READING,
        keeps_stations: bool = True,
        first_after: float = 0.0,
    ) -> None:
        """`forwarding_requests` is how much of a forwarding table is read at a time, `keeps_stations` whether more than their number is
        known afterwards; nothing is read before `first_after` seconds.
        """
        self._device, self._interval, self._profiles, self._max_gauges, self._clock = (
            device,
            interval,
            profiles,
            max_gauges,
            clock,
        )
        now = clock.monotonic
        groups: list[Group] = [ScalarGroup(name, monotonic=now) for name in SCALARS]
        groups += [each(monotonic=now) for each in (Processors, LoadAverages, Storage, Sensors, Ethernet, Lldp, Bgp)]
        groups.append(Forwarding(monotonic=now, requests=forwarding_requests, keeps_stations=keeps_stations))
        self._begins_at = clock.monotonic() + first_after
        self._slots = [_Slot(group, self._begins_at) for group in groups]
        self._learner = QuirkLearner()
        self._profile: _Slot | None = None
        self._sys_object_id: bytes | None = None
        self._neighbours: dict[str, frozenset[tuple[str, str]]] | None = None
        self._hinted: frozenset[str] = frozenset()
        self._peers: dict[str, BgpPeer] = {}
        self._lost_peers: frozenset[str] | None = None  # as told; None before anything was

    @property
    def due_at(self) -> float:
        """Monotonic seconds: when there is something to read again."""
        return min(slot.due_at for slot in self._all)

    async def advance(
        self,
        session: SnmpSession,
        reading: DeviceReading,
        *,
        requests: int = REQUESTS_A_CYCLE,
        quirks: Quirks = _NO_QUIRKS,
    ) -> tuple[Fact, ...]:
        """Read what is due, within `requests`; `quirks` are those that its ports showed. Returns what changed since the reading before."""
        self._learner.belongs_to(reading.system.sys_object_id)
        self._learner.need_no_less_care_than(quirks)
        self._choose_profile(reading.system.sys_object_id)
        ports = dict(zip(reading.ports.if_index.tolist(), _port_names(reading), strict=True))
        budget, facts = BudgetedSession(session, requests), list[Fact]()
        careful = CarefulSession(budget, self._learner)
        for slot in sorted(self._all, key=lambda each: each.due_at):
            if slot.due_at > self._clock.monotonic() or not budget.left:
                break
            is_whole = budget.left == requests
            try:
                found = await slot.group.read(careful, ports)
            except RequestsSpent:
                if not is_whole:
                    break  # it begins the next cycle, with all of it
                self._fail(slot, f"needs more than {requests} requests")
            except asyncio.CancelledError:
                self._fail(slot, "did not end in the time left of the interval")
                raise
            except NetmoteError as error:
                self._fail(slot, f"{type(error).__name__}: {error}")
            else:
                facts += self._take(slot, found)
        return tuple(facts)

    def take_gauges(self) -> dict[str, float]:
        """The gauges read since the last call, by name."""
        gauges = {gauge.name: gauge.value for slot in self._all if slot.is_fresh for gauge in slot.admitted}
        for slot in self._all:
            slot.is_fresh = False
        return gauges

    @property
    def details(self) -> Details:
        slots = self._all
        found = [slot.found for slot in slots if slot.found is not None]
        return Details(
            profile="" if self._profile is None else self._profile.group.name.removeprefix("profile "),
            gauges={slot.group.name: slot.admitted for slot in slots if slot.admitted},
            neighbours=next((each.neighbours for each in found if each.neighbours is not None), ()),
            stations=next((each.stations for each in found if each.stations), ()),
            peers=next((each.peers for each in found if each.peers), ()),
            port_hints={port: hint for each in found for port, hint in each.port_hints.items()},
            outcomes=tuple(outcome for each in found for outcome in each.outcomes),
            doubts={slot.group.name: tuple(slot.found.doubts) for slot in slots if slot.found and slot.found.doubts},
            failed={slot.group.name: slot.error for slot in slots if slot.error},
            absent=tuple(slot.group.name for slot in slots if slot.found is not None and slot.found.is_empty),
            excess=tuple(name for slot in slots for name in slot.excess),
        )

    @property
    def _all(self) -> list[_Slot]:
        return self._slots if self._profile is None else [*self._slots, self._profile]

    def _choose_profile(self, sys_object_id: bytes) -> None:
        if sys_object_id == self._sys_object_id:
            return
        self._sys_object_id = sys_object_id
        profile = self._profiles.match(sys_object_id)
        self._profile = (
            None if profile is None else _Slot(ProfileGroup(profile, monotonic=self._clock.monotonic), self._begins_at)
        )

    def _fail(self, slot: _Slot, error: str) -> None:
        slot.failures += 1
        slot.error, slot.found, slot.admitted, slot.excess, slot.is_fresh = error, None, (), (), False
        wait = min(self._interval * 2.0 ** min(slot.failures, 10), max(_LONGEST_SECONDS, self._interval))
        slot.due_at = self._clock.monotonic() + wait

    def _take(self, slot: _Slot, found: Found) -> list[Fact]:
        room = self._max_gauges - sum(len(each.admitted) for each in self._all if each is not slot)
        slot.admitted, slot.excess = tuple(found.gauges[:room]), tuple(gauge.name for gauge in found.gauges[room:])
        slot.found, slot.failures, slot.error, slot.is_fresh = found, 0, "", True
        wait = max(_LONGEST_SECONDS, self._interval) if found.is_empty else self._interval
        if found.next_after is not None:
            wait = max(found.next_after, self._interval) if found.next_after else 0.0
        slot.due_at = self._clock.monotonic() + wait
        facts = []
        if found.neighbours is not None:
            facts += self._neighbour_facts(found.neighbours)
        if found.peers is not None:
            facts += self._peer_facts(found.peers)
        if slot.group.name == Ethernet.name:
            new = [port for port in found.port_hints if port not in self._hinted]
            self._hinted = frozenset(found.port_hints)
            facts += [self._fact(port, "duplex_mismatch_suspected", {"reason": found.port_hints[port]}) for port in sorted(new)]
        return facts

    def _neighbour_facts(self, neighbours: tuple[Neighbour, ...]) -> list[Fact]:
        """A port whose set of neighbours, by chassis and port, is another than at the reading before."""
        now: dict[str, frozenset[tuple[str, str]]] = {}
        for each in neighbours:
            now[each.local_port] = now.get(each.local_port, frozenset()) | {(each.chassis_id, each.port_id)}
        before, self._neighbours = self._neighbours, now
        if before is None:
            return []
        names = {(each.chassis_id, each.port_id): each.sys_name for each in neighbours}
        facts = []
        for port in sorted(before.keys() | now.keys()):
            earlier, later = before.get(port, frozenset()), now.get(port, frozenset())
            if earlier != later:
                annotations = {"earlier": _shown(earlier), "now": _shown(later)}
                sys_name = ", ".join(sorted({names[each] for each in later if names.get(each)}))
                facts.append(
                    self._fact(port, "lldp_neighbour_changed", annotations | ({"sys_name": sys_name} if sys_name else {}))
                )
        return facts

    def _peer_facts(self, peers: tuple[BgpPeer, ...]) -> list[Fact]:
        """Peers that are lost, as a condition of the device, told anew when they are others; sessions that were lost and came back between
        two readings.
        """
        before, self._peers = self._peers, {peer.address: peer for peer in peers}
        device, now_ns = Entity(EntityKind.DEVICE, self._device), self._clock.now_ns()
        facts = []
        lost = {peer.address: peer for peer in peers if peer.is_lost}
        if lost.keys() != self._lost_peers and (lost or peers or self._lost_peers):
            annotations = {"peers": _peers_shown(list(lost.values()))} if lost else {}
            facts.append(Fact(device, "bgp_peer_down", now_ns, float(bool(lost)), annotations))
            self._lost_peers = frozenset(lost)
        reset = [peer for peer in peers if peer.address in before and _was_reset(before[peer.address], peer)]
        if reset:
            annotations = {"peers": _peers_shown(reset)}
            facts.append(Fact(device, "bgp_session_reset", now_ns, float(len(reset)), annotations))
        return facts

    def _fact(self, port: str, name: str, annotations: dict[str, str]) -> Fact:
        entity = Entity(EntityKind.INTERFACE, f"{self._device}/{port}")
        return Fact(entity, name, self._clock.now_ns(), 1.0, annotations)


_PEERS_SHOWN = 8


def _was_reset(before: BgpPeer, now: BgpPeer) -> bool:
    """Established at both readings, and once more in between."""
    if not (before.is_established and now.is_established) or before.transitions is None or now.transitions is None:
        return False
    return now.transitions > before.transitions  # a router that restarted counts from the beginning, and says so otherwise


def _peer_shown(peer: BgpPeer) -> str:
    since = "" if peer.seconds is None else f" for {peer.seconds} s"
    error = f", last error {peer.last_error}" if peer.last_error else ""
    return f"{peer.address} (AS {peer.remote_as}) {peer.state}{since}{error}"


def _peers_shown(peers: Sequence[BgpPeer]) -> str:
    more = f"; and {len(peers) - _PEERS_SHOWN} more" if len(peers) > _PEERS_SHOWN else ""
    return "; ".join(map(_peer_shown, peers[:_PEERS_SHOWN])) + more


def _shown(neighbours: frozenset[tuple[str, str]]) -> str:
    return ", ".join(f"{chassis} {port}" for chassis, port in sorted(neighbours)) or "none"


def _port_names(reading: DeviceReading) -> list[str]:
    """Names of ports as their identity has them: ifName, else ifDescr."""
    ports = reading.ports
    return [
        name or descr or str(index)
        for name, descr, index in zip(ports.if_name, ports.if_descr, ports.if_index.tolist(), strict=True)
    ]
