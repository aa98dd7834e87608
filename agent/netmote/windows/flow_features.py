"""The traffic features of all entities of one window at once, from the parts of its panes.

Integers until the last step: sums, counts of sorted keys, fixed-point terms of entropies. So the order in which slices came
cannot change a bit. No loop runs over entities.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netmote.windows.flow_pane import KEY_BITS, OUT_MASK, PEER_SHIFT, PORT_ABOVE_PEER, PORT_MASK, PORT_SHIFT, FlowPart, Sum

_FIXED_POINT = float(1 << 20)  # entropy terms are rounded to 2**-20 bit, so that their sum is exact in any order
_ONE, _ALL_BITS = np.uint64(1), np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_VALUE_MASK = np.uint64((1 << 42) - 1)

Prefix: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.bool_] | None]


class Scratch:
    """Two arrays that are used again for every key of every window: fresh ones of this size would fault in page by page."""

    def __init__(self) -> None:
        self._arrays = [np.empty(0, np.uint64), np.empty(0, np.uint64)]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays)

    def take(self, which: int, size: int) -> NDArray[np.uint64]:
        """`size` numbers, not initialised; what was taken before under the same number is overwritten."""
        held = self._arrays[which]
        if not size <= held.size <= 4 * size + 4_096:  # too small, or left over from a flood
            held = self._arrays[which] = np.empty(size + size // 4, np.uint64)
        return held[:size]


def traffic_features(
    parts: Sequence[FlowPart], index: NDArray[np.int64], count: int, start_ns: int, window_ns: int, *, scratch: Scratch
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """The features that need only the window, by name, each (count,), and the number of peers (count,).

    `index` gives the position of an entity by address id, -1 for one that is not asked for; `count` is the number of positions.
    `scratch` is the caller's to keep. `new_peer_ratio` and `beacon_score` need memory beyond the window and are left to the lane.
    """
    seconds = window_ns / 1e9
    prefixes = [_prefix(part.entity, index) for part in parts]
    out_prefixes = [_prefix(part.out_entity, index) for part in parts]
    # A pane lies within the window, so its offset only has to be added.
    since = [part.out_start + np.uint64(part.start_ns - start_ns) for part in parts]
    total = np.zeros((count, len(Sum)), np.int64)
    for part in parts:
        position = index[part.present]
        wanted = position >= 0
        total[position[wanted]] += part.sums[wanted]
    features = _from_sums(total, seconds)
    from_peers, peers = _from_peers(_sorted_keys(prefixes, [part.key for part in parts], scratch), count, scratch)
    slices = total[:, Sum.FLOWS_OUT] + total[:, Sum.FLOWS_IN]
    features.update(from_peers)
    features["peers_per_flow"] = peers / np.maximum(slices, 1)
    features.update(_from_ports(_sorted_keys(out_prefixes, [part.out_port for part in parts], scratch), count, scratch))
    features.update(_from_starts(_sorted_keys(out_prefixes, since, scratch), count, seconds, scratch))
    durations = _sorted_keys(out_prefixes, [part.out_duration for part in parts], scratch)
    features["flow_dur_med"] = _medians(durations, count, scratch) / 1e9
    return features, peers


def _from_sums(total: NDArray[np.int64], seconds: float) -> dict[str, NDArray[np.float64]]:
    column = {member: total[:, member] for member in Sum}
    at_least_one = {member: np.maximum(values, 1) for member, values in column.items()}
    octets = column[Sum.OUT_OCTETS] + column[Sum.IN_OCTETS]
    all_packets = column[Sum.OUT_PACKETS] + column[Sum.IN_PACKETS]
    packets = np.maximum(all_packets, 1)
    slices = np.maximum(column[Sum.FLOWS_OUT] + column[Sum.FLOWS_IN], 1)
    known = column[Sum.TCP_PACKETS] + column[Sum.UDP_PACKETS] + column[Sum.ICMP_PACKETS]
    return {
        "out_bytes_ps": column[Sum.OUT_OCTETS] / seconds,
        "in_bytes_ps": column[Sum.IN_OCTETS] / seconds,
        "out_pkts_ps": column[Sum.OUT_PACKETS] / seconds,
        "in_pkts_ps": column[Sum.IN_PACKETS] / seconds,
        "out_byte_share": column[Sum.OUT_OCTETS] / np.maximum(octets, 1),
        "out_pkt_size": column[Sum.OUT_OCTETS] / at_least_one[Sum.OUT_PACKETS],
        "in_pkt_size": column[Sum.IN_OCTETS] / at_least_one[Sum.IN_PACKETS],
        "flows_out_ps": column[Sum.FLOWS_OUT] / seconds,
        "flows_in_ps": column[Sum.FLOWS_IN] / seconds,
        "syn_ps": column[Sum.SYN] / seconds,
        "noanswer_ratio": column[Sum.NO_ANSWER] / slices,
        "reset_ratio": column[Sum.RESET] / slices,
        "established_ratio": column[Sum.ESTABLISHED] / slices,
        "fin_ps": column[Sum.FIN] / seconds,
        "unreach_ps": column[Sum.UNREACHABLE] / seconds,
        "tcp_share": column[Sum.TCP_PACKETS] / packets,
        "udp_share": column[Sum.UDP_PACKETS] / packets,
        "icmp_share": column[Sum.ICMP_PACKETS] / packets,
        "other_share": (all_packets - known) / packets,
        "lowport_share": column[Sum.LOW_PORT] / at_least_one[Sum.FLOWS_OUT],
        "dns_qps": column[Sum.DNS_QUERIES] / seconds,
        "dns_fail_ratio": column[Sum.DNS_FAILURES] / at_least_one[Sum.DNS_RESPONSES],
        "dns_qname_len": column[Sum.DNS_QUESTION_OCTETS] / at_least_one[Sum.DNS_QUERIES],
        "dns_qname_entropy": column[Sum.DNS_QUESTION_MILLIBITS] / at_least_one[Sum.DNS_QUERIES] / 1000.0,
    }


def _from_peers(
    keys: NDArray[np.uint64], count: int, scratch: Scratch
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """From the keys of incidences, sorted: by entity, peer, port, direction."""
    changed = _changed(keys, scratch)
    peer_starts = np.flatnonzero(changed >= _ONE << PEER_SHIFT)
    is_port_start = changed > OUT_MASK
    is_port_start &= (keys & (PORT_MASK << PORT_SHIFT)) != 0
    entity = (keys[peer_starts] >> KEY_BITS).astype(np.int64)
    all_slices = np.diff(peer_starts, append=keys.size)
    running = np.cumsum(keys & OUT_MASK).astype(np.int64)
    out_slices = np.diff(running[peer_starts + all_slices - 1], prepend=0)
    initiated_to = out_slices > 0
    features = {
        "uniq_dst": _count(entity[initiated_to], count),
        "uniq_src": _count(entity[out_slices < all_slices], count),
        "dst_entropy": _entropy(entity[initiated_to], out_slices[initiated_to], count),
        "max_ports_per_dst": _greatest(entity, _marks_within(is_port_start, peer_starts), count),
    }
    return features, np.bincount(entity, minlength=count)


def _from_ports(keys: NDArray[np.uint64], count: int, scratch: Scratch) -> dict[str, NDArray[np.float64]]:
    """From the keys of initiated slices, sorted: by entity, port, peer."""
    changed = _changed(keys, scratch)
    port_starts = np.flatnonzero(changed >= _ONE << PORT_ABOVE_PEER)
    peers = _starts_within(np.flatnonzero(changed), port_starts)
    slices = np.diff(port_starts, append=keys.size)
    entity = (keys[port_starts] >> KEY_BITS).astype(np.int64)
    # Code 0 is a protocol without ports.
    has_port = ((keys[port_starts] >> PORT_ABOVE_PEER) & PORT_MASK) != 0
    entity, slices, peers = entity[has_port], slices[has_port], peers[has_port]
    return {
        "uniq_dport": _count(entity, count),
        "dport_entropy": _entropy(entity, slices, count),
        "max_dsts_per_port": _greatest(entity, peers, count),
    }


def _from_starts(starts: NDArray[np.uint64], count: int, seconds: float, scratch: Scratch) -> dict[str, NDArray[np.float64]]:
    """Gaps between the starts of initiated slices, from these sorted by entity and time."""
    mean, variation = np.full(count, seconds), np.zeros(count)
    if starts.size:
        first = np.flatnonzero(_changed(starts, scratch) >= _ONE << KEY_BITS)
        entity = (starts[first] >> KEY_BITS).astype(np.int64)
        slices = np.diff(first, append=starts.size)
        gaps = np.maximum(slices - 1, 1)
        gaps_mean = (starts[first + slices - 1] - starts[first]) / gaps / 1e9
        deviation = np.diff(starts, prepend=starts[:1]) / 1e9
        deviation -= np.repeat(gaps_mean, slices)
        deviation[first] = 0.0  # the first start of an entity has no gap before it
        deviation *= deviation
        # Summed in the order of time, which is the canonical one; equal starts are indistinguishable.
        squares = np.add.reduceat(deviation, first)
        enough = slices > 2
        mean[entity[enough]] = gaps_mean[enough]
        variation[entity[enough]] = (np.sqrt(squares / gaps) / (gaps_mean + 1e-9))[enough]
    return {"iat_mean": mean, "iat_cv": variation}


def _medians(keys: NDArray[np.uint64], count: int, scratch: Scratch) -> NDArray[np.float64]:
    """The median by entity of what stands below the entity in sorted keys; 0 without any."""
    median = np.zeros(count)
    first = np.flatnonzero(_changed(keys, scratch) >= _ONE << KEY_BITS)
    size = np.diff(first, append=keys.size)
    middle = (keys[first + (size - 1) // 2] & _VALUE_MASK) + (keys[first + size // 2] & _VALUE_MASK)
    median[(keys[first] >> KEY_BITS).astype(np.int64)] = middle / 2.0
    return median


def _prefix(entity: NDArray[np.uint32], index: NDArray[np.int64]) -> Prefix:
    """The position of each entity where it stands in a key, and which are asked for (None: all)."""
    position = index[entity]
    wanted = position >= 0
    if wanted.all():
        return position.astype(np.uint64) << KEY_BITS, None
    return position[wanted].astype(np.uint64) << KEY_BITS, wanted


def _sorted_keys(prefixes: Sequence[Prefix], keys: Sequence[NDArray[np.uint64]], scratch: Scratch) -> NDArray[np.uint64]:
    """All keys with the position of their entity in front, sorted; those of entities not asked for left out. Lives in scratch 0."""
    joined = scratch.take(0, sum(prefix.size for prefix, _ in prefixes))
    at = 0
    for (prefix, wanted), key in zip(prefixes, keys, strict=True):
        np.bitwise_or(prefix, key if wanted is None else key[wanted], out=joined[at : at + prefix.size])
        at += prefix.size
    joined.sort()
    return joined


def _changed(keys: NDArray[np.uint64], scratch: Scratch) -> NDArray[np.uint64]:
    """Which bits of each sorted key differ from the one before it; all of them for the first. Lives in scratch 1."""
    changed = scratch.take(1, keys.size)
    changed[:1] = _ALL_BITS
    np.bitwise_xor(keys[1:], keys[:-1], out=changed[1:])
    return changed


def _starts_within(starts: NDArray[np.intp], runs: NDArray[np.intp]) -> NDArray[np.int64]:
    """How many of the ascending `starts` lie in each of the runs that begin at `runs`. For few runs."""
    return np.diff(np.searchsorted(starts, runs), append=starts.size)


def _marks_within(marked: NDArray[np.bool_], runs: NDArray[np.intp]) -> NDArray[np.int64]:
    """How many of the marked places lie in each of the runs that begin at the ascending `runs`, the first of them at 0. For many runs."""
    running = np.cumsum(marked, dtype=np.int64)
    ends = np.append(runs[1:], marked.size)
    return np.diff(running[ends - 1], prepend=0) if runs.size else np.zeros(0, np.int64)


def _count(entity: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    return np.bincount(entity, minlength=count).astype(np.float64)


def _greatest(entity: NDArray[np.int64], values: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """The greatest of `values` by entity; `entity` is ascending."""
    greatest = np.zeros(count)
    if not entity.size:
        return greatest
    first = np.flatnonzero(np.diff(entity, prepend=-1))
    greatest[entity[first]] = np.maximum.reduceat(values, first)
    return greatest


def _entropy(entity: NDArray[np.int64], counts: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Shannon entropy of the distribution `counts` by entity: log2 n - sum(c log2 c) / n. bincount adds whole numbers: exact."""
    total = np.bincount(entity, weights=counts, minlength=count)
    terms = _TERMS[np.minimum(counts, _TERMS.size - 1)]
    large = np.flatnonzero(counts >= _TERMS.size)
    terms[large] = _terms(counts[large])
    summed = np.bincount(entity, weights=terms, minlength=count) / _FIXED_POINT
    at_least_one = np.maximum(total, 1.0)
    entropy = np.log2(at_least_one) - summed / at_least_one
    return np.where(np.bincount(entity, minlength=count) > 1, np.maximum(entropy, 0.0), 0.0)


def _terms(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    terms: NDArray[np.float64] = np.rint(counts * np.log2(np.maximum(counts, 1)) * _FIXED_POINT)
    return terms


_TERMS = _terms(np.arange(1024))  # nearly all counts are small
