"""Packet evidence: follows the alerts that analysis committed, and writes the packets behind each into a file beside the ledger.

    committed revisions ─► bounded queue ─► worker thread: recent headers of every capture ─► evidence files

Nobody calls back into capture: its threads only keep recent headers, which are read here. Whatever goes wrong (a full disk, a
directory that cannot be written) costs evidence alone, and is a reason of the component `evidence`. Every request is
counted by outcome: `refused` (too many requests), `empty` (no packet of it is kept), `full` (its file is), `failed`,
`abandoned` (the daemon stopped), `written`.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

from netmote.alerts.alert import Alert, AlertState, Committed
from netmote.capture.config import CaptureConfig
from netmote.capture.frames import Frames
from netmote.capture.packet_match import FlowEnds, frames_of_address, frames_of_flows
from netmote.capture.recent_headers import HeaderSource
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.daemon.evidence_files import EvidenceBounds, EvidenceFiles, EvidencePart
from netmote.records.entity import EntityKind
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

COMPONENT = "evidence"
# Each takes some milliseconds and at most `evidence_file_size`. Further revisions of an alert may take half of them.
PER_MINUTE = 10
_QUEUE = 16
# A block of a ring is handed over at most this long after its first packet: later packets may still be on their way.
_SETTLED_NS = NANOSECONDS_PER_SECOND
# Something certain at an instant (a link that went down) is shown with what came before it.
_LEAST_SPAN_NS = 60 * NANOSECONDS_PER_SECOND
_EXPIRE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Request:
    alert: Alert
    recents: tuple[HeaderSource, ...]
    bounds: EvidenceBounds


class Evidence:
    """One daemon's evidence. `note` is called on the event loop and never waits."""

    def __init__(
        self,
        files: EvidenceFiles,
        *,
        sensor: str,
        recents: Callable[[], Iterable[HeaderSource]],
        clock: Clock,
        health: Health,
        metrics: Metrics,
        per_minute: int = PER_MINUTE,
    ) -> None:
        """`recents` names the recent headers of the captures that run."""
        self._files, self._sensor, self._recents = files, sensor, recents
        self._clock, self._health, self._metrics = clock, health, metrics
        self._per_minute = per_minute
        self._bounds: EvidenceBounds | None = None
        self._is_wanted = False
        self._waiting: OrderedDict[str, _Request] = OrderedDict()
        self._accepted: deque[float] = deque(maxlen=per_minute)  # monotonic times
        self._requested = asyncio.Event()

    def apply(self, capture: CaptureConfig, *, free_space_floor: int) -> None:
        """Take up a configuration; from the next alert on."""
        self._is_wanted = capture.evidence_size > 0
        self._bounds = EvidenceBounds(
            file_bytes=capture.evidence_file_size,
            disk_bytes=capture.evidence_disk_size,
            age_ns=round(capture.evidence_age * NANOSECONDS_PER_SECOND),
            free_space_floor=free_space_floor,
        )
        self._requested.set()

    def note(self, rows: Iterable[Committed]) -> None:
        """Ask for the packets of the alerts among these revisions that fire and may have some."""
        bounds = self._bounds
        if bounds is None or not self._is_wanted:
            return
        for row in rows:
            alert = row.alert
            recents = tuple(each for each in self._recents() if self._concerns(alert, each))
            if alert.state is not AlertState.FIRING or not recents:
                continue
            known = self._waiting.get(alert.alert_id)
            if known is None and not self._accept(alert):
                self._count("refused")
                continue
            self._waiting[alert.alert_id] = _Request(alert, recents, bounds)
            self._requested.set()

    async def run(self) -> None:
        """Write what is asked for, and remove what is old, until cancelled."""
        try:
            while True:
                await self._expire()
                if self._waiting:
                    _, request = self._waiting.popitem(last=False)
                    await self._serve(request)
                    continue
                self._requested.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_EXPIRE_SECONDS):
                        await self._requested.wait()
        finally:
            self._count("abandoned", len(self._waiting))
            self._waiting.clear()

    def _concerns(self, alert: Alert, recent: HeaderSource) -> bool:
        if recent.first_ns is None or _end_ns(alert) <= recent.first_ns:
            return False  # such as what analysis reads on from the store after a restart
        if alert.entity.kind is EntityKind.INTERFACE:
            return alert.entity.name == f"{self._sensor}/{recent.interface}"
        return (alert.entity.kind is EntityKind.HOST and _is_address(alert.entity.name)) or bool(alert.evidence.top_flows)

    def _accept(self, alert: Alert) -> bool:
        now = self._clock.monotonic()
        while self._accepted and now - self._accepted[0] >= 60.0:
            self._accepted.popleft()
        most = self._per_minute if alert.revision == 1 else self._per_minute // 2
        if len(self._accepted) >= most or len(self._waiting) >= _QUEUE:
            return False
        self._accepted.append(now)
        return True

    async def _serve(self, request: _Request) -> None:
        try:
            outcome = await asyncio.to_thread(self._write, request)
        except OSError as error:
            outcome = "failed"
            self._fail(error)
        except asyncio.CancelledError:
            self._count("abandoned")  # the thread ends what it began: the file is whole or not there
            raise
        else:
            if outcome == "written" and self._health.recover(COMPONENT):
                log.info("evidence is written again", extra={"component": COMPONENT})
        self._count(outcome)

    def _count(self, outcome: str, requests: int = 1) -> None:
        if requests:
            self._metrics.evidence_requests_total.inc(requests, outcome=outcome)

    async def _expire(self) -> None:
        if self._bounds is None:
            return
        try:
            removed = await asyncio.to_thread(self._files.expire, self._clock.now_ns(), self._bounds)
        except OSError as error:
            self._fail(error)
        else:
            if removed:
                self._metrics.evidence_files_removed_total.inc(removed)

    def _fail(self, error: OSError) -> None:
        if self._health.degrade(COMPONENT, Level.FULL, f"packets behind alerts are not written: {error}"):
            log.warning("packets behind alerts are not written: %s", error, extra={"component": COMPONENT})

    def _write(self, request: _Request) -> str:
        """In the worker thread. Returns the outcome; raises OSError."""
        alert = request.alert
        covered = self._files.covered_until_ns(alert.alert_id)
        until = min(_end_ns(alert), self._clock.now_ns() - _SETTLED_NS)
        begin = max(min(alert.window_start_ns, until - _LEAST_SPAN_NS), covered)
        parts = [part for recent in request.recents if (part := _part(alert, recent, begin, until)) is not None]
        if not parts:
            return "empty"
        written = sum(len(part.kept) for part in parts)
        seen = round(sum(float(part.kept.stands_for.sum()) for part in parts))
        comment = (
            f"netmote alert {alert.alert_id} revision {alert.revision}: of about {seen} packets of {alert.entity} "
            f"{written} were kept in memory; those that fit are here"
        )
        left_out = self._files.add(alert.alert_id, parts, until_ns=until, comment=comment, bounds=request.bounds)
        if left_out:
            self._metrics.evidence_packets_left_out_total.inc(left_out)
        return "full" if left_out == written else "written"


def _end_ns(alert: Alert) -> int:
    return max(alert.window_end_ns, alert.last_seen_ns)


def _part(alert: Alert, recent: HeaderSource, begin_ns: int, end_ns: int) -> EvidencePart | None:
    """The headers of one interface that stand behind an alert; None when none does."""
    flows = tuple(
        FlowEnds(
            each.source_address,
            each.source_transport_port,
            each.destination_address,
            each.destination_transport_port,
            each.protocol_identifier,
        )
        for each in alert.evidence.top_flows
    )

    def is_wanted(frames: Frames) -> NDArray[np.bool_]:
        if alert.entity.kind is EntityKind.INTERFACE:
            return np.ones(len(frames), np.bool_)
        if alert.entity.kind is EntityKind.HOST and _is_address(alert.entity.name):
            of_address = frames_of_address(frames, alert.entity.name, tunnels=recent.tunnels)
            return of_address | frames_of_flows(frames, flows, tunnels=recent.tunnels)
        return frames_of_flows(frames, flows, tunnels=recent.tunnels)

    kept = recent.between(begin_ns, end_ns, is_wanted)
    if not len(kept):
        return None
    is_of_flows = frames_of_flows(kept.frames, flows, tunnels=recent.tunnels)
    return EvidencePart(recent.interface, recent.link_type, kept, is_of_flows)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
