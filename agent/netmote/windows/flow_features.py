"""The traffic features of all entities of one window at once, from the parts of its panes.

Integers until the last step: sums, counts of sorted keys, fixed-point terms of entropies. So the order in which slices came
cannot change a bit. No loop runs over entities.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netmote.windows.addresses import ID_BITS
from netmote.windows.flow_pane import KEY_BITS, OUT_MASK, PEER_SHIFT, PORT_MASK, PORT_SHIFT, FlowPart, Sum
from netmote.windows.schemas import TRAFFIC

_BITS_OF_ID = np.uint64(ID_BITS)
_FIXED_POINT = float(1 << 20)  # entropy terms are rounded to 2**-20 bit, so that their sum is exact in any order
_TIME_MASK = np.uint64((1 << 42) - 1)

Prefix: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.bool_] | None]


def traffic_features(
    parts: Sequence[FlowPart], index: NDArray[np.int64], count: int, start_ns: int, window_ns: int
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """The features that need only the window, by name, each (count,), and the number of peers (count,).

    `index` gives the position of an entity by address id, -1 for one that is not asked for; `count` is the number of positions.
    `new_peer_ratio` and `beacon_score` need memory beyond the window and are left to the lane.
    """
    seconds = window_ns / 1e9
    prefixes = [_prefix(part.entity, index) for part in parts]
    out_prefixes = [_prefix(part.out_entity, index) for part in parts]
    total = np.zeros((count, len(Sum)), np.int64)
    for part in parts:
        position = index[part.present]
        wanted = position >= 0
        total[position[wanted]] += part.sums[wanted]
    features = _from_sums(total, seconds)
    from_peers, peers = _from_peers(_sorted_keys(prefixes, [part.key for part in parts]), count)
    slices = total[:, Sum.FLOWS_OUT] + total[:, Sum.FLOWS_IN]
    features.update(from_peers)
    features["peers_per_flow"] = peers / np.maximum(slices, 1)
    features.update(_from_ports(_sorted_keys(*_ported(parts, out_prefixes)), count))
    starts = _sorted_keys(out_prefixes, [_clipped(part.out_start_ns - start_ns) for part in parts])
    durations = _sorted_keys(out_prefixes, [_clipped(part.out_duration_ns) for part in parts])
    features.update(_from_times(starts, durations, count, seconds))
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


def _from_peers(keys: NDArray[np.uint64], count: int) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """From the keys of incidences, sorted: by entity, peer, port, direction."""
    if not keys.size:
        nothing = np.zeros(count)
        names = ("uniq_dst", "uniq_src", "dst_entropy", "max_ports_per_dst")
        return dict.fromkeys(names, nothing), np.zeros(count, np.int64)
    without_direction = keys >> PORT_SHIFT
    is_new_port = _is_first(without_direction) & ((without_direction & PORT_MASK) != 0)
    peer_starts = np.flatnonzero(_is_first(keys >> PEER_SHIFT))
    entity = (keys[peer_starts] >> KEY_BITS).astype(np.int64)
    ports = np.add.reduceat(is_new_port, peer_starts, dtype=np.int64)
    out_slices = np.add.reduceat((keys & OUT_MASK).astype(np.int64), peer_starts)
    all_slices = np.diff(peer_starts, append=keys.size)
    initiated_to = out_slices > 0
    features = {
        "uniq_dst": _count(entity[initiated_to], count),
        "uniq_src": _count(entity[out_slices < all_slices], count),
        "dst_entropy": _entropy(entity[initiated_to], out_slices[initiated_to], count),
        "max_ports_per_dst": _greatest(entity, ports, count),
    }
    return features, np.bincount(entity, minlength=count)


def _from_ports(keys: NDArray[np.uint64], count: int) -> dict[str, NDArray[np.float64]]:
    """From the keys of initiated slices that have a port, sorted: by entity, port, peer."""
    if not keys.size:
        return {name: np.zeros(count) for name in ("uniq_dport", "dport_entropy", "max_dsts_per_port")}
    port_starts = np.flatnonzero(_is_first(keys >> _BITS_OF_ID))
    entity = (keys[port_starts] >> KEY_BITS).astype(np.int64)
    peers = np.add.reduceat(_is_first(keys), port_starts, dtype=np.int64)
    return {
        "uniq_dport": _count(entity, count),
        "dport_entropy": _entropy(entity, np.diff(port_starts, append=keys.size), count),
        "max_dsts_per_port": _greatest(entity, peers, count),
    }


def _from_times(
    starts: NDArray[np.uint64], durations: NDArray[np.uint64], count: int, seconds: float
) -> dict[str, NDArray[np.float64]]:
    """Gaps between the starts of initiated slices and the median of their durations, from both sorted by entity and time."""
    mean, variation, median = np.full(count, seconds), np.zeros(count), np.zeros(count)
    if starts.size:
        first = np.flatnonzero(_is_first(starts >> KEY_BITS))
        entity = (starts[first] >> KEY_BITS).astype(np.int64)
        slices = np.diff(first, append=starts.size)
        time = (starts & _TIME_MASK).astype(np.int64)
        enough = slices > 2
        gaps_mean = (time[first + slices - 1] - time[first]) / np.maximum(slices - 1, 1) / 1e9
        group = np.repeat(np.arange(first.size), slices)
        deviation = np.diff(time, prepend=0) / 1e9 - gaps_mean[group]
        deviation[first] = 0.0  # the first start of an entity has no gap before it
        # bincount adds in the order of time, which is the canonical one; equal starts are indistinguishable.
        squares = np.bincount(group, weights=deviation * deviation)
        mean[entity[enough]] = gaps_mean[enough]
        variation[entity[enough]] = (np.sqrt(squares / np.maximum(slices - 1, 1)) / (gaps_mean + 1e-9))[enough]
        middle = (durations[first + (slices - 1) // 2] & _TIME_MASK) + (durations[first + slices // 2] & _TIME_MASK)
        median[entity] = middle / 2e9
    return {"iat_mean": mean, "iat_cv": variation, "flow_dur_med": median}


def _prefix(entity: NDArray[np.uint32], index: NDArray[np.int64]) -> Prefix:
    """The position of each entity where it stands in a key, and which are asked for (None: all)."""
    position = index[entity]
    wanted = position >= 0
    if wanted.all():
        return position.astype(np.uint64) << KEY_BITS, None
    return position[wanted].astype(np.uint64) << KEY_BITS, wanted


def _sorted_keys(prefixes: Sequence[Prefix], keys: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """All keys with the position of their entity in front, sorted; those of entities not asked for left out."""
    pieces = [prefix | (key if wanted is None else key[wanted]) for (prefix, wanted), key in zip(prefixes, keys, strict=True)]
    joined = np.concatenate(pieces) if pieces else np.zeros(0, np.uint64)
    joined.sort()
    return joined


def _ported(parts: Sequence[FlowPart], prefixes: Sequence[Prefix]) -> tuple[list[Prefix], list[NDArray[np.uint64]]]:
    """Of the initiated slices that have a port: their prefixes, and keys of port and peer."""
    chosen: list[Prefix] = []
    keys = []
    for part, (prefix, wanted) in zip(parts, prefixes, strict=True):
        key = part.out_key if wanted is None else part.out_key[wanted]
        port = (key >> PORT_SHIFT) & PORT_MASK
        has_port = port != 0
        chosen.append((prefix[has_port], None))
        keys.append(((port << _BITS_OF_ID) | (key >> PEER_SHIFT))[has_port])
    return chosen, keys


def _clipped(time_ns: NDArray[np.int64]) -> NDArray[np.uint64]:
    return np.clip(time_ns, 0, int(_TIME_MASK)).astype(np.uint64)


def _is_first(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where a run of equal keys begins."""
    first = np.ones(keys.size, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def _count(entity: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    return np.bincount(entity, minlength=count).astype(np.float64)


def _greatest(entity: NDArray[np.int64], values: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """The greatest of `values` by entity; `entity` is ascending."""
    greatest = np.zeros(count)
    first = np.flatnonzero(_is_first(entity.astype(np.uint64)))
    greatest[entity[first]] = np.maximum.reduceat(values, first)
    return greatest


def _entropy(entity: NDArray[np.int64], counts: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Shannon entropy of the distribution `counts` by entity: log2 n - sum(c log2 c) / n. bincount adds whole numbers: exact."""
    total = np.bincount(entity, weights=counts, minlength=count)
    terms = np.rint(counts * np.log2(counts) * _FIXED_POINT)
    summed = np.bincount(entity, weights=terms, minlength=count) / _FIXED_POINT
    at_least_one = np.maximum(total, 1.0)
    entropy = np.log2(at_least_one) - summed / at_least_one
    return np.where(np.bincount(entity, minlength=count) > 1, np.maximum(entropy, 0.0), 0.0)


WINDOW_ONLY = tuple(name for name in TRAFFIC.names if name not in ("new_peer_ratio", "beacon_score"))
