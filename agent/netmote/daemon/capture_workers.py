"""The workers of one interface: processes that share its packets, started, listened to, and started again when one dies.

    kernel ─► fanout by pairs of addresses ─► ring 0 ─► worker 0 ─┐
                                            ─► ring 1 ─► worker 1 ─┴─► panes ─► merge ─► emit

The rings are opened here and held here: a worker that dies leaves its ring, in which packets wait for the next one, and the others'
flows stay where they are. What it had metered of the open pane is lost, and counted (`worker`). One thread calls `follow`; it waits for
no worker, and holds at most one message of each and the panes that the merge holds.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from netmote.backoff import Backoff
from netmote.capture.config import LEAST_EVIDENCE, CaptureConfig
from netmote.capture.drop_counters import DropCounters
from netmote.capture.fanout import FanoutGroup
from netmote.capture.packet_filter import packet_filter
from netmote.capture.ring import InterfaceGone, Ring
from netmote.capture.ring_layout import statistics
from netmote.clock import Clock
from netmote.daemon.capture_worker import WorkerSettings
from netmote.daemon.pane_merge import PaneMerge
from netmote.daemon.worker_channel import (
    QUESTION,
    BrokenChannelError,
    Kind,
    MessageReader,
    Progress,
    decode_claims,
    decode_headers,
    decode_pane,
    decode_progress,
    most_bytes,
)
from netmote.daemon.worker_headers import Question, WorkerHeaders
from netmote.metering.config import MeteringConfig
from netmote.metering.neighbours import Neighbours
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch

log = logging.getLogger(__name__)

_WAIT_SECONDS = 0.1
_LOOK_SECONDS = 1.0
# A worker tells its progress four times a second. One that is silent this long hangs.
HUNG_SECONDS = 10.0
# How long the last panes are waited for at the end.
STOP_SECONDS = 2.0
# One that ran this long before it died starts again without delay.
_HEALTHY_SECONDS = 60.0
_RECEIVED_BYTES = 1 << 20


@dataclass(slots=True)
class _Worker:
    """One of them, over all its lives."""

    number: int
    ring: socket.socket
    backoff: Backoff
    life: int = -1
    process: "subprocess.Popen[bytes] | None" = None
    channel: socket.socket | None = None
    reader: MessageReader | None = None
    progress: Progress | None = None
    has_read: bool = False
    """Whether it, in this life, has told of its ring."""
    heard_at: float = 0.0
    started_at: float = 0.0
    due_at: float = 0.0
    asked: deque[Question] = field(default_factory=deque)  # in the order of the answers


class CaptureWorkers:
    """Raises InterfaceGone where there is no such interface, Unavailable where it cannot be captured."""

    def __init__(
        self,
        interface: str,
        capture: CaptureConfig,
        metering: MeteringConfig,
        *,
        source: str,
        clock: Clock,
        random: Random,
        on_death: Callable[[int, str], None],
        on_tee_failure: Callable[[str], None],
        tee_name: str = "",
        hung_seconds: float = HUNG_SECONDS,
        headers: WorkerHeaders | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        """`on_death` is told the number of a worker that died, and how; `tee_name` begins the names of their copies in `tee_dir`."""
        self._interface, self._source, self._clock = interface, source, clock
        self._hung_seconds, self._headers = hung_seconds, headers
        self._neighbours = neighbours
        self._told: list[FactBatch] = []  # by the neighbours, not handed on yet
        # Of each worker: together they keep what one would.
        self._header_bytes = 0 if headers is None else max(LEAST_EVIDENCE, capture.evidence_size // capture.workers)
        self._capture, self._metering = capture, metering
        self._on_death, self._on_tee_failure, self._tee_name = on_death, on_tee_failure, tee_name
        self._longest = most_bytes(metering.max_flows, self._header_bytes)
        self._merge = PaneMerge(capture.workers)
        self._drained: list[FlowBatch] = []  # not handed on yet
        self._drops = DropCounters(interface)
        self._looked_at = clock.monotonic()
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self.ring_bytes = 0
        """Of all rings and recent headers."""
        self.version = ""
        """Of the rings: `v3` or `v2`."""
        for number, ring in enumerate(self._open_rings()):
            self._workers.append(_Worker(number, ring, Backoff(base=0.5, cap=30.0, random=random)))

    @property
    def flows_held(self) -> int:
        """By all workers, as last told."""
        return sum(worker.progress.flows_held for worker in self._workers if worker.progress is not None)

    @property
    def is_up(self) -> bool:
        """Whether the link is, as last told by anyone."""
        told = [worker.progress.is_up for worker in self._workers if worker.progress is not None]
        return not told or any(told)

    @property
    def are_reading(self) -> bool:
        """Whether each has told of its ring."""
        return all(worker.has_read for worker in self._workers)

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that run, by worker."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def step(self) -> list[FlowBatch]:
        """Wait a little for what workers send; the panes that are complete. Raises InterfaceGone."""
        now = self._clock.monotonic()
        for worker in self._workers:
            if worker.process is None and now >= worker.due_at:
                self._start(worker)
            elif worker.process is not None and now - worker.heard_at > self._hung_seconds:
                self._bury(worker, f"it said nothing for {self._hung_seconds:g} s")
        self._ask()
        self._receive(_WAIT_SECONDS)
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._merge.lose(self._drops.take())
        return self._take_drained() + self._merge.ready(self._clock.monotonic())

    def follow(self, emit: Callable[[FlowBatch], None], stop: threading.Event, each_step: Callable[[], None]) -> None:
        """Hand panes on until `stop`, then end the workers and hand on their last. Raises InterfaceGone, after that too."""
        try:
            while not stop.is_set():
                for batch in self.step():
                    emit(batch)
                each_step()
        finally:
            for batch in self.end():
                emit(batch)

    def end(self) -> list[FlowBatch]:
        """Let the workers flush and end; those that do not within two seconds are killed. Their last panes. Safe twice."""
        if self._headers is not None:
            self._headers.end()
        for worker in self._workers:
            if worker.channel is not None:
                with contextlib.suppress(OSError):
                    worker.channel.shutdown(socket.SHUT_WR)
        deadline = self._clock.monotonic() + STOP_SECONDS
        while any(worker.channel is not None for worker in self._workers) and self._clock.monotonic() < deadline:
            with contextlib.suppress(InterfaceGone):  # it is over anyway
                self._receive(_WAIT_SECONDS, is_ending=True)
        for worker in self._workers:
            if worker.process is not None:
                self._bury(worker, "it did not end in time", is_told=False)
            if not worker.has_read:
                # It was still starting: what waited in its ring is read by nobody.
                packets, _ = statistics(worker.ring, 2)
                self._merge.lose({"worker": packets})
                worker.has_read = True
        self._merge.lose(self._drops.take())
        batches = self._take_drained() + self._merge.drain()
        if self._merge.untold:
            log.warning("%d packets were lost after the last pane", self._merge.untold, extra={"component": self._source})
        return batches

    def close(self) -> None:
        """End what still runs, and give the rings back. Safe twice."""
        for worker in self._workers:
            if worker.process is not None:
                self._bury(worker, "it is not needed any more", is_told=False)
            worker.ring.close()
        self._selector.close()

    def _open_rings(self) -> list[socket.socket]:
        group, rings = FanoutGroup(), []
        try:
            for _ in range(self._capture.workers):
                ring = Ring(
                    self._interface,
                    ring_size=self._capture.ring_size,
                    promiscuous=self._capture.promiscuous,
                    fanout=group,
                    version=self._capture.ring,
                    packet_filter=packet_filter(self._capture.filter),
                    tunnels=self._capture.tunnels,
                )
                rings.append(ring)
        except BaseException:
            for ring in rings:
                ring.close()
            raise
        self.ring_bytes = sum(ring.ring_bytes + self._header_bytes for ring in rings)
        self.version = rings[0].version
        if self._headers is not None:
            self._headers.begin(rings[0].link_type)
        # Only now that every share has its ring: flows would move to another one else.
        for ring in rings:
            ring.begin()
        return [ring.detach() for ring in rings]

    def _start(self, worker: _Worker) -> None:
        worker.life += 1
        ours, theirs = socket.socketpair()
        settings = WorkerSettings(
            interface=self._interface,
            source=self._source,
            ring_size=self._capture.ring_size,
            ring=worker.ring.fileno(),
            channel=theirs.fileno(),
            metering=self._metering.meter_arguments(),
            begin_ns=self._merge.emitted_until_ns or 0,
            tee=self._tee_path(worker),
            tee_size=self._capture.tee_size,
            header_bytes=self._header_bytes,
            tunnels=self._capture.tunnels,
        )
        # As this interpreter was started: nothing from the working directory is imported.
        flags = ["-I"] if sys.flags.isolated else ["-P"]
        try:
            worker.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, *flags, "-m", "netmote.daemon.capture_worker", settings.to_argument()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(settings.ring, settings.channel),
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                process_group=0,
            )
        except OSError as error:
            ours.close()
            self._await(worker)
            self._on_death(worker.number, f"it cannot be started: {error}")
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        worker.channel, worker.reader, worker.progress = ours, MessageReader(self._longest), None
        worker.has_read = False
        worker.heard_at = worker.started_at = self._clock.monotonic()
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _tee_path(self, worker: _Worker) -> str:
        directory = self._capture.tee_dir
        if directory is None:
            return ""
        with contextlib.suppress(OSError):  # the worker says that it cannot write
            directory.mkdir(parents=True, exist_ok=True)
        return str(Path(directory).resolve() / f"{self._tee_name}-{worker.number}-{worker.life}.pcapng")

    def _receive(self, seconds: float, *, is_ending: bool = False) -> None:
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            assert worker.channel is not None
            assert worker.reader is not None
            try:
                data = worker.channel.recv(_RECEIVED_BYTES)
                worker.heard_at = self._clock.monotonic()
                for kind, payload in worker.reader.feed(data):
                    self._take(worker, kind, payload)
            except BlockingIOError:
                continue
            except (BrokenChannelError, ConnectionError) as error:
                self._bury(worker, str(error))
                continue
            if not data:
                self._bury(worker, "", is_told=not is_ending)

    def _ask(self) -> None:
        """Pass on what evidence wants to know."""
        for question in () if self._headers is None else self._headers.take_asked():
            asked = 0
            for worker in self._workers:
                with contextlib.suppress(OSError):  # it is full, or dying: it will not answer
                    if worker.channel is not None:
                        worker.channel.send(QUESTION.pack(question.start_ns, question.end_ns))
                        worker.asked.append(question)
                        asked += 1
            question.expect(asked)

    def take_facts(self) -> list[FactBatch]:
        """What the neighbours told since this was last asked. Ask after each step."""
        told, self._told = self._told, []
        return told

    def _take_drained(self) -> list[FlowBatch]:
        drained, self._drained = self._drained, []
        return drained

    def _take(self, worker: _Worker, kind: Kind, payload: bytes) -> None:
        if kind is Kind.PANE:
            batch = decode_pane(payload, source=self._source, interface=self._interface)
            self._merge.add(worker.number, worker.life, batch, self._clock.monotonic())
        elif kind is Kind.PROGRESS:
            before, worker.progress = worker.progress, decode_progress(payload)
            worker.has_read = True
            if before is not None and worker.progress.clock_set_back > before.clock_set_back:
                # Time begins anew: what was open before ends.
                self._drained += self._merge.drain()
                if self._neighbours is not None:
                    self._neighbours.begin_anew()
            self._merge.advance(worker.number, worker.progress.watermark_ns)
            if self._headers is not None and worker.progress.first_header_ns:
                self._headers.note_first(worker.progress.first_header_ns)
        elif kind is Kind.HEADERS:
            if self._headers is None or not worker.asked:
                raise BrokenChannelError("headers that nobody asked for")
            worker.asked.popleft().answer(decode_headers(payload, link_type=self._headers.link_type))
        elif kind is Kind.CLAIMS:
            claims, left_out = decode_claims(payload)
            if self._neighbours is not None:
                self._neighbours.claims_passed_over += left_out
                self._told += self._neighbours.observe(claims)
        elif kind is Kind.NOTE:
            self._on_tee_failure(payload.decode(errors="replace"))
        else:
            raise InterfaceGone(payload.decode(errors="replace"))

    def _bury(self, worker: _Worker, reason: str, *, is_told: bool = True) -> None:
        """End a process that died, or is to; what it had not sent yet is lost."""
        process, channel = worker.process, worker.channel
        assert process is not None
        if channel is not None:
            self._selector.unregister(channel)
            channel.close()
        if reason:
            process.kill()
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:  # it closed its channel and goes on
            process.kill()
            code = process.wait()
        if (code or is_told) and worker.progress is not None:
            self._merge.lose({"worker": worker.progress.received})
        worker.process = worker.channel = worker.reader = worker.progress = None
        while worker.asked:
            worker.asked.popleft().answer(None)
        if self._clock.monotonic() - worker.started_at > _HEALTHY_SECONDS:
            worker.backoff.succeeded()
        self._await(worker)
        if is_told:
            self._on_death(worker.number, reason or _how(code))

    def _await(self, worker: _Worker) -> None:
        # The first death after a while is followed at once: packets wait in its ring.
        delay = worker.backoff.next_delay()
        worker.due_at = self._clock.monotonic() + (delay if worker.backoff.failures > 1 else 0.0)


def _how(code: int) -> str:
    if code >= 0:
        return f"it ended with status {code}"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it was ended by signal {-code}"
