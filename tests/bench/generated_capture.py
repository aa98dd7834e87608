"""A capture made with numpy: a few flows carry most packets, as on a real link; IPv4 and IPv6, TCP, UDP, a few tags."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_START_S = 1_700_000_000
_KEPT = 96  # bytes of each packet; the length on the wire is the real one
_CHUNK = 100_000


def write_capture(
    path: Path, *, packets: int, flows: int, seconds: float, clients: int = 2**16, is_whole: bool = False, seed: int = 7
) -> None:
    """Write a classic pcap file. Every flow has at least one packet; popularity falls like Zipf's; clients are of 10.0.0.0/8.

    `is_whole` keeps all of each packet, so that records differ in length.
    """
    random = np.random.default_rng(seed)
    weight = 1.0 / (np.arange(flows) + 50.0) ** 1.05
    count = 1 + random.multinomial(packets - flows, weight / weight.sum())
    random.shuffle(count)
    flow = np.repeat(np.arange(flows), count)
    begin = random.random(flows) * seconds * 0.9
    time = begin[flow] + random.random(packets) * np.minimum(random.lognormal(1.0, 1.6, flows), seconds - begin)[flow]
    order = np.argsort(time, kind="stable")
    flow, time = flow[order], time[order]
    kinds = _flows(random, flows, clients)
    with path.open("wb") as file:
        file.write(np.array([0xA1B2C3D4, 0x0004_0002, 0, 0, 262_144, 1], "<u4").tobytes())
        for start in range(0, packets, _CHUNK):
            part = slice(start, start + _CHUNK)
            records = _records(random, kinds, flow[part], time[part])
            file.write((_whole(records) if is_whole else records).tobytes())


def _whole(records: NDArray) -> NDArray:
    """The records with zeros behind what was kept, up to the length on the wire."""
    head = records[:, :16].view("<u4")
    head[:, 2] = head[:, 3]
    size = 16 + head[:, 3].astype("i8")
    begin = np.cumsum(size) - size
    out = np.zeros(int(size.sum()), "u1")
    out[begin[:, None] + np.arange(records.shape[1])] = records
    return out


def _flows(random: np.random.Generator, flows: int, clients: int) -> dict[str, NDArray]:
    return {
        "six": random.random(flows) < 0.15,
        "tagged": random.random(flows) < 0.05,
        "udp": random.random(flows) < 0.27,
        "client": (random.integers(0, clients, flows) + (10 << 24)).astype(">u4").view("u1").reshape(-1, 4),
        "server": random.integers(2**24, 0xDFFF_FFFF, flows).astype(">u4").view("u1").reshape(-1, 4),
        "port": random.integers(1024, 65_536, flows).astype(">u2").view("u1").reshape(-1, 2),
        "service": random.choice([443, 80, 22, 8080, 3306], flows).astype(">u2").view("u1").reshape(-1, 2),
        "sequence": random.integers(0, 2**32, 2 * flows).astype("u4"),  # next one of each direction
    }


def _records(random: np.random.Generator, kinds: dict[str, NDArray], flow: NDArray, time: NDArray) -> NDArray:
    """(n, 16 + 96) bytes: record headers and packets."""
    count = len(flow)
    out = np.zeros((count, 16 + _KEPT), "u1")
    payload = random.choice([0, 60, 500, 1400], count, p=[0.45, 0.15, 0.1, 0.3])
    back = random.random(count) < 0.5
    sequence = _sequences(random, kinds["sequence"], 2 * flow + back, payload).astype(">u4").view("u1").reshape(-1, 4)
    six, tagged, udp = (kinds[name][flow] for name in ("six", "tagged", "udp"))
    transport = np.where(udp, 8, 20) + payload
    wire = 14 + 4 * tagged + np.where(six, 40, 20) + transport
    head = out[:, :16].view("<u4")
    head[:, 0], head[:, 1] = _START_S + time.astype("u4"), (time % 1 * 1e6).astype("u4")
    head[:, 2], head[:, 3] = _KEPT, np.maximum(wire, _KEPT)
    for is_tagged in (False, True):
        for is_six in (False, True):
            rows = np.flatnonzero((tagged == is_tagged) & (six == is_six))
            packet = np.zeros((len(rows), _KEPT), "u1")
            packet[:, [0, 6]], at = 2, 12
            if is_tagged:
                packet[:, 12:16] = (0x81, 0, 0, 100)
                at = 16
            packet[:, at : at + 2] = (0x86, 0xDD) if is_six else (8, 0)
            at += 2
            ends = [kinds["client"][flow[rows]], kinds["server"][flow[rows]]]
            ports = [kinds["port"][flow[rows]], kinds["service"][flow[rows]]]
            direction = back[rows][:, None]
            source, destination = np.where(direction, ends[1], ends[0]), np.where(direction, ends[0], ends[1])
            length = (transport[rows] + (0 if is_six else 20)).astype(">u2").view("u1").reshape(-1, 2)
            protocol = np.where(udp[rows], 17, 6)
            if is_six:
                packet[:, at], packet[:, at + 6] = 0x60, protocol
                packet[:, at + 4 : at + 6] = length
                packet[:, at + 8 : at + 10] = packet[:, at + 24 : at + 26] = (0x20, 1)
                packet[:, at + 20 : at + 24], packet[:, at + 36 : at + 40] = source, destination
                at += 40
            else:
                packet[:, at], packet[:, at + 9], packet[:, at + 8] = 0x45, protocol, 64
                packet[:, at + 2 : at + 4] = length
                packet[:, at + 12 : at + 16], packet[:, at + 16 : at + 20] = source, destination
                at += 20
            packet[:, at : at + 2], packet[:, at + 2 : at + 4] = (
                np.where(direction, ports[1], ports[0]),
                np.where(direction, ports[0], ports[1]),
            )
            packet[udp[rows], at + 4 : at + 6] = transport[rows][udp[rows]].astype(">u2").view("u1").reshape(-1, 2)
            packet[~udp[rows], at + 4 : at + 8] = sequence[rows[~udp[rows]]]
            packet[~udp[rows], at + 12] = 0x50
            packet[~udp[rows], at + 13] = 0x18
            out[rows, 16:] = packet
    return out


def _sequences(random: np.random.Generator, following: NDArray, half: NDArray, payload: NDArray) -> NDArray:
    """(n,) TCP sequence numbers: every direction goes on where it was, but one packet in 200 comes again. Advances `following`."""
    order = np.argsort(half, kind="stable")
    ordered, length = half[order], payload[order].astype("u4")
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sent = np.cumsum(length, dtype="u4") - length
    sent -= np.repeat(sent[first] - following[ordered[first]], np.diff(first, append=len(half)))
    last = np.append(first[1:], len(half)) - 1
    following[ordered[last]] = sent[last] + length[last]
    comes_again = np.flatnonzero(random.random(len(half)) < 0.005)
    sent[comes_again] -= length[comes_again]
    sequence = np.empty(len(half), "u4")
    sequence[order] = sent
    return sequence
