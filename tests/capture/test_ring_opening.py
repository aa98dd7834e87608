"""How a ring is opened: with the version the kernel has, taken over from another reader, and what it asks of the interface."""

import errno
import json
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from netmote.capture.ring import LAYOUTS, Ring
from netmote.capture.ring_v2 import FrameRing
from netmote.capture.ring_v3 import BlockRing
from netmote.errors import Unavailable

pytestmark = pytest.mark.root

HEAD = bytes.fromhex("020000000002 020000000001 0800 45000000 00000000 4011 0000 0a000001 0a000002 03e803e9 00000000")


def frame(length: int, number: int = 0) -> bytes:
    """A UDP packet over IPv4 in a frame of this length; `number` is its source port."""
    body = bytearray(HEAD.ljust(length, b"."))
    body[16:18] = (length - 14).to_bytes(2, "big")
    body[34:36] = number.to_bytes(2, "big")
    return bytes(body)


def sent_to(wire, frames: list[bytes]) -> None:
    sender = wire.sender()
    for each in frames:
        sender.send(each)
    sender.close()


def ports(ring: Ring, wanted: int) -> list[int]:
    found: list[int] = []
    deadline = time.monotonic() + 10
    while len(found) < wanted and time.monotonic() < deadline:
        block = ring.read(0.2)
        found += [] if block is None else block.source_port.tolist()
    return found


def refusing(number: int) -> Callable[..., BlockRing]:
    """A kernel that does not have the version, or anything else that may go wrong there."""

    def refuse(*_: object, **__: object) -> BlockRing:
        raise OSError(number, "refused")

    return refuse


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOPROTOOPT])
def test_the_simple_ring_where_the_kernel_has_no_other(wire, number: int) -> None:
    """`auto` falls back, says so, and packets come; by name there is no falling back."""
    layouts = {"v3": refusing(number), "v2": FrameRing}
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**18, promiscuous=False, layouts=layouts)
        with pytest.raises(Unavailable, match="refused"):
            Ring(wire.right, ring_size=2**18, promiscuous=False, version="v3", layouts=layouts)
    assert ring.version == "v2"
    sent_to(wire, [frame(100, number) for number in range(50)])
    assert ports(ring, 50) == list(range(50))
    ring.close()


def test_what_is_wrong_for_both_is_told(wire) -> None:
    """No memory is no reason to try the other version."""
    with wire.inside_right(), pytest.raises(Unavailable, match="refused"):
        Ring(wire.right, ring_size=2**18, promiscuous=False, layouts={"v3": refusing(errno.ENOMEM), "v2": FrameRing})


def test_the_fast_ring_where_there_is_one(wire) -> None:
    """This kernel has it; each can be had by name."""
    with wire.inside_right():
        for asked, got in (("auto", "v3"), ("v3", "v3"), ("v2", "v2")):
            ring = Ring(wire.right, ring_size=2**18, promiscuous=False, version=asked)
            assert ring.version == got
            assert ring.ring_bytes >= 2**18
            ring.close()
    assert list(LAYOUTS) == ["v3", "v2"]


def test_records_of_plain_packets_have_one_length(wire) -> None:
    """Frames of 61 bytes and more, as long as they like: no record is found by following the chain."""
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**22, promiscuous=False, version="v3")
    sent_to(wire, [frame(61 + number * 7 % 1400, number) for number in range(3000)])
    assert ports(ring, 3000) == list(range(3000))
    assert ring.records_walked == 0
    ring.close()


@pytest.mark.parametrize("version", ["v3", "v2"])
@pytest.mark.parametrize("read_before", [0, 511])
def test_another_reader_goes_on(wire, version: str, read_before: int) -> None:
    """After a detached ring is adopted: what waited, oldest first, then what comes; also when nothing waits, and around the end."""
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**18, promiscuous=False, version=version)
    sent_to(wire, [frame(100, number) for number in range(read_before)])
    assert len(ports(ring, read_before)) == read_before
    kept = ring.detach()
    with wire.inside_right():
        for waiting in (0, 300):
            sent_to(wire, [frame(100, number) for number in range(waiting)])
            time.sleep(0.15)
            adopted = Ring(wire.right, ring_size=2**18, promiscuous=False, version=version, adopted=kept)
            assert adopted.version == version
            assert ports(adopted, waiting) == list(range(waiting))
            sent_to(wire, [frame(100, number) for number in range(200, 290)])
            assert ports(adopted, 90) == list(range(200, 290))
            assert adopted.take_dropped() == 0
            kept = adopted.detach()
    kept.close()


def test_a_full_simple_ring_is_adopted_from_its_oldest_packet(wire) -> None:
    """Where every frame is taken, their times tell which was first."""
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**18, promiscuous=False, version="v2")
        sent_to(wire, [frame(100, number) for number in range(100)])
        assert len(ports(ring, 100)) == 100
        kept = ring.detach()
        sent_to(wire, [frame(100, number) for number in range(700)])
        time.sleep(0.15)
        adopted = Ring(wire.right, ring_size=2**18, promiscuous=False, version="v2", adopted=kept)
    found = ports(adopted, 512)
    assert found == list(range(512))
    assert adopted.take_dropped() == 700 - 512
    adopted.close()


def test_promiscuous_mode_ends_with_the_ring(wire) -> None:
    """The interface is asked for frames of others only while a ring that wants them is open."""

    def promiscuity() -> int:
        shown = subprocess.run(
            ["ip", "-n", wire.right, "-d", "-j", "link", "show", wire.right], check=True, capture_output=True, timeout=20
        )
        return int(json.loads(shown.stdout)[0]["promiscuity"])

    with wire.inside_right():
        modest = Ring(wire.right, ring_size=2**18, promiscuous=False)
        assert promiscuity() == 0
        greedy = Ring(wire.right, ring_size=2**18, promiscuous=True)
        assert promiscuity() == 1
        greedy.close()
        assert promiscuity() == 0
        modest.close()


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_each_interface_has_its_own_packets(wire, version: str) -> None:
    """Two rings at the two ends of a wire: one sees packets leave, the other sees them arrive; the names are theirs."""
    with wire.inside_left():
        leaving = Ring(wire.left, ring_size=2**18, promiscuous=False, version=version)
    with wire.inside_right():
        arriving = Ring(wire.right, ring_size=2**18, promiscuous=False, version=version)
        other = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        other.bind((wire.right, 0))
    sent_to(wire, [frame(100, number) for number in range(30)])
    for number in range(30, 40):
        other.send(frame(200, number))
    other.close()
    for ring, name in ((leaving, wire.left), (arriving, wire.right)):
        block = ring.read(1.0)
        assert block is not None
        assert block.interface == name
        assert block.source_port.tolist() == list(range(40))
        ring.close()
