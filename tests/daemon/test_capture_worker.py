"""The process of a capture worker, by itself: what it weighs, and when it ends. What it sends is tested with the daemon's side."""

import signal
import socket
import subprocess
import sys
import time

import pytest
from veth_link import Link

from netmote.capture.fanout import FanoutGroup
from netmote.capture.ring import Ring
from netmote.daemon.capture_worker import WorkerSettings
from netmote.daemon.worker_channel import Kind, MessageReader, decode_progress
from netmote.metering.config import MeteringConfig


def test_it_imports_little() -> None:
    """Each worker is a process of its own on a small machine: no configuration model, no event loop, no store, no model runtime."""
    heavy = "pydantic asyncio sqlite3 onnxruntime yaml psutil prometheus_client logging"
    code = f"import sys, netmote.daemon.capture_worker; print(*(name for name in {heavy.split()} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == []


@pytest.mark.root
@pytest.mark.parametrize("flag", ["-P", "-I"])
def test_it_ends_when_nobody_listens(link: Link, flag: str) -> None:
    """It tells its progress, and ends with status 0 once the other end is closed: with the daemon, or because of it."""
    link.create()
    ring = Ring("wire0", ring_size=2**18, promiscuous=False, fanout=FanoutGroup())
    ring.begin()
    kept = ring.detach()
    ours, theirs = socket.socketpair()
    settings = WorkerSettings(
        interface="wire0",
        source="capture:wire0",
        ring_size=2**18,
        ring=kept.fileno(),
        channel=theirs.fileno(),
        metering=MeteringConfig().meter_arguments(),
        begin_ns=0,
        tee="",
        tee_size=10**6,
        header_bytes=0,
        tunnels=(),
    )
    command = [sys.executable, flag, "-m", "netmote.daemon.capture_worker", settings.to_argument()]
    with kept, ours, subprocess.Popen(command, pass_fds=(kept.fileno(), theirs.fileno())) as process:
        theirs.close()
        ours.settimeout(20)
        time.sleep(1.0)
        link.send(20)
        reader, counts = MessageReader(1 << 20), [0]
        while counts[-1] < 20:
            counts += [
                decode_progress(payload).received for kind, payload in reader.feed(ours.recv(4096)) if kind is Kind.PROGRESS
            ]
        for number in (signal.SIGTERM, signal.SIGINT):  # meant for the daemon
            process.send_signal(number)
        time.sleep(0.3)
        assert process.poll() is None
        ours.close()
        assert process.wait(10) == 0
