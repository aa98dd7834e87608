"""How regularly an entity contacts a (responder address, port), beyond the window: the beacon score.

Keeps the gaps between the last 64 contacts of each key, in milliseconds. A contact is a slice that begins after more than 1 s
of quiet, so that a long transfer cut into panes is one contact. Bounded: full, keys contacted only once and keys long overdue
go first, then those quiet longest (counted).
"""

import numpy as np
from numpy.typing import NDArray

from netmote.windows.addresses import ID_BITS, AddressTable

CONTACTS = 64
GAPS = CONTACTS - 1
EXEMPT_PORTS = (53, 67, 123, 5353)  # DNS, DHCP, NTP, mDNS are regular by design
QUIET_NS = 1_000_000_000
LEAST_GAPS = 5  # six contacts
LEAST_MEDIAN_MS = 2_000
ALIVE_MEDIANS = 3  # a beacon that missed this many turns has ended
OVERDUE_GAPS = 8  # a key quiet for this many of its last gaps is no longer protected

_PORT = np.uint64(16)
_DESTINATION = np.uint64(16 + ID_BITS)
_PORT_MASK = np.uint64(0xFFFF)
_ID_MASK = np.uint64((1 << ID_BITS) - 1)
_NO_GAP = np.uint32(0xFFFF_FFFF)
_LONGEST_GAP_MS = 0xFFFF_FFFE  # 49 days


class ContactMemory:
    """Gaps of every (entity, responder, port) remembered. Port 0 stands for protocols without ports."""

    def __init__(self, addresses: AddressTable, *, limit: int) -> None:
        self._addresses = addresses
        self._limit = limit
        self.keys = np.zeros(0, np.uint64)  # entity id, responder id, port; ascending
        self._row = np.zeros(0, np.int64)  # of each key, in the columns below
        self._free: list[int] = []
        self._gaps = np.zeros((0, GAPS), np.uint32)  # a ring by row; _NO_GAP where not filled
        self._contacts = np.zeros(0, np.int64)  # contacts ever
        self._contact_ns = np.zeros(0, np.int64)  # last contact
        self._active_ns = np.zeros(0, np.int64)  # last packet
        self._score = np.zeros(0)
        self._alive_until_ns = np.zeros(0, np.int64)
        self.forgotten = 0
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
        key = ((entity.astype(np.uint64) << _DESTINATION) | (responder << _PORT) | port)[wanted]
        order = np.lexsort((end_ns[wanted], start_ns[wanted], key))
        key, start_ns, end_ns = key[order], start_ns[wanted][order], end_ns[wanted][order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        rows = self._rows_of(key[first], np.maximum.reduceat(end_ns, first))
        group = np.repeat(np.arange(first.size), np.diff(first, append=key.size))
        if (rows < 0).any():
            kept = rows[group] >= 0
            group, start_ns, end_ns = group[kept], start_ns[kept], end_ns[kept]
        self._note(rows[group], start_ns, end_ns)

    def scores(self, end_ns: int, ids: int) -> NDArray[np.float64]:
        """By entity id below `ids`: the greatest score of the beacons still alive at `end_ns`."""
        greatest = np.zeros(ids)
        alive = (self._score[self._row] > 0) & (self._alive_until_ns[self._row] >= end_ns)
        np.maximum.at(greatest, (self.keys[alive] >> _DESTINATION).astype(np.intp), self._score[self._row[alive]])
        return greatest

    def forget(self, entities: NDArray[np.int64]) -> None:
        """Drop everything about these entities."""
        if entities.size:
            self._keep(~np.isin((self.keys >> _DESTINATION).astype(np.int64), entities))

    def live_ids(self) -> NDArray[np.int64]:
        return np.concatenate([self.keys >> _DESTINATION, (self.keys >> _PORT) & _ID_MASK]).astype(np.int64)

    def renumber(self, remap: NDArray[np.uint32]) -> None:
        entity = remap[(self.keys >> _DESTINATION).astype(np.intp)].astype(np.uint64)
        responder = remap[((self.keys >> _PORT) & _ID_MASK).astype(np.intp)].astype(np.uint64)
        self.keys = (entity << _DESTINATION) | (responder << _PORT) | (self.keys & _PORT_MASK)

    def rebase(self) -> None:
        """Time begins anew: gaps across the step mean nothing."""
        self._keep(np.zeros(self.keys.size, np.bool_))

    @property
    def nbytes(self) -> int:
        columns = (self.keys, self._row, self._gaps, self._contacts, self._contact_ns, self._active_ns, self._score)
        return sum(column.nbytes for column in columns) + self._alive_until_ns.nbytes

    def _note(self, rows: NDArray[np.int64], start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> None:
        """Slices ordered by key and start: find the contacts among them and append their gaps."""
        first = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]) if rows.size else np.zeros(0, np.intp)
        if not first.size:
            return
        size = np.diff(first, append=rows.size)
        # The running latest packet of each key: an accumulated maximum that an offset keeps from crossing into the next key.
        origin = int(start_ns.min()) - QUIET_NS - 1  # quiet longer ago than this is all the same
        active_ns = np.maximum(self._active_ns[rows[first]], origin)
        span = int(max(end_ns.max(), active_ns.max())) - origin + 1
        offset = np.repeat(np.arange(first.size) * span, size)
        ends = end_ns.copy()
        ends[first] = np.maximum(ends[first], active_ns)
        running = np.maximum.accumulate(ends - origin + offset) - offset + origin
        before = np.concatenate([[0], running[:-1]])
        before[first] = active_ns
        self._active_ns[rows[first]] = running[first + size - 1]
        is_contact = start_ns - before > QUIET_NS
        rows, start_ns = rows[is_contact], start_ns[is_contact]
        if not rows.size:
            return
        first = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
        touched = rows[first]
        previous = np.concatenate([[0], start_ns[:-1]])
        previous[first] = self._contact_ns[touched]
        nth = self._contacts[rows] + np.arange(rows.size) - np.repeat(first, np.diff(first, append=rows.size))
        has_gap = nth > 0
        gap = np.clip((start_ns - previous) // 1_000_000, 0, _LONGEST_GAP_MS)
        # A pane of 5 s holds at most five contacts of a key, so the ring never turns within one call.
        self._gaps[rows[has_gap], (nth[has_gap] - 1) % GAPS] = gap[has_gap]
        last = np.append(first[1:], rows.size) - 1
        self._contacts[touched] = nth[last] + 1
        self._contact_ns[touched] = start_ns[last]
        self._rescore(touched)

    def _rescore(self, rows: NDArray[np.int64]) -> None:
        gaps = np.minimum(self._contacts[rows] - 1, GAPS)
        enough = gaps >= LEAST_GAPS
        rows, gaps = rows[enough], gaps[enough]
        if not rows.size:
            return
        width = int(gaps.max())
        filled = self._gaps[rows, :width].astype(np.int64)
        doubled_median = _doubled_medians(filled, gaps)
        distance = np.where(filled == _NO_GAP, np.iinfo(np.int64).max, np.abs(2 * filled - doubled_median[:, None]))
        doubled_deviation = _doubled_medians(distance, gaps) / 2.0
        regularity = 1.0 - doubled_deviation / np.maximum(doubled_median, 1)
        score = np.maximum(regularity, 0.0) * np.minimum(1.0, gaps / 10.0)
        self._score[rows] = np.where(doubled_median >= 2 * LEAST_MEDIAN_MS, score, 0.0)
        self._alive_until_ns[rows] = self._contact_ns[rows] + ALIVE_MEDIANS * doubled_median * 500_000

    def _rows_of(self, keys: NDArray[np.uint64], active_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of ascending distinct `keys`, new ones made; -1 where there was no room. `active_ns`: their last packet."""
        at, is_known = self._find(keys)
        fresh = keys[~is_known]
        excess = self.keys.size + fresh.size - self._limit
        if fresh.size and excess > 0:
            fresh = self._make_room(fresh, active_ns[~is_known], excess)
            at, _ = self._find(fresh)
            self._insert(at, fresh)
            at, is_known = self._find(keys)
        elif fresh.size:
            self._insert(at[~is_known], fresh)
            at, is_known = self._find(keys)
        rows = np.full(keys.size, -1, np.int64)
        rows[is_known] = self._row[at[is_known]]
        return rows

    def _find(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        at = np.searchsorted(self.keys, keys)
        is_known = np.zeros(keys.size, np.bool_)
        inside = at < self.keys.size
        is_known[inside] = self.keys[at[inside]] == keys[inside]
        return at, is_known

    def _insert(self, at: NDArray[np.intp], keys: NDArray[np.uint64]) -> None:
        missing = keys.size - len(self._free)
        if missing > 0:
            self._grow(missing)
        rows = np.array([self._free.pop() for _ in range(keys.size)], np.int64)
        self._gaps[rows] = _NO_GAP
        self._contacts[rows] = 0
        self._contact_ns[rows] = 0
        self._active_ns[rows] = np.iinfo(np.int64).min
        self._score[rows] = 0.0
        self._alive_until_ns[rows] = 0
        self.keys = np.insert(self.keys, at, keys)
        self._row = np.insert(self._row, at, rows)

    def _grow(self, missing: int) -> None:
        old = len(self._contacts)
        size = min(self._limit, max(old + missing, 2 * old, 64))
        self._gaps = np.concatenate([self._gaps, np.full((size - old, GAPS), _NO_GAP)])
        self._contacts, self._contact_ns, self._active_ns, self._alive_until_ns = (
            np.concatenate([column, np.zeros(size - old, np.int64)])
            for column in (self._contacts, self._contact_ns, self._active_ns, self._alive_until_ns)
        )
        self._score = np.concatenate([self._score, np.zeros(size - old)])
        self._free.extend(range(size - 1, old - 1, -1))

    def _make_room(self, fresh: NDArray[np.uint64], fresh_active_ns: NDArray[np.int64], excess: int) -> NDArray[np.uint64]:
        """Forget or refuse `excess` keys, the least worth first; returns the new keys that are to stay."""
        row = self._row
        now = int(fresh_active_ns.max())
        last_gap = self._gaps[row, (self._contacts[row] - 2) % GAPS].astype(np.int64) * 1_000_000
        is_regular = (self._contacts[row] > 1) & (now - self._active_ns[row] <= OVERDUE_GAPS * last_gap)
        is_protected = np.concatenate([is_regular, np.zeros(fresh.size, np.bool_)])
        active = np.concatenate([self._active_ns[row], fresh_active_ns])
        keys = np.concatenate([self.keys, fresh])
        entity, responder = (keys >> _DESTINATION).astype(np.intp), ((keys >> _PORT) & _ID_MASK).astype(np.intp)
        high, low = self._addresses.high, self._addresses.low
        ties = (low[entity], high[entity], keys & _PORT_MASK, low[responder], high[responder])
        worst = np.lexsort((*ties, active, is_protected))[:excess]
        keep = np.ones(keys.size, np.bool_)
        keep[worst] = False
        old = self.keys.size
        self.forgotten += old - int(keep[:old].sum())
        self.refused += fresh.size - int(keep[old:].sum())
        self._keep(keep[:old])
        return fresh[keep[old:]]

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        self._free.extend(self._row[~keep].tolist())
        self._score[self._row[~keep]] = 0.0
        self.keys, self._row = self.keys[keep], self._row[keep]


def _doubled_medians(values: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice the median of the `counts` smallest values of each row: whole numbers stay whole."""
    ordered = np.sort(values, axis=1)
    row = np.arange(len(values))
    return ordered[row, (counts - 1) // 2] + ordered[row, counts // 2]
