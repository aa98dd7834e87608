"""Many datagrams a call, over real sockets."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from netmote.snmp.native.many_datagrams import DatagramRows, ManySocket

FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[ManySocket, socket.socket, str]]:
    family, host = request.param
    many = ManySocket(family, receive_buffer_bytes=1 << 20)
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((host, 0))
        other.settimeout(5)
        yield many, other, host
    many.close()


def test_rows_are_sent_to_their_addresses_and_answers_come_with_theirs(ends: tuple[ManySocket, socket.socket, str]) -> None:
    """Octets arrive whole and in order; what comes back is in rows with the sender's address; nothing more is nothing."""
    many, other, host = ends
    port = other.getsockname()[1]
    rows = DatagramRows(8, 64)
    for row in range(3):
        rows.octets[row, : row + 1] = row
        rows.sizes[row] = row + 1
        rows.names[row] = np.frombuffer(many.name_of((host, port, 0)), np.uint8)
    assert many.send(rows, 0, 3) == 3
    heard = [other.recvfrom(100) for _ in range(3)]
    assert [octets for octets, _ in heard] == [b"\0", b"\1\1", b"\2\2\2"]
    for octets in (b"one", b"x" * 70, b""):
        other.sendto(octets, heard[0][1])
    came, into = 0, DatagramRows(8, 64)
    while came < 3:
        rows = DatagramRows(8, 64)
        count = many.receive(rows, 8 - came)
        into.octets[came : came + count], into.names[came : came + count] = rows.octets[:count], rows.names[:count]
        into.received[came : came + count] = rows.received[:count]
        came += count
        if count:
            assert rows.is_cut[:count].tolist() == [size == 64 for size in rows.received[:count]]
    assert into.received[:3].tolist() == [3, 64, 0]
    assert into.octets[0, :3].tobytes() == b"one"
    mask = np.frombuffer(many.name_mask, np.uint8)
    assert ((into.names[0] & mask) == (np.frombuffer(many.name_of((host, port, 0)), np.uint8) & mask)).all()
    assert many.receive(rows, 8) == 0


def test_what_cannot_be_sent_ends_the_call() -> None:
    """Rows before it went; the reason is told."""
    many = ManySocket(socket.AF_INET, receive_buffer_bytes=1 << 16)
    rows = DatagramRows(2, 16)
    rows.names[0] = np.frombuffer(many.name_of(("127.0.0.1", 9, 0)), np.uint8)
    rows.names[1] = np.frombuffer(many.name_of(("255.255.255.255", 9, 0)), np.uint8)  # needs SO_BROADCAST
    rows.sizes[:] = 4
    assert many.send(rows, 0, 2) == 1
    assert many.send(rows, 1, 2) == 0
    assert many.errno_of_last
    many.close()
