"""The process of one capture worker: adopts a ring that the daemon opened, meters its packets, and sends the panes.

Started as `python -m netmote.daemon.capture_worker SETTINGS` with two inherited descriptors: the packet socket and one end of a socket
pair. It imports capture and metering, nothing else of the agent: the configuration's model alone would be a third more memory. It ends
when the daemon does: then the other end of the pair is closed. While the daemon does not read, it waits, and what the ring cannot hold
meanwhile the kernel counts.
"""

import contextlib
import json
import select
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any, cast

from netmote.capture.link_state import LinkState
from netmote.capture.packets import ClaimColumns
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.recent_headers import HeaderFollowers, RecentHeaders
from netmote.capture.ring import InterfaceGone, Ring
from netmote.capture.tunnels import Tunnel
from netmote.clock import Clock, SystemClock
from netmote.daemon.memory import bound_heaps
from netmote.daemon.ring_metering import IDLE_MARGIN_NS, RingMetering
from netmote.daemon.worker_channel import (
    QUESTION,
    Kind,
    Progress,
    encode_claims,
    encode_headers,
    encode_pane,
    encode_progress,
    framed,
)
from netmote.metering.flow_meter import FlowMeter
from netmote.metering.neighbours import distinct
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch

_PROGRESS_SECONDS = 0.25
_MOST_CLAIMS = 4096  # of addresses, handed on from one block


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told at its start."""

    interface: str
    source: str
    ring_size: int
    ring: int  # descriptor of the packet socket
    channel: int  # descriptor of its end of the socket pair
    metering: dict[str, Any]  # arguments of FlowMeter
    begin_ns: int  # panes before this were handed on; 0 at the first start
    tee: str  # path of the copy of headers; empty: none
    tee_size: int
    header_bytes: int  # memory of recent headers; 0: none are kept
    tunnels: tuple[Tunnel, ...]  # opened

    def to_argument(self) -> str:
        return json.dumps(asdict(self))


class _ClaimSender:
    """Passes on who claims which address: only all workers together know of a dispute."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def observe(self, claims: ClaimColumns) -> list[FactBatch]:
        if len(claims):
            parts, left_out = distinct(claims, _MOST_CLAIMS)
            for part in parts:
                self._channel.sendall(encode_claims(part, left_out))
                left_out = 0
        return []

    def begin_anew(self) -> None:
        """The daemon learns of it by the progress."""


class CaptureWorker:
    """One ring, one meter, one channel."""

    def __init__(self, settings: WorkerSettings, *, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._channel = socket.socket(fileno=settings.channel)
        self._sent = 0  # packets in panes of this meter
        self._watermark_ns = settings.begin_ns
        self._told_at = clock.monotonic()
        self._recent: RecentHeaders | None = None
        self._asked = b""

    def run(self) -> None:
        """Until the daemon closes the channel, or the interface is gone."""
        settings = self._settings
        with contextlib.ExitStack() as held:
            held.callback(self._channel.close)
            try:
                adopted = socket.socket(fileno=settings.ring)
                ring = Ring(
                    settings.interface,
                    ring_size=settings.ring_size,
                    promiscuous=False,
                    adopted=adopted,
                    tunnels=tuple(settings.tunnels),
                )
                held.callback(ring.close)
                self._begin_followers(ring, held)
                link = LinkState(settings.interface)
                held.callback(link.close)
                claims = _ClaimSender(self._channel)
                metering = RingMetering(ring, self._new_meter, clock=self._clock, link=link, neighbours=claims)
                if settings.begin_ns:
                    metering.meter.advance(settings.begin_ns)
                self._follow(metering)
            except InterfaceGone as error:
                self._channel.sendall(framed(Kind.GONE, str(error).encode()))

    def _new_meter(self) -> FlowMeter:
        settings = self._settings
        return FlowMeter(source=settings.source, interface=settings.interface, **settings.metering)

    def _follow(self, metering: RingMetering) -> None:
        channel = select.poll()
        channel.register(self._channel.fileno(), select.POLLIN)
        try:
            while not channel.poll(0) or self._answer():
                meter = metering.meter
                self._send(metering.step())
                if metering.meter is not meter:  # what was open has ended
                    self._sent = 0
                self._tell(metering)
        finally:
            self._send(metering.flush())

    def _send(self, batches: list[FlowBatch]) -> None:
        for batch in batches:
            self._channel.sendall(encode_pane(batch))
            self._sent += batch.loss.received

    def _answer(self) -> bool:
        """What the daemon asks; False when it closed the channel."""
        data = self._channel.recv(4096)
        self._asked += data
        while len(self._asked) >= QUESTION.size and self._recent is not None:
            start_ns, end_ns = QUESTION.unpack_from(self._asked)
            self._asked = self._asked[QUESTION.size :]
            self._channel.sendall(encode_headers(self._recent.between(start_ns, end_ns)))
        return bool(data)

    def _tell(self, metering: RingMetering) -> None:
        now = self._clock.monotonic()
        if now - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = now
        meter = metering.meter
        begun = meter.open_pane_start_ns
        if begun is not None:
            self._watermark_ns = begun
        elif metering.is_up and metering.is_idle:
            self._watermark_ns = self._clock.now_ns() - IDLE_MARGIN_NS
        open_packets = max(0, meter.accounting.received - self._sent)
        first_ns = 0 if self._recent is None else self._recent.first_ns or 0
        told = Progress(self._watermark_ns, open_packets, meter.flows_held, metering.clock_set_back, metering.is_up, first_ns)
        self._channel.sendall(encode_progress(told))

    def _begin_followers(self, ring: Ring, held: contextlib.ExitStack) -> None:
        settings = self._settings
        followers: list[PcapngWriter | RecentHeaders] = []
        if settings.header_bytes:
            self._recent = RecentHeaders(
                interface=settings.interface,
                link_type=ring.link_type,
                size_bytes=settings.header_bytes,
                random=SystemRandom(),
                tunnels=tuple(settings.tunnels),
            )
            followers.append(self._recent)
        try:
            if settings.tee:
                path, limit = Path(settings.tee), settings.tee_size
                tee = PcapngWriter(path, interface=settings.interface, link_type=ring.link_type, limit_bytes=limit)
                held.callback(tee.close)
                followers.append(tee)
        except OSError as error:
            # The copy is for later questions; capture itself goes on without it.
            self._channel.sendall(framed(Kind.NOTE, f"captured headers are not written: {error}".encode()))
        if followers:
            # A tee is told of frames and closed; a ring asks no more of it.
            ring.tee = cast("PcapngWriter", followers[0] if len(followers) == 1 else HeaderFollowers(*followers))


def main() -> None:
    """The process."""
    # Who ends the service (systemd tells every process of it) or presses a key means the daemon, which ends its workers in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    settings = WorkerSettings(**json.loads(sys.argv[1]))
    bound_heaps(settings.ring_size)  # left alone, it depends on luck whether every block's memory is mapped anew
    # The daemon is gone: nobody is left to tell.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        CaptureWorker(settings, clock=SystemClock()).run()


if __name__ == "__main__":
    main()
