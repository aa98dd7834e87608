"""The traffic features of one entity written down plainly, slice by slice, as the prototype has them. No numpy, no cleverness."""

from collections import Counter, defaultdict
from itertools import pairwise
from math import log2
from statistics import median

from window_records import Slice

EXEMPT = (53, 67, 123, 5353)


def traffic(slices: list[Slice], host: str | None, end: float, window: float = 60.0) -> dict[str, float]:
    """Features of the window that ends at `end`, from all slices ever; `host` None is the segment view (every slice is "out")."""
    slices = [one for one in slices if one.out_packets + one.in_packets > 0]
    mine = [one for one in slices if host is None or host in (one.source, one.destination)]
    inside = [one for one in mine if end - window <= one.pane * 5 < end]
    known = [one for one in mine if one.pane * 5 < end - window]

    def is_out(one: Slice) -> bool:
        return host is None or one.source == host

    def peer_of(one: Slice) -> str:
        return one.destination if is_out(one) else one.source

    def has_port(one: Slice) -> bool:
        return one.protocol in (6, 17)

    out = [one for one in inside if is_out(one)]
    into = [one for one in inside if not is_out(one)]
    out_octets = sum(one.out_octets for one in out) + sum(one.in_octets for one in into)
    in_octets = sum(one.in_octets for one in out) + sum(one.out_octets for one in into)
    out_packets = sum(one.out_packets for one in out) + sum(one.in_packets for one in into)
    in_packets = sum(one.in_packets for one in out) + sum(one.out_packets for one in into)
    packets = max(out_packets + in_packets, 1)
    flows = max(len(inside), 1)
    ports_of, destinations_of = defaultdict(set), defaultdict(set)
    for one in inside:
        if has_port(one):
            ports_of[peer_of(one)].add(one.port)
    for one in out:
        if has_port(one):
            destinations_of[one.port].add(one.destination)
    peers = {peer_of(one) for one in inside}
    new = peers - {peer_of(one) for one in known}
    starts = sorted(one.start for one in out)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    mean = sum(gaps) / len(gaps) if len(starts) > 2 else window
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 if len(starts) > 2 else 0.0
    queries = sum(one.queries for one in inside)

    def share(protocols: tuple[int, ...]) -> float:
        return sum(one.out_packets + one.in_packets for one in inside if one.protocol in protocols) / packets

    return {
        "out_bytes_ps": out_octets / window,
        "in_bytes_ps": in_octets / window,
        "out_pkts_ps": out_packets / window,
        "in_pkts_ps": in_packets / window,
        "out_byte_share": out_octets / max(out_octets + in_octets, 1),
        "out_pkt_size": out_octets / max(out_packets, 1),
        "in_pkt_size": in_octets / max(in_packets, 1),
        "flows_out_ps": len(out) / window,
        "flows_in_ps": len(into) / window,
        "uniq_dst": len({one.destination for one in out}),
        "uniq_src": len({one.source for one in into}),
        "uniq_dport": len({one.port for one in out if has_port(one)}),
        "dst_entropy": entropy(Counter(one.destination for one in out)),
        "dport_entropy": entropy(Counter(one.port for one in out if has_port(one))),
        "max_ports_per_dst": max(map(len, ports_of.values()), default=0),
        "max_dsts_per_port": max(map(len, destinations_of.values()), default=0),
        "new_peer_ratio": len(new) / max(len(peers), 1),
        "peers_per_flow": len(peers) / flows,
        "syn_ps": sum(one.syn for one in inside) / window,
        "noanswer_ratio": sum(one.rst == 0 and one.in_packets == 0 for one in inside) / flows,
        "reset_ratio": sum(one.rst > 0 for one in inside) / flows,
        "established_ratio": sum(one.rst == 0 and one.in_packets > 0 for one in inside) / flows,
        "fin_ps": sum(one.fin for one in inside) / window,
        "unreach_ps": sum(one.unreachable for one in inside) / window,
        "tcp_share": share((6,)),
        "udp_share": share((17,)),
        "icmp_share": share((1, 58)),
        "other_share": share(tuple(set(range(256)) - {6, 17, 1, 58})),
        "lowport_share": sum(has_port(one) and one.port < 1024 for one in out) / max(len(out), 1),
        "dns_qps": queries / window,
        "dns_fail_ratio": sum(one.failures for one in inside) / max(sum(one.responses for one in inside), 1),
        "dns_qname_len": sum(one.question_octets for one in inside) / max(queries, 1),
        "dns_qname_entropy": sum(one.question_millibits for one in inside) / 1000 / max(queries, 1),
        "iat_mean": mean,
        "iat_cv": spread / (mean + 1e-9),
        "beacon_score": beacon([one for one in mine if is_out(one) and one.pane * 5 < end], end),
        "flow_dur_med": median(one.duration for one in out) if out else 0.0,
    }


def beacon(out: list[Slice], end: float) -> float:
    best = 0.0
    by_key = defaultdict(list)
    for one in out:
        port = one.port if one.protocol in (6, 17) else 0
        if port not in EXEMPT:
            by_key[one.destination, port].append((round(one.start * 1e9), round((one.start + one.duration) * 1e9)))
    for seen in by_key.values():
        contacts, active = [], None
        for start, finish in sorted(seen):
            if active is None or start - active > 1_000_000_000:
                contacts.append(start)
            active = finish if active is None else max(active, finish)
        gaps = [(later - earlier) // 1_000_000 for earlier, later in pairwise(contacts[-64:])]
        if len(gaps) < 5:
            continue
        middle = median(gaps)
        if middle < 2_000 or contacts[-1] + 3 * middle * 1_000_000 < end * 1e9:
            continue
        best = max(best, (1 - median(abs(gap - middle) for gap in gaps) / middle) * min(1, len(gaps) / 10))
    return best


def entropy(counts: Counter) -> float:
    total = sum(counts.values())
    return -sum(count / total * log2(count / total) for count in counts.values()) if len(counts) > 1 else 0.0


def hosts(slices: list[Slice], end: float, window: float = 60.0) -> set[str]:
    """Addresses of ours (in these tests 10/8 and fd00/8) with a slice in the window."""
    inside = [one for one in slices if one.out_packets + one.in_packets and end - window <= one.pane * 5 < end]
    return {address for one in inside for address in (one.source, one.destination) if address.startswith(("10.", "fd"))}
