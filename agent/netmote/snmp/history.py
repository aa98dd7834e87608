"""What changed at one device from poll to poll: readings to records and facts. Pure.

Owns the poll before, the one that differences are taken to (an earlier one, where the agent refreshes its counters seldom), the identity
of ports and the conditions of ports. Refuses I/O, schedules, reachability.
"""

from collections.abc import Iterator
from dataclasses import replace
from sys import intern
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason, OperStatus, is_link_fault
from netmote.snmp.counters import TICKS_PER_SECOND, Epoch, Instant, classify, differences
from netmote.snmp.device_identity import DeviceIdentity
from netmote.snmp.growth import Growth
from netmote.snmp.identity import PortIdentities, PortMarks, PortNames, PortRow
from netmote.snmp.notifications import LinkNotice, link_state
from netmote.snmp.port_order import PortOrder, has_same_rows, names_again
from netmote.snmp.reading import DeviceReading
from netmote.snmp.refresh import Freshness, Refresh, RefreshPeriod
from netmote.snmp.standstill import Standstill

_PACKETS = [INTERFACE_COUNTERS.index(name) for name in ("if_hc_in_ucast_pkts", "if_hc_out_ucast_pkts")]

# Agents answer polls from a copy of their tables: net-snmp's is up to 3 s old. A notification is not taken back by what is that fresh.
_STALE_NS = 5 * NANOSECONDS_PER_SECOND


class DeviceHistory:
    """The polls of one device. `observe` takes answered ones in order, `lost` stands for one that got no answer."""

    def __init__(
        self,
        device: str,
        *,
        identity: DeviceIdentity | None = None,
        ports: PortIdentities | None = None,
        refresh_period: float | None = None,
    ) -> None:
        """What was known of the device before this history began, as far as anything was."""
        self._device = device
        self.source, self.entity = f"snmp:{device}", Entity(EntityKind.DEVICE, device)
        self.identity, self._identities = identity or DeviceIdentity(), ports or PortIdentities()
        self._before: DeviceReading | None = None
        self._base: DeviceReading | None = None  # the poll that the next differences are taken to
        self._base_names: dict[str, int] = {}
        self._names = PortNames({})  # of the poll before
        self._order: PortOrder | None = None
        self._link_states: tuple[tuple[Entity, ...], bytes, bytes] | None = None  # ports, and their states when last looked at
        self._refresh, self._standstill = RefreshPeriod(refresh_period), Standstill()
        self._counting: frozenset[str] = frozenset()  # ports that counted up to the refresh before
        self._last: _Last | None = None  # batch, whose ports a lost poll repeats
        self._fault: dict[str, bool] = {}  # ports seen up (False) or announced down (True)
        self._told_ns: dict[str, int] = {}  # when a port's state was last told by a notification
        self.stale_rows: tuple[int, ...] = ()

    @property
    def refresh_period(self) -> float | None:
        """How often the agent reads its counters anew, in seconds; None where it does so for every poll, or is not known."""
        return self._refresh.seconds

    @property
    def port_marks(self) -> PortMarks:
        """What of the ports' names their rows do not say."""
        return self._identities.marks

    def port(self, name: str) -> Entity:
        return Entity(EntityKind.INTERFACE, f"{self._device}/{name}")

    def observe(self, now: DeviceReading) -> tuple[InterfaceBatch, tuple[Fact, ...]]:
        """Differences to the poll before (all FIRST at the first one) and what is certain about the device now."""
        replaced = self._replaced(now)
        before, self._before = self._before, now
        epoch, seconds = classify(None if before is None else before.instant, now.instant)
        moved, packets = _moved(before, now)
        again = None
        if before is not None and has_same_rows(before, now):
            again = names_again(self._names, self._identities, len(now.ports.if_index))
        names = self._names = again or self._identities.resolve(_rows(now), moved)
        self.stale_rows = names.stale
        is_comparable = before is not None and epoch in (Epoch.SAME, Epoch.UNTIMED)
        if is_comparable and not (names.renumbered or names.appeared or names.vanished):
            refresh = self._refresh.observe(seconds, has_moved=bool(moved), packets=packets)
        else:
            refresh = self._refresh.interrupted()
        stuck = self._stuck(now, seconds, has_moved=bool(moved), is_comparable=is_comparable)
        batch = self._batch_of(before, now, names, epoch, seconds, refresh, moved)
        facts = (*replaced, *stuck, *self._facts(now, names, epoch, batch))
        self._last = _Last.of(batch)
        return batch, facts

    @property
    def last_reading(self) -> DeviceReading | None:
        """The last answered poll."""
        return self._before

    def seconds_if_plain(self, now: Instant) -> float | None:
        """The seconds from the poll before to one of the same rows, names and states at `now`, if that needs no more than differences;
        None: `observe` decides what it means.
        """
        before, order, states = self._before, self._order, self._link_states
        if before is None or order is None or states is None or states[0] is not order.interfaces or self._told_ns:
            return None
        if self._refresh.seconds is not None or self._standstill.is_stuck or not order.is_of(self._names.index_of, before):
            return None
        if names_again(self._names, self._identities, len(before.ports.if_index)) is None:
            return None
        epoch, seconds = classify(before.instant, now)
        return seconds if epoch is Epoch.SAME and seconds > 0 else None

    def observe_plain(self, now: DeviceReading, seconds: float, growth: Growth) -> tuple[InterfaceBatch, tuple[Fact, ...]]:
        """`observe` of a reading for which `seconds_if_plain` gave these seconds: same rows and states, each difference valid or absent."""
        before, order = self._before, self._order
        assert before is not None
        assert order is not None
        self._before = self._base = now
        if self._names.appeared or self._names.vanished or self._names.renumbered or self._names.ambiguous:
            self._names = PortNames(self._names.index_of)
        self._base_names = self._names.index_of
        self._refresh.observe(seconds, has_moved=growth.has_moved, packets=growth.packets)  # its period is not known: LIVE
        value = self._standstill.observe(seconds, has_moved=growth.has_moved, has_port_up=growth.has_port_up, period=None)
        stuck = () if value is None else (Fact(self.entity, "counters_stuck", now.wall_ns, value),)
        ports = order.ports_of(now)
        batch = InterfaceBatch(
            source=self.source,
            start_ns=_start_ns(before, now),
            end_ns=now.wall_ns,
            device=self.entity,
            interfaces=order.interfaces,
            duration_ns=round(seconds * NANOSECONDS_PER_SECOND),
            deltas=growth.deltas if order.is_as_read else growth.deltas[order.rows],
            invalid=ports.absent,
            if_index=ports.if_index,
            if_type=ports.if_type,
            if_high_speed=ports.if_high_speed,
            if_admin_status=ports.if_admin_status,
            if_oper_status=ports.if_oper_status,
            if_alias=ports.if_alias,
        )
        if self._standstill.is_stuck:
            batch = _without_claim(batch, np.ones(len(batch.interfaces), np.bool_))
        self._last = _Last.of(batch)
        return batch, stuck

    def tell_link(self, notice: LinkNotice, time_ns: int) -> tuple[Fact, ...] | None:
        """What linkUp or linkDown that came at `time_ns` makes certain at once; None when no port has that ifIndex.

        Where it does not say whether the port is shut on purpose, nothing: the next poll does. A poll of the next seconds does not
        contradict it.
        """
        batch = self._last
        rows = [] if batch is None else np.flatnonzero(batch.if_index == notice.if_index).tolist()
        if batch is None or not rows:
            return None
        entity = batch.interfaces[rows[0]]
        name = entity.name.partition("/")[2]
        was, state = self._fault.get(name), link_state(notice)
        is_fault = is_link_fault(notice.admin_status, state)
        if is_fault is None or was is None or is_fault == was:  # as in polls: only a port that was seen up goes down
            return ()
        self._fault[name], self._told_ns[name] = is_fault, time_ns
        annotations = {"oper_status": state.name.lower(), "told_by": "linkDown" if notice.is_down else "linkUp"}
        return (Fact(entity, "interface_down", time_ns, float(is_fault), annotations),)

    def lost(self, now_ns: int) -> InterfaceBatch | None:
        """The ports as last seen, every difference LOST_POLL, for the time since the last batch; None before the first poll.

        The next answered poll still gives the difference over the whole gap.
        """
        last = self._last
        if last is None or now_ns <= last.end_ns:
            return None
        batch = InterfaceBatch(
            source=self.source,
            start_ns=last.end_ns,
            end_ns=now_ns,
            device=self.entity,
            interfaces=last.interfaces,
            duration_ns=now_ns - last.end_ns,
            deltas=np.zeros(last.invalid.shape, np.int64),
            invalid=np.where(last.invalid == InvalidReason.ABSENT, InvalidReason.ABSENT, InvalidReason.LOST_POLL).astype(
                np.uint8
            ),
            if_index=last.if_index,
            if_type=last.if_type,
            if_high_speed=last.if_high_speed,
            if_admin_status=np.zeros(len(last.if_index), np.uint8),  # not known now
            if_oper_status=np.zeros(len(last.if_index), np.uint8),
            if_alias=last.if_alias,
        )
        self._last = _Last.of(batch)
        return batch

    def _replaced(self, now: DeviceReading) -> tuple[Fact, ...]:
        """Another device under the same name: nothing of before can be compared with it. Its ports keep their names, which are places."""
        told = self.identity.observe(now)
        if not told:
            return ()
        self._before, self._identities = None, PortIdentities()
        self._refresh, self._standstill = RefreshPeriod(), Standstill()
        return (Fact(self.entity, "device_replaced", now.wall_ns, 1.0, {**told, "sys_descr": now.system.sys_descr}),)

    def _stuck(self, now: DeviceReading, seconds: float, *, has_moved: bool, is_comparable: bool) -> tuple[Fact, ...]:
        if not is_comparable:
            self._standstill.restarted()
            return ()
        has_port_up = bool((now.ports.if_oper_status == OperStatus.UP).any())
        period = self._refresh.seconds
        value = self._standstill.observe(seconds, has_moved=has_moved, has_port_up=has_port_up, period=period)
        return () if value is None else (Fact(self.entity, "counters_stuck", now.wall_ns, value),)

    def _batch_of(  # noqa: PLR0917 - what one poll is made of
        self,
        before: DeviceReading | None,
        now: DeviceReading,
        names: PortNames,
        epoch: Epoch,
        seconds: float,
        refresh: Refresh,
        moved: set[int],
    ) -> InterfaceBatch:
        """The differences that this poll can tell, after what it says of the agent's refreshes."""
        if refresh.freshness is Freshness.FRESH:
            batch = self._difference(self._base, self._base_names, now, names, Epoch.SAME, refresh.seconds)
            counting = frozenset(name for name, index in names.index_of.items() if index in moved)
            # Read in the middle of a refresh some rows are new and others not yet: no 0 for a port that counted a moment ago.
            behind = self._counting - counting
            self._counting = counting
            is_behind = np.array([port.name.partition("/")[2] in behind for port in batch.interfaces], np.bool_)
            batch = _without_claim(batch, is_behind)
        else:
            batch = self._difference(before, self._base_names, now, names, epoch, seconds)
            if refresh.freshness is Freshness.HELD and (batch.invalid == InvalidReason.DISCONTINUITY).any():
                refresh = self._refresh.interrupted()  # what was counted before it is over
            if refresh.freshness is not Freshness.LIVE:
                batch = _without_claim(batch, np.ones(len(batch.interfaces), np.bool_))
        if self._standstill.is_stuck:
            batch = _without_claim(batch, np.ones(len(batch.interfaces), np.bool_))
        if refresh.freshness is not Freshness.HELD:
            self._base = now
        self._base_names = names.index_of  # rows do not change while a poll is held
        return batch

    def _difference(  # noqa: PLR0917 - two polls, and how they stand to each other
        self,
        before: DeviceReading | None,
        names_before: dict[str, int],
        now: DeviceReading,
        names: PortNames,
        epoch: Epoch,
        seconds: float,
    ) -> InterfaceBatch:
        order = self._order
        if order is None or not order.is_of(names.index_of, now):
            order = self._order = PortOrder.of(names.index_of, now, self.port)
        rows = order.rows
        later = now.counters.aligned(rows)
        earlier = later if before is None else before.counters.aligned(order.rows_in(before, names_before))
        deltas, invalid = differences(earlier, later, epoch, seconds)
        moved = {renumbering.name for renumbering in names.renumbered}
        if epoch in (Epoch.SAME, Epoch.UNTIMED, Epoch.AGENT_RESTART) and moved:
            # Within one life of the counters another row means another set of counters under the same name.
            is_moved = np.array([name in moved for name in order.names])
            missing = np.isin(invalid, (InvalidReason.ABSENT, InvalidReason.MALFORMED))
            invalid[is_moved[:, None] & ~missing] = InvalidReason.DISCONTINUITY
            deltas[is_moved] = 0
        duration_ns = round(seconds * NANOSECONDS_PER_SECOND)
        end_ns = now.wall_ns
        return InterfaceBatch(
            source=self.source,
            start_ns=end_ns if before is None else _start_ns(before, now),
            end_ns=end_ns,
            device=self.entity,
            interfaces=order.interfaces,
            duration_ns=duration_ns,
            deltas=deltas,
            invalid=invalid,
            if_index=now.ports.if_index[rows],
            if_type=later.if_type,
            if_high_speed=later.if_high_speed,
            if_admin_status=now.ports.if_admin_status[rows],
            if_oper_status=now.ports.if_oper_status[rows],
            if_alias=tuple(map(now.ports.if_alias.__getitem__, rows.tolist())),
        )

    def _facts(self, now: DeviceReading, names: PortNames, epoch: Epoch, batch: InterfaceBatch) -> Iterator[Fact]:
        time_ns = now.wall_ns
        if epoch is Epoch.REBOOT:
            up_seconds = (now.instant.sys_up_time or 0) / TICKS_PER_SECOND
            yield Fact(self.entity, "device_restarted", time_ns, up_seconds, {"sys_descr": now.system.sys_descr})
        elif epoch is Epoch.AGENT_RESTART:
            yield Fact(self.entity, "agent_restarted", time_ns, (now.instant.sys_up_time or 0) / TICKS_PER_SECOND)
        for moved in names.renumbered:
            annotations = {"earlier_if_index": str(moved.earlier), "if_index": str(moved.later)}
            yield Fact(self.port(moved.name), "interface_renumbered", time_ns, float(moved.later), annotations)
        for doubt in names.ambiguous:
            annotations = {"earlier": doubt.earlier, "if_index": str(names.index_of[doubt.name])}
            yield Fact(self.port(doubt.name), "interface_ambiguous", time_ns, 1.0, annotations)
        replaced = {doubt.earlier for doubt in names.ambiguous}
        for name in names.appeared:
            yield Fact(self.port(name), "interface_appeared", time_ns, float(names.index_of[name]))
        for name in names.vanished:
            if self._fault.pop(name, False):
                yield Fact(self.port(name), "interface_down", time_ns, 0.0, {"oper_status": "gone"})
            self._told_ns.pop(name, None)
            if name not in replaced:
                yield Fact(self.port(name), "interface_vanished", time_ns)
        is_broken = (batch.invalid == InvalidReason.DISCONTINUITY) | (batch.invalid == InvalidReason.DECREASED)
        for row in np.flatnonzero(is_broken.any(axis=1)).tolist():
            counters = [counter for counter, is_one in zip(INTERFACE_COUNTERS, is_broken[row], strict=True) if is_one]
            reason = InvalidReason(batch.invalid[row][is_broken[row]].min())
            annotations = {"reason": reason.name.lower(), "counters": " ".join(counters)}
            yield Fact(batch.interfaces[row], "counter_discontinuity", time_ns, 1.0, annotations)
        # The same states once more say nothing new, unless a notification came between.
        states = batch.interfaces, batch.if_admin_status.tobytes(), batch.if_oper_status.tobytes()
        if self._told_ns or self._link_states is None or states[0] is not self._link_states[0] or states != self._link_states:
            self._link_states = None if self._told_ns else states
            for row, entity in enumerate(batch.interfaces):
                yield from self._link_facts(entity, batch, row, time_ns)

    def _link_facts(self, entity: Entity, batch: InterfaceBatch, row: int, time_ns: int) -> Iterator[Fact]:
        """`interface_down` begins only for a port that was seen up; it ends when the port is up or switched off.

        A port up at its first poll ends it too: it may have begun before this process did.
        """
        name = intern(entity.name.partition("/")[2])  # of ports that thousands of devices may have
        was = self._fault.get(name)
        oper_status = OperStatus(batch.if_oper_status[row])
        is_fault = is_link_fault(int(batch.if_admin_status[row]), oper_status)
        told_ns = self._told_ns.get(name)
        if told_ns is not None:
            if time_ns < told_ns + _STALE_NS and is_fault != was:
                return  # the device itself said otherwise, and this may be a copy from before
            del self._told_ns[name]
        annotations = {"oper_status": oper_status.name.lower(), "if_alias": batch.if_alias[row]}
        if is_fault and was is False:
            self._fault[name] = True
            yield Fact(entity, "interface_down", time_ns, 1.0, annotations)
        elif is_fault is False and was is not False and (was or oper_status is OperStatus.UP):
            self._fault[name] = False
            yield Fact(entity, "interface_down", time_ns, 0.0, annotations)


class _Last(NamedTuple):
    """What of the last batch is needed again: not its differences, which are most of its weight."""

    end_ns: int
    interfaces: tuple[Entity, ...]
    invalid: NDArray[np.uint8]
    if_index: NDArray[np.int64]
    if_type: NDArray[np.int64]
    if_high_speed: NDArray[np.int64]
    if_alias: tuple[str, ...]

    @classmethod
    def of(cls, batch: InterfaceBatch) -> "_Last":
        return cls(
            batch.end_ns, batch.interfaces, batch.invalid, batch.if_index, batch.if_type, batch.if_high_speed, batch.if_alias
        )


def _start_ns(before: DeviceReading, now: DeviceReading) -> int:
    """The earlier poll by our clock; when the wall clock was stepped between, as long ago as the monotonic one says."""
    elapsed_ns = round((now.instant.monotonic - before.instant.monotonic) * NANOSECONDS_PER_SECOND)
    is_stepped = abs(now.wall_ns - before.wall_ns - elapsed_ns) > NANOSECONDS_PER_SECOND
    return now.wall_ns - elapsed_ns if is_stepped else before.wall_ns


def _rows(reading: DeviceReading) -> list[PortRow]:
    ports = reading.ports
    return [
        PortRow(
            if_index=int(ports.if_index[row]),
            if_name=ports.if_name[row],
            if_descr=ports.if_descr[row],
            last_change=ports.if_last_change[row],
            is_up=bool(ports.if_oper_status[row] == OperStatus.UP),
            if_alias=ports.if_alias[row],
            phys_address=ports.if_phys_address[row],
            if_type=int(reading.counters.if_type[row]),
        )
        for row in range(len(ports.if_index))
    ]


def _without_claim(batch: InterfaceBatch, rows: NDArray[np.bool_]) -> InterfaceBatch:
    """The batch without the differences of these rows: the agent has nothing new to say of them."""
    is_withheld = rows[:, None] & (batch.invalid == InvalidReason.VALID)
    if not is_withheld.any():
        return batch
    return replace(
        batch,
        deltas=np.where(is_withheld, 0, batch.deltas),
        invalid=np.where(is_withheld, InvalidReason.NOT_REFRESHED, batch.invalid).astype(np.uint8),
    )


def _moved(before: DeviceReading | None, now: DeviceReading) -> tuple[set[int], int]:
    """The ifIndex of rows with a counter that is not what it was, and the most packets that one of them counted."""
    if before is None or not len(before.ports.if_index):
        return set(), 0
    if has_same_rows(before, now):
        rows, values = np.arange(len(before.ports.if_index)), before.counters.values
    else:
        row_of = {int(index): row for row, index in enumerate(before.ports.if_index)}
        rows = np.array([row_of.get(int(index), -1) for index in now.ports.if_index], np.intp)
        values = before.counters.aligned(rows).values
    is_changed = (values != now.counters.values).any(axis=1) & (rows >= 0)
    grown = (now.counters.values[:, _PACKETS] - values[:, _PACKETS]).view(np.int64)  # of what went back: negative
    return set(now.ports.if_index[is_changed].tolist()), int(grown[is_changed].max(initial=0))
