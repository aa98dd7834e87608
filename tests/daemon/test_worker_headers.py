"""The headers behind an alert, asked of several workers: joined in the order of time, and nobody waits for one that is gone."""

import asyncio
import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest
from daemon_legs import Legs, until
from frames_in_memory import frames_of
from veth_link import Link

from netmote.capture.config import CaptureConfig
from netmote.capture.frames import LINKTYPE_ETHERNET, Frames
from netmote.capture.recent_headers import KeptHeaders
from netmote.clock import SystemClock
from netmote.daemon.observation import Observation
from netmote.daemon.worker_channel import BrokenChannelError, Kind, MessageReader, decode_headers, encode_headers, most_bytes
from netmote.daemon.worker_headers import WorkerHeaders
from netmote.metering.config import MeteringConfig

END_NS = 1 << 62


def kept(*numbers: int) -> KeptHeaders:
    """Frames of one byte each, at these seconds."""
    frames = frames_of([bytes([number]) for number in numbers])
    count = len(numbers)
    frames = Frames(
        frames.buffer,
        frames.offset,
        frames.captured,
        frames.wire_length,
        np.array(numbers, "i8"),
        LINKTYPE_ETHERNET,
        *(np.zeros(count, kind) for kind in ("?", "u2", "u2", "u2", "u1")),
    )
    return KeptHeaders(frames, np.ones(count, "f4"))


def first_bytes(headers: KeptHeaders) -> list[int]:
    return headers.frames.buffer[headers.frames.offset].tolist()


def test_they_travel_whole() -> None:
    """What a worker sends is what the daemon reads, however many; something else is refused."""
    for sent in (kept(5, 1, 200), kept()):
        ((kind, payload),) = MessageReader(most_bytes(1024, 100_000)).feed(encode_headers(sent))
        assert kind is Kind.HEADERS
        found = decode_headers(payload, link_type=LINKTYPE_ETHERNET)
        assert first_bytes(found) == first_bytes(sent)
        assert found.frames.timestamp_ns.tolist() == sent.frames.timestamp_ns.tolist()
        assert found.stands_for.tolist() == sent.stands_for.tolist()
    for payload in (b"", b"PK\x03\x04 and no more", bytes(100)):
        with pytest.raises(BrokenChannelError, match="headers"):
            decode_headers(payload, link_type=LINKTYPE_ETHERNET)


def test_answers_are_joined_and_the_dead_are_not_waited_for() -> None:
    """Two answer, one will not any more: the question is answered, in the order of time, and only what is wanted of it."""
    headers = WorkerHeaders("wire0")
    assert len(headers.between(0, END_NS)) == 0  # nobody runs, and nobody is waited for
    headers.begin(LINKTYPE_ETHERNET)
    found: list[KeptHeaders] = []

    def wanted(frames: Frames) -> np.ndarray:
        return frames.timestamp_ns != 7

    asker = threading.Thread(target=lambda: found.append(headers.between(0, END_NS, wanted)))
    asker.start()
    deadline = time.monotonic() + 5
    while not (asked := headers.take_asked()):
        assert time.monotonic() < deadline
    (question,) = asked
    question.expect(3)
    question.answer(kept(3, 7, 9))
    question.answer(None)
    question.answer(kept(1, 8))
    asker.join(5)
    assert first_bytes(found[0]) == [1, 3, 8, 9]


def test_whoever_waits_when_the_workers_end_gets_what_there_is() -> None:
    """No question outlives them."""
    headers = WorkerHeaders("wire0")
    headers.begin(LINKTYPE_ETHERNET)
    found: list[KeptHeaders] = []
    asker = threading.Thread(target=lambda: found.append(headers.between(0, END_NS)))
    asker.start()
    time.sleep(0.1)
    began = time.monotonic()
    headers.end()
    asker.join(5)
    assert time.monotonic() - began < 1
    assert len(found[0]) == 0


@pytest.mark.root
async def test_headers_of_a_real_link(legs: Legs, link: Link) -> None:
    """What two processes read is found, each packet once; what one that is killed had kept is gone, the other's is not."""
    link.create()
    document = {"interfaces": ["wire0"], "ring_size": 2**20, "workers": 2, "evidence_size": "1MB"}
    observed = Observation(
        "wire0",
        CaptureConfig.model_validate(document),
        MeteringConfig(max_flows=1024),
        sensor="s1",
        clock=SystemClock(),
        emit=lambda _: None,
        health=legs.health,
    )
    head = bytes.fromhex("020000000002020000000001080045000032000100004011000000000a00")
    frames = [head[:-2] + bytes([10, 0, 1, number, 10, 0, 2, 1]) + bytes(40) for number in range(100)]

    def found() -> list[bytes]:
        assert observed.recent is not None
        headers = observed.recent.between(0, END_NS)
        assert headers.frames.timestamp_ns.tolist() == sorted(headers.frames.timestamp_ns.tolist())
        return [headers.frames.buffer[at : at + 34].tobytes() for at in headers.frames.offset.tolist()]

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        await asyncio.to_thread(link.send_frames, frames)
        await until(lambda: observed.flows_held == 100)
        assert sorted(await asyncio.to_thread(found)) == sorted(frame[:34] for frame in frames)
        assert observed.recent is not None
        assert observed.recent.first_ns is not None
        assert observed.ring_bytes >= 2 * 2**20 + 10**6
        victim = observed.worker_processes[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: len(observed.worker_processes) == 2 and victim not in observed.worker_processes)
        left = await asyncio.to_thread(found)
        assert 0 < len(left) < 100
        assert set(left) <= {frame[:34] for frame in frames}
        pids = observed.worker_processes
        task.cancel()
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert len(observed.recent.between(0, END_NS)) == 0
