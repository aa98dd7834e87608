"""Plain packets: the same columns whether rows are seen where they lie or copied, and wherever in the frame the IP header stands."""

import numpy as np
import pytest
from frames_in_memory import decode_frames
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from netmote.capture.internet import Columns
from netmote.capture.packets import ROW_COLUMNS, PacketColumns
from netmote.capture.plain import ETHERNET_HEADER, PLAIN_ROW, decode_plain, ether_types

LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
_NAMES = tuple(name for name in ROW_COLUMNS if name not in ("timestamp_ns", "wire_length"))


def decoded(rows: NDArray[np.uint8], captured: NDArray[np.int64]) -> Columns:
    columns = Columns.allocate(len(rows))
    kinds = ether_types(rows, 0)
    decode_plain(rows[:, ETHERNET_HEADER:], kinds, captured, columns, slice(None), link_header=ETHERNET_HEADER)
    return columns


def test_a_view_with_any_stride_is_read_as_its_copy() -> None:
    """Rows may lie apart at any distance and at odd addresses: of every plain packet each column is what a copy of the rows gives."""
    random = np.random.default_rng(9)
    head = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(flags="S"))
    memory = random.integers(0, 256, 3_000 * 161 + 1, dtype="u1")
    rows = np.ndarray((3_000, ETHERNET_HEADER + PLAIN_ROW), "u1", memory, 1, (161, 1))
    rows[:] = np.frombuffer(head, "u1")[: rows.shape[1]]
    for _ in range(3):  # some octets of each are anything
        rows[np.arange(3_000), random.integers(0, rows.shape[1], 3_000)] = random.integers(0, 256, 3_000)
    captured = random.integers(0, 80, 3_000)
    seen, copied = decoded(rows, captured), decoded(rows.copy(), captured)
    plain = seen.flow_class != 0
    assert 500 < plain.sum() < 2_900
    assert (plain == (copied.flow_class != 0)).all()
    for name in _NAMES:
        assert (getattr(seen, name)[plain] == getattr(copied, name)[plain]).all(), name


@pytest.mark.parametrize("tags", [1, 2])
def test_tags_in_the_frame_change_nothing_but_the_network(tags: int) -> None:
    """Behind tags that stay in the frame a packet is as plain as without them: every column but those of the VLAN is the same."""
    bodies = [IP(src="10.0.0.1", dst="10.0.0.2", ttl=9) / TCP(sport=5, dport=6, seq=7, flags="PA") / Raw(b"x" * 40)]
    bodies += [IP(src="10.0.0.3", dst="10.0.0.4", tos=8) / UDP(sport=1, dport=2) / Raw(b"y" * 40)]
    link = LINK
    for number in range(tags):
        link = link / Dot1Q(vlan=10 + number)

    def columns(before: Ether) -> PacketColumns:
        return decode_frames([bytes(before / body) for body in bodies * 20])

    plain, tagged = columns(LINK), columns(link)
    assert set(tagged.vlan_id.tolist()) == {10}
    assert set(tagged.inner_vlan_id.tolist()) == {11 if tags == 2 else 0}
    assert (tagged.protocol_identifier == plain.protocol_identifier).all()
    for name in _NAMES:
        if name != "flow_class":
            assert (getattr(tagged, name) == getattr(plain, name)).all(), name
