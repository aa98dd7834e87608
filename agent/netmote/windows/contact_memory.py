"""How regularly an entity contacts a (responder address, port), beyond the window: the beacon score.

A contact is a slice that begins after more than 1 s of quiet, so that a long transfer cut into panes is one contact. Every key
costs a light entry; from its second contact on also a ring with the gaps between its last 64 contacts, in milliseconds. Both are
bounded. Full, keys that are not regular (one contact, or long overdue) go before those that are, then those quiet longest; an
eighth at a time, counted.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netmote.windows.addresses import ID_BITS, RESERVED, AddressTable
from netmote.windows.eviction import least

CONTACTS = 64
GAPS = CONTACTS - 1
EXEMPT_PORTS = (53, 67, 123, 5353)  # DNS, DHCP, NTP, mDNS are regular by design
QUIET_NS = 1_000_000_000
LEAST_GAPS = 5  # six contacts
LEAST_MEDIAN_MS = 2_000
ALIVE_MEDIANS = 3  # a beacon that missed this many turns has ended
OVERDUE_GAPS = 8  # a key quiet for this many of its last gaps is no longer regular

_RESPONDER = np.uint64(16)
_ENTITY = np.uint64(16 + ID_BITS)
_PORT_MASK = np.uint64(0xFFFF)
_ID_MASK = np.uint64((1 << ID_BITS) - 1)
_NO_GAP = np.int32(2**31 - 1)
_LONGEST_GAP_MS = 2**30 - 1  # 12 days; twice this fits 32 bits
_PLACE_BITS, _SINCE_BITS = 24, 40  # 2**40 ns are 18 minutes, a pane takes seconds
_REGULAR_WORTH = np.int64(1) << 62
_NEVER = np.iinfo(np.int64).min

# What is known of a key, each column an array of its own: a look at one of them touches no other.
_COLUMNS: dict[str, np.dtype[Any]] = {
    "contacts": np.dtype("<i8"),  # ever
    "contact_ns": np.dtype("<i8"),  # last contact
    "active_ns": np.dtype("<i8"),  # last packet
    "last_gap_ms": np.dtype("<i8"),
    "ring": np.dtype("<i4"),  # row of the gaps, -1 without
    "score": np.dtype("<f8"),
    "alive_until_ns": np.dtype("<i8"),
}
_FRESH = {"active_ns": _NEVER, "ring": -1}  # of a new key; everything else 0

Entries: TypeAlias = dict[str, NDArray[Any]]


class ContactMemory:
    """The contacts of every (entity, responder, port) remembered. Port 0 stands for protocols without ports."""

    def __init__(self, addresses: AddressTable, *, limit: int, rings: int) -> None:
        self._addresses = addresses
        self._limit = limit
        self._rings = rings
        self.keys = np.zeros(0, np.uint64)  # entity id, responder id, port; ascending
        self._slot = np.zeros(0, np.int64)  # of each key: its row of the entries
        self._entries: Entries = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()}
        self._free_slots = np.zeros(0, np.int64)
        self._gaps = np.zeros((0, GAPS), np.int32)  # by ring; _NO_GAP where not filled
        self._free_rings = np.zeros(0, np.int64)
        self._stale: list[NDArray[np.int64]] = []  # slots with contacts since the last scores, a few panes' worth
        self.forgotten = 0  # keys that had to go
        self.refused = 0  # keys that found no room

    def __len__(self) -> int:
        return int(self.keys.size)

    def update(
        self,
        entity: NDArray[np.int64],
        responder: NDArray[np.uint64],
        port: NDArray[np.uint64],
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
    ) -> None:
        """Note the initiated slices of one pane, any order; all arrays (slices,)."""
        wanted = ~np.isin(port, EXEMPT_PORTS)
        if not wanted.any():
            return
        key = ((entity.astype(np.uint64) << _ENTITY) | (responder << _RESPONDER) | port)[wanted]
        start_ns, end_ns = start_ns[wanted], end_ns[wanted]
        order = _by_key_and_start(key, start_ns)
        key, start_ns, end_ns = key[order], start_ns[order], end_ns[order]
        first = _starts(key)
        slots = self._slots_of(key[first], np.maximum.reduceat(end_ns, first))
        size = np.diff(first, append=key.size)
        if (slots < 0).any():
            inside = np.repeat(slots >= 0, size)
            start_ns, end_ns = start_ns[inside], end_ns[inside]
            size, slots = size[slots >= 0], slots[slots >= 0]
        if slots.size:
            self._note(slots, size, start_ns, end_ns)

    def scores(self, end_ns: int, ids: int) -> NDArray[np.float64]:
        """By entity id below `ids`: the greatest score of the beacons still alive at `end_ns`."""
        self._rescore()
        greatest = np.zeros(ids)
        score = self._entries["score"][self._slot]
        alive = np.flatnonzero(score > 0)
        alive = alive[self._entries["alive_until_ns"][self._slot[alive]] >= end_ns]
        np.maximum.at(greatest, (self.keys[alive] >> _ENTITY).astype(np.intp), score[alive])
        return greatest

    def forget(self, entities: NDArray[np.int64]) -> None:
        """Drop everything about these entities."""
        if entities.size:
            self._keep(~np.isin((self.keys >> _ENTITY).astype(np.int64), entities))

    def live_ids(self) -> NDArray[np.int64]:
        return np.concatenate([self.keys >> _ENTITY, (self.keys >> _RESPONDER) & _ID_MASK]).astype(np.int64)

    def renumber(self, remap: NDArray[np.uint32]) -> None:
        entity = remap[(self.keys >> _ENTITY).astype(np.intp)].astype(np.uint64)
        responder = remap[((self.keys >> _RESPONDER) & _ID_MASK).astype(np.intp)].astype(np.uint64)
        self.keys = (entity << _ENTITY) | (responder << _RESPONDER) | (self.keys & _PORT_MASK)

    def rebase(self) -> None:
        """Time begins anew: gaps across the step mean nothing."""
        self._keep(np.zeros(self.keys.size, np.bool_))

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self._slot.nbytes + sum(column.nbytes for column in self._entries.values()) + self._gaps.nbytes

    def _note(
        self, slots: NDArray[np.int64], size: NDArray[np.int64], start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]
    ) -> None:
        """Slices ordered by key and start, `size` of them for each of `slots`: append the gaps of the contacts among them."""
        first = np.cumsum(size) - size
        entries = {name: column[slots] for name, column in self._entries.items()}
        # The running latest packet of each key: an accumulated maximum that an offset keeps from crossing into the next key.
        origin = int(start_ns.min()) - QUIET_NS - 1  # quiet longer ago than this is all the same
        active_ns = np.maximum(entries["active_ns"], origin)
        span = int(max(end_ns.max(), active_ns.max())) - origin + 1
        group = np.repeat(np.arange(first.size), size)
        ends = end_ns.copy()
        ends[first] = np.maximum(ends[first], active_ns)
        ends += group * span - origin
        running = np.maximum.accumulate(ends) - group * span + origin
        before = np.empty_like(running)
        before[1:] = running[:-1]
        before[first] = active_ns
        entries["active_ns"] = running[first + size - 1]

        is_contact = start_ns - before > QUIET_NS
        group, contact_ns = group[is_contact], start_ns[is_contact]
        if group.size:
            self._append(slots, entries, group, contact_ns)
        for name, column in self._entries.items():
            column[slots] = entries[name]

    def _append(
        self, slots: NDArray[np.int64], entries: Entries, group: NDArray[np.int64], contact_ns: NDArray[np.int64]
    ) -> None:
        """Contacts ordered by `group` (position in `entries`) and time: write their gaps into rings and rescore."""
        first = _starts(group)
        size = np.diff(first, append=group.size)
        touched = group[first]
        previous = np.empty_like(contact_ns)
        previous[1:] = contact_ns[:-1]
        previous[first] = entries["contact_ns"][touched]
        nth = entries["contacts"][group] + np.arange(group.size) - np.repeat(first, size)
        gap_ms = np.clip((contact_ns - previous) // 1_000_000, 0, _LONGEST_GAP_MS)
        last = first + size - 1
        entries["contacts"][touched] = nth[last] + 1
        entries["contact_ns"][touched] = contact_ns[last]
        has_gap = nth > 0
        entries["last_gap_ms"][touched] = np.where(has_gap[last], gap_ms[last], entries["last_gap_ms"][touched])

        ringless = touched[(entries["contacts"][touched] > 1) & (entries["ring"][touched] < 0)]
        if ringless.size:
            entries["ring"][ringless] = self._take_rings(slots, ringless.size)
            # Without a ring there is no memory of gaps: the last contact is the first.
            entries["contacts"][ringless[entries["ring"][ringless] < 0]] = 1
        rings = entries["ring"][group]
        written = has_gap & (rings >= 0)
        # A pane of 5 s holds at most five contacts of a key, so a ring never turns within one call.
        self._gaps[rings[written], (nth[written] - 1) % GAPS] = gap_ms[written]
        self._stale.append(slots[touched[entries["contacts"][touched] > LEAST_GAPS]])

    def _rescore(self) -> None:
        """Score what has had contacts since the last time. A slot given to another key meanwhile only repeats that one's score."""
        slots = np.unique(np.concatenate(self._stale)) if self._stale else np.zeros(0, np.int64)
        self._stale.clear()
        contacts = self._entries["contacts"][slots]
        slots, contacts = slots[contacts > LEAST_GAPS], contacts[contacts > LEAST_GAPS]
        if not slots.size:
            return
        gaps = np.minimum(contacts - 1, GAPS)
        filled = self._gaps[self._entries["ring"][slots], : int(gaps.max())]
        doubled_median = _doubled_medians(filled, gaps)
        distance = np.abs(2 * np.minimum(filled, _LONGEST_GAP_MS) - doubled_median.astype(np.int32)[:, None])
        distance[filled == _NO_GAP] = _NO_GAP
        regularity = 1.0 - _doubled_medians(distance, gaps) / 2.0 / np.maximum(doubled_median, 1)
        score = np.maximum(regularity, 0.0) * np.minimum(1.0, gaps / 10.0)
        self._entries["score"][slots] = np.where(doubled_median >= 2 * LEAST_MEDIAN_MS, score, 0.0)
        self._entries["alive_until_ns"][slots] = self._entries["contact_ns"][slots] + ALIVE_MEDIANS * doubled_median * 500_000

    def _slots_of(self, keys: NDArray[np.uint64], active_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of ascending distinct `keys`, new ones made; -1 where there was no room. `active_ns`: their last packet."""
        at, is_known = self._find(keys)
        fresh = keys[~is_known]
        excess = self.keys.size + fresh.size - self._limit
        if excess > 0:
            fresh = self._make_room(fresh, active_ns[~is_known], excess)
            self._admit(fresh, self._find(fresh)[0])
            at, is_known = self._find(keys)  # some of these may have had to go as well
            slots = np.full(keys.size, -1, np.int64)
            slots[is_known] = self._slot[at[is_known]]
            return slots
        slots = np.empty(keys.size, np.int64)
        slots[is_known] = self._slot[at[is_known]]
        slots[~is_known] = self._admit(fresh, at[~is_known])
        return slots

    def _admit(self, fresh: NDArray[np.uint64], at: NDArray[np.intp]) -> NDArray[np.int64]:
        """Take in ascending new keys that belong `at` these places; returns their rows."""
        taken = self._take_slots(fresh.size)
        if fresh.size:
            self.keys, self._slot = np.insert(self.keys, at, fresh), np.insert(self._slot, at, taken)
        return taken

    def _find(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where `keys` are or belong among the sorted ones, and which are there."""
        at = np.searchsorted(self.keys, keys)
        is_known = np.zeros(keys.size, np.bool_)
        inside = at < self.keys.size
        is_known[inside] = self.keys[at[inside]] == keys[inside]
        return at, is_known

    def _make_room(self, fresh: NDArray[np.uint64], fresh_active_ns: NDArray[np.int64], excess: int) -> NDArray[np.uint64]:
        """Let the keys of least worth go, an eighth of the table beyond the excess; returns the new keys that may stay."""
        keys = np.concatenate([self.keys, fresh])
        worth = np.concatenate([self._worth(self._slot, int(fresh_active_ns.max())), fresh_active_ns])
        go = least(worth, excess + self._limit // 8, lambda at: self._ties(keys[at]))
        keep = np.ones(keys.size, np.bool_)
        keep[go] = False
        old = self.keys.size
        self.refused += int(np.count_nonzero(~keep[old:]))
        self.forgotten += int(np.count_nonzero(~keep[:old]))
        self._keep(keep[:old])
        return fresh[keep[old:]]

    def _take_slots(self, count: int) -> NDArray[np.int64]:
        old = self._entries["active_ns"].size
        if self._free_slots.size < count:
            size = min(self._limit, max(old + count, 2 * old, 64))
            for name, column in self._entries.items():
                self._entries[name] = np.concatenate([column, np.zeros(size - old, column.dtype)])
            self._free_slots = np.concatenate([self._free_slots, np.arange(old, size)])
        taken, self._free_slots = self._free_slots[:count], self._free_slots[count:]
        for name, column in self._entries.items():
            column[taken] = _FRESH.get(name, 0)
        return taken

    def _take_rings(self, slots: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """`count` empty rings, -1 where none is to be had. Keys other than those in `slots` may lose theirs."""
        old = len(self._gaps)
        if self._free_rings.size < count and old < self._rings:
            size = min(self._rings, max(old + count, 2 * old, 64))
            self._gaps = np.concatenate([self._gaps, np.full((size - old, GAPS), _NO_GAP)])
            self._free_rings = np.concatenate([self._free_rings, np.arange(old, size)])
        if self._free_rings.size < count:
            has_ring = self._entries["ring"][self._slot] >= 0
            has_ring[np.isin(self._slot, slots)] = False
            others = np.flatnonzero(has_ring)
            worth = self._worth(self._slot[others], int(self._entries["active_ns"][slots].max()))
            missing = count - self._free_rings.size + self._rings // 8
            go = self._slot[others[least(worth, missing, lambda position: self._ties(self.keys[others[position]]))]]
            self._free_rings = np.concatenate([self._free_rings, self._entries["ring"][go]])
            # The key stays as one that was contacted once.
            for column, value in (("ring", -1), ("contacts", 1), ("score", 0.0)):
                self._entries[column][go] = value
            self.forgotten += go.size
        taken, self._free_rings = self._free_rings[:count], self._free_rings[count:]
        self.refused += count - taken.size
        self._gaps[taken] = _NO_GAP
        return np.concatenate([taken, np.full(count - taken.size, -1)])

    def _worth(self, slots: NDArray[np.int64], now_ns: int) -> NDArray[np.int64]:
        """Of each of `slots`: its last packet, regular ones above all others."""
        active_ns: NDArray[np.int64] = np.maximum(self._entries["active_ns"][slots], 0)
        again = np.flatnonzero(self._entries["contacts"][slots] > 1)
        patience_ns = OVERDUE_GAPS * self._entries["last_gap_ms"][slots[again]] * 1_000_000
        active_ns[again[now_ns - active_ns[again] <= patience_ns]] += _REGULAR_WORTH
        return active_ns

    def _ties(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], ...]:
        entity, responder = (keys >> _ENTITY).astype(np.intp), ((keys >> _RESPONDER) & _ID_MASK).astype(np.intp)
        high, low = self._addresses.high, self._addresses.low
        is_interface = (entity < RESERVED).astype(np.uint64)
        return (is_interface, low[entity], high[entity], keys & _PORT_MASK, low[responder], high[responder])

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        gone = self._slot[~keep]
        rings = self._entries["ring"][gone]
        self._free_rings = np.concatenate([self._free_rings, rings[rings >= 0]])
        self._free_slots = np.concatenate([self._free_slots, gone])
        self.keys, self._slot = self.keys[keep], self._slot[keep]


def _starts(ordered: NDArray[np.uint64] | NDArray[np.int64]) -> NDArray[np.intp]:
    """Where each run of equal values begins."""
    is_first = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def _by_key_and_start(key: NDArray[np.uint64], start_ns: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of slices by key and start; which of equals comes first says nothing. Two sorts of plain numbers, as long as
    the place of a key and the time since the first start fit one.
    """
    origin = start_ns.min()
    if key.size >= 1 << _PLACE_BITS or int(start_ns.max() - origin) >> _SINCE_BITS:
        return np.lexsort((start_ns, key))
    order = np.argsort(key)
    ordered = key[order]
    place = np.zeros(key.size, np.uint64)
    np.cumsum(ordered[1:] != ordered[:-1], out=place[1:])
    return order[np.argsort((place << np.uint64(_SINCE_BITS)) | (start_ns[order] - origin).astype(np.uint64))]


def _doubled_medians(values: NDArray[np.int32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice the median of the `counts` smallest values of each row: whole numbers stay whole."""
    ordered = np.sort(values, axis=1)
    row = np.arange(len(values))
    doubled: NDArray[np.int64] = ordered[row, (counts - 1) // 2].astype(np.int64) + ordered[row, counts // 2]
    return doubled
