"""A capture made with numpy: a SYN flood, every packet from another random source, over connections that go on throughout."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START_S = 1_700_000_000  # where a pane begins
FLOODED_PER_SECOND = 600_000  # of event time: three million packets fill a pane
_RECORD, _KEPT = 16, 60
_CHUNK = 150_000
_EVERY = 20  # one packet in so many belongs to a connection


def write_flood(path: Path, *, packets: int, connections: int, seed: int = 7) -> int:
    """Write a classic pcap file at 600,000 packets a second of event time; returns how many packets are of the connections.

    Connections are 10.1.x.x to 10.2.0.1 port 443 and back, in turn, beginning before the flood does; the flood goes to 10.2.0.1 port 80.
    """
    random = np.random.default_rng(seed)
    before = 2 * connections
    with path.open("wb") as file:
        file.write(np.array([0xA1B2C3D4, 0x0004_0002, 0, 0, 262_144, 1], "<u4").tobytes())
        file.write(_records(random, np.arange(before) - before, connections, is_flood=np.zeros(before, "?")).tobytes())
        for start in range(0, packets, _CHUNK):
            number = np.arange(start, min(start + _CHUNK, packets))
            file.write(_records(random, number, connections, is_flood=number % _EVERY != 0).tobytes())
    return before + len(range(0, packets, _EVERY))


def _records(random: np.random.Generator, number: NDArray, connections: int, *, is_flood: NDArray) -> NDArray:
    """(n, 76) bytes: record headers and frames. `number` gives the time, and whose turn it is."""
    out = np.zeros((len(number), _RECORD + _KEPT), "u1")
    microsecond = number * 1_000_000 // FLOODED_PER_SECOND
    head = out[:, :_RECORD].view("<u4")
    head[:, 0], head[:, 1] = START_S + microsecond // 1_000_000, microsecond % 1_000_000
    head[:, 2] = head[:, 3] = _KEPT
    frame = out[:, _RECORD:]
    frame[:, [0, 6]] = 2
    frame[:, 12:24] = (8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6)
    frame[:, 46] = 0x50
    flood, other = np.flatnonzero(is_flood), np.flatnonzero(~is_flood)
    frame[flood, 26:30] = random.integers(2**24, 0xDFFF_FFFF, len(flood)).astype(">u4").view("u1").reshape(-1, 4)
    frame[flood, 34:36] = random.integers(1024, 65_536, len(flood)).astype(">u2").view("u1").reshape(-1, 2)
    frame[flood, 30:34], frame[flood, 36:38], frame[flood, 47] = (10, 2, 0, 1), (0, 80), 0x02
    turn = np.where(number[other] < 0, number[other] - number[0], number[other] // _EVERY)
    client = (10 << 24 | 1 << 16 | turn // 2 % connections).astype(">u4").view("u1").reshape(-1, 4)
    server, is_back = np.array((10, 2, 0, 1), "u1"), (turn % 2 == 1)[:, None]
    near, far = np.array((0xC0, 0x00), "u1"), np.array((0x01, 0xBB), "u1")
    frame[other, 26:30], frame[other, 30:34] = np.where(is_back, server, client), np.where(is_back, client, server)
    frame[other, 34:36], frame[other, 36:38] = np.where(is_back, far, near), np.where(is_back, near, far)
    frame[other, 47] = 0x18
    return out
