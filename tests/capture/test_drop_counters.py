"""What is lost before the ring: each lost packet once, under the place where it was lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netmote.capture.drop_counters import DropCounters, DropReading, losses_between, softnet_dropped

SOFTNET = """\
0d294598 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
00515403 005042c0 00000005 00000000 00000000 00000000 00000000 00000000 00000000 0024d3a1 00000000 00000000 00000001 00000000 00000000
"""


def reading(dropped: int = 0, missed: int = 0, fifo: int = 0, softnet: int = 0) -> DropReading:
    return DropReading(dropped, missed, fifo, softnet)


def test_softnet_is_hexadecimal_and_summed_over_processors() -> None:
    """The second column of every line, base 16; an old kernel's nine columns are read as well."""
    assert softnet_dropped(SOFTNET) == 0x5042C0
    assert softnet_dropped("00000001 0000000a 00000000\n00000001 00000010 00000000\n") == 26
    with pytest.raises(ValueError, match="softnet_stat"):
        softnet_dropped("nothing\n")


def test_each_lost_packet_is_counted_once() -> None:
    """The backlog's drops are also the interface's `rx_dropped`; an overrun may be told as missed, as fifo, or as both."""
    assert losses_between(reading(), reading()) == {}
    assert losses_between(reading(dropped=5), reading(dropped=5)) == {}
    assert losses_between(reading(), reading(dropped=100, softnet=100)) == {"softnet": 100}
    assert losses_between(reading(), reading(dropped=100, softnet=30)) == {"interface": 70, "softnet": 30}
    # The backlog refused packets of other interfaces too: they are not ours.
    assert losses_between(reading(), reading(dropped=3, softnet=5_000)) == {"softnet": 3}
    assert losses_between(reading(), reading(softnet=5_000)) == {}
    assert losses_between(reading(), reading(missed=7)) == {"interface": 7}
    assert losses_between(reading(), reading(fifo=7)) == {"interface": 7}
    assert losses_between(reading(), reading(missed=7, fifo=7)) == {"interface": 7}
    assert losses_between(reading(), reading(dropped=4, missed=7, softnet=1)) == {"interface": 10, "softnet": 1}


def test_counters_that_begin_anew() -> None:
    """An interface made anew counts from 0: what it has lost since is told, and never a negative number."""
    assert losses_between(reading(dropped=1_000, missed=50), reading(dropped=8)) == {"interface": 8}


def write(directory: Path, **counters: int) -> None:
    statistics = directory / "eth7" / "statistics"
    statistics.mkdir(parents=True, exist_ok=True)
    for name in ("rx_dropped", "rx_missed_errors", "rx_fifo_errors", "rx_nohandler"):
        (statistics / name).write_text(f"{counters.get(name, 0)}\n")


def test_differences_since_last_asked(tmp_path: Path) -> None:
    """What was lost before the opening is not ours; without counters nothing is said, and later they go on; nohandler is no loss."""
    softnet = tmp_path / "softnet_stat"
    softnet.write_text(SOFTNET)
    write(tmp_path, rx_dropped=1_000)
    counters = DropCounters("eth7", sys_class_net=tmp_path, softnet_stat=softnet)
    assert counters.take() == {}
    write(tmp_path, rx_dropped=1_010, rx_missed_errors=3, rx_nohandler=900)
    assert counters.take() == {"interface": 13}
    assert counters.take() == {}
    (tmp_path / "eth7").rename(tmp_path / "gone")
    assert counters.take() == {}
    write(tmp_path, rx_dropped=1_012, rx_missed_errors=3)
    assert counters.take() == {"interface": 2}


# Runs within the namespace, where /sys shows its interfaces: sends from one CPU while the other, which RPS makes receive, is kept
# busy by packet sockets with a long filter; then says what was sent, what a ring received, and where the rest was lost.
FLOOD = """
import contextlib, ctypes, json, os, socket, struct, sys, time
from netmote.capture.drop_counters import DropCounters
from netmote.capture.ring import Ring
name, peer, cpus, busy, frames = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
with open(f"/sys/class/net/{name}/queues/rx-0/rps_cpus", "w") as out:
    out.write(cpus)
counters = DropCounters(name)
ring = Ring(name, ring_size=int(sys.argv[6]), promiscuous=False)
slow = struct.pack("HBBI", 0x24, 0, 0, 3) * 4095 + struct.pack("HBBI", 6, 0, 0, 0)  # BPF: multiply 4,095 times, then keep nothing
code = ctypes.create_string_buffer(slow, len(slow))
crowd = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(busy)]
for each in crowd:
    each.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 4096, ctypes.addressof(code)))
    each.bind((name, 3))
os.sched_setaffinity(0, {0})
frame = bytes.fromhex("020000000002020000000001080045000054000100004011000a0a0000010a0000020400003500400000") + bytes(60)
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE: what waits in the backlog is still the sender's
sender.setsockopt(263, 20, 1)  # PACKET_QDISC_BYPASS
sender.bind((peer, 0))
for _ in range(frames):
    with contextlib.suppress(OSError):  # ENOBUFS: veth says so when the backlog of its peer refused the frame
        sender.send(frame)
for each in crowd:
    each.close()
time.sleep(0.5)
received = 0
while (packets := ring.read(0.5)) is not None:
    received += packets.received
print(json.dumps({"sent": frames, "received": received, "ring": ring.take_dropped(), **counters.take()}))
"""


def flood(namespace: str, *, cpus: str, busy: int, frames: int, ring_size: int) -> dict[str, int]:
    for arguments in (
        ("link", "add", "nmwet0", "type", "veth", "peer", "name", "nmwet1"),
        ("link", "set", "nmwet0", "arp", "off", "up"),
        ("link", "set", "nmwet1", "arp", "off", "up"),
    ):
        subprocess.run(["ip", "-n", namespace, *arguments], check=True, capture_output=True, timeout=20)
    arguments = ["nmwet1", "nmwet0", cpus, str(busy), str(frames), str(ring_size)]
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", FLOOD, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=50, env=dict(os.environ))
    return json.loads(done.stdout)


@pytest.mark.root
def test_a_tiny_ring_under_a_flood_counts_what_it_lost(wire: Any) -> None:
    """Nobody reads the ring while 30,000 frames come: every one is either received or counted as the ring's."""
    found = flood(wire.left, cpus="0", busy=0, frames=30_000, ring_size=2**18)
    assert found["ring"] > 10_000
    assert found["sent"] == found["received"] + found["ring"]
    assert "interface" not in found
    assert "softnet" not in found


@pytest.mark.root
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="receive packet steering needs a second processor")
def test_what_the_backlog_refuses_is_counted(wire: Any) -> None:
    """With packets steered to a processor that is too slow for them, the ring reports nothing lost: the backlog's counter does."""
    found = flood(wire.left, cpus="2", busy=10, frames=30_000, ring_size=2**24)
    assert found["softnet"] > 100
    assert found["sent"] == found["received"] + found.get("ring", 0) + found["softnet"] + found.get("interface", 0)
