"""Flow records to collectors: the slices that passed ingest become whole records, once, and every exporter gets them.

    ingest ─► [slices, bounded] ─► assembly, one a source (in a thread) ─► chunks ─► an Exporting Process each, with its own queue

Nothing here makes ingest wait: a full queue loses its oldest panes, and they are counted. Without an exporter in the configuration
nothing is assembled and nothing leaves.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.daemon.components import build_exporter
from netmote.daemon.config import FlowExportConfig
from netmote.daemon.discards import Discards
from netmote.daemon.supervisor import Supervise, Supervised
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import ExportTally, FlowChunk, chunks_of
from netmote.flow_export.metering_totals import MeteringTotals
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_assembly import FlowAssembly
from netmote.records.batch import Batch
from netmote.records.flow import FlowBatch, FlowEndReason
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics
from netmote.telemetry.snapshot import ExportStatus

log = logging.getLogger(__name__)

STAGE = "flow_export"
# Slices that wait to be assembled, about 250 bytes each. One pane is taken whatever its size: the flow table bounds it.
_MOST_SLICES = 200_000
# A flow silent for this much longer than the longest idle timeout has lost its meter, or its end was lost on the way.
_SILENCE_MARGIN_SECONDS = 60.0


class FlowExports:
    """The exporters of one daemon, begun anew one by one when their configuration changes."""

    def __init__(
        self,
        *,
        state_dir: Path,
        free_space_floor: int,
        supervise: Supervise,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        discards: Discards,
        most_slices: int = _MOST_SLICES,
    ) -> None:
        self._state_dir, self._free_space_floor = state_dir, free_space_floor
        self._supervise, self._clock = supervise, clock
        self._health, self._metrics, self._discards = health, metrics, discards
        self._most_slices = most_slices
        self._running: dict[str, tuple[FlowExportConfig, ExportingProcess, Supervised]] = {}
        self._tallies: dict[str, ExportTally] = {}
        self._metering: dict[str, MeteringTotals] = {}
        self._assemblies: dict[str, tuple[str, FlowAssembly]] = {}  # by source: its interface too
        self._metering_config, self._workers = MeteringConfig(), 1
        self._assembling: Supervised | None = None
        self._panes: deque[FlowBatch] = deque()
        self._slices = 0
        self._arrived, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    @property
    def processes(self) -> list[ExportingProcess]:
        """One an exporter, in the order of the configuration."""
        return [process for _, process, _ in self._running.values()]

    @property
    def status(self) -> tuple[ExportStatus, ...]:
        """For people."""
        reasons = {reason.component: reason.text for reason in self._health.reasons}
        return tuple(
            ExportStatus(
                name=name,
                kind=config.type,
                state="ok" if process.is_open else "retrying" if _component(name) in reasons else "starting",
                queued=process.queued,
                exported_total=process.tally.flows,
                lost=dict(process.tally.lost),
                last_error=reasons.get(_component(name), ""),
            )
            for name, (config, process, _) in self._running.items()
        )

    def note(self, batches: Sequence[Batch]) -> None:
        """What passed ingest. Never waits."""
        if not self._running:
            return
        for batch in batches:
            if isinstance(batch, FlowBatch):
                self._metering.setdefault(batch.interface, MeteringTotals()).add(batch.loss)
                if len(batch.slices):
                    self._put(batch)

    async def apply(
        self,
        group: asyncio.TaskGroup,
        exports: Sequence[FlowExportConfig],
        *,
        metering: MeteringConfig,
        workers: int = 1,
        deadline: float,
    ) -> None:
        """Export to these from now on; those that are as before are not touched.

        What each source assembles is bounded by the tables that fill it: `workers` of those that `metering` describes.
        A flow that goes on when the first exporter comes is exported as far as it is seen from then on.
        """
        self._metering_config, self._workers = metering, workers
        wanted = {export.name: export for export in exports}
        await self._end([name for name, (config, _, _) in self._running.items() if wanted.get(name) != config], deadline)
        for name, config in wanted.items():
            if name not in self._running:
                self._begin(group, config)
        self._running = {name: self._running[name] for name in wanted}
        if not wanted:
            await self._stop_assembling()
            self._assemblies.clear()
            self._metering.clear()
        elif self._assembling is None:
            self._assembling = self._supervise(STAGE, self._assemble)
            self._assembling.start(group)

    async def stop(self, *, deadline: float) -> None:
        """Assemble what is here, then one last attempt of every exporter, side by side and within `deadline` seconds each."""
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            log.error("slices were still waiting to be assembled", extra={"component": STAGE})
        await self._stop_assembling()
        for interface, assembly in self._assemblies.values():
            records = assembly.finish()
            records["flow_end_reason"] = FlowEndReason.FORCED_END
            self._hand_on(chunks_of(interface, records))
        self._assemblies.clear()
        await self._end(list(self._running), deadline)

    def set_gauges(self) -> None:
        """Bring the metrics up to date."""
        for name, (_, process, _) in self._running.items():
            self._metrics.exported_flows_total.rise_to(process.tally.flows, exporter=name)
            self._metrics.exported_bytes_total.rise_to(process.tally.octets, exporter=name)
            self._metrics.export_queue_flows.set(process.queued, exporter=name)

    def _put(self, batch: FlowBatch) -> None:
        self._panes.append(batch)
        self._slices += len(batch.slices)
        while self._slices > self._most_slices and len(self._panes) > 1:
            oldest = self._panes.popleft()
            self._slices -= len(oldest.slices)
            self._discards.count((oldest,), stage=STAGE, reason="assembly_queue_full")
        self._idle.clear()
        self._arrived.set()

    async def _assemble(self) -> None:
        while True:
            while self._panes:
                batch = self._panes.popleft()
                self._slices -= len(batch.slices)
                if batch.source not in self._assemblies:
                    self._assemblies[batch.source] = (batch.interface, self._assembly())
                _, assembly = self._assemblies[batch.source]
                try:
                    chunks = await asyncio.to_thread(_ended, assembly, batch)
                except BaseException as error:
                    reason = "stopped" if isinstance(error, asyncio.CancelledError) else "not_assembled"
                    self._discards.count((batch,), stage=STAGE, reason=reason)
                    raise
                self._hand_on(chunks)
            self._idle.set()
            await self._arrived.wait()
            self._arrived.clear()

    def _assembly(self) -> FlowAssembly:
        metering = self._metering_config
        timeouts = [metering.idle_timeout, *(each for _, each in metering.idle_timeouts if each is not None)]
        silence = max(timeouts) + _SILENCE_MARGIN_SECONDS
        return FlowAssembly(metering.max_flows * self._workers, max_silence_ns=round(silence * NANOSECONDS_PER_SECOND))

    def _hand_on(self, chunks: list[FlowChunk]) -> None:
        for process in self.processes:
            process.put(chunks)

    async def _stop_assembling(self) -> None:
        assembling, self._assembling = self._assembling, None
        if assembling is not None:
            await assembling.stop(1.0)
        self._discards.count(tuple(self._panes), stage=STAGE, reason="stopped")
        self._panes.clear()
        self._slices = 0
        self._idle.set()

    def _begin(self, group: asyncio.TaskGroup, config: FlowExportConfig) -> None:
        # Kept over a change of the configuration: totals since the start.
        tally = self._tallies.setdefault(config.name, ExportTally(self._lost))
        exporter = build_exporter(
            config,
            clock=self._clock,
            tally=tally,
            metering=self._metering,
            state_dir=self._state_dir,
            free_space_floor=self._free_space_floor,
        )
        process = ExportingProcess(exporter, queue_limit=config.queue_size, tally=tally)
        supervised = self._supervise(_component(config.name), process.run)
        self._running[config.name] = (config, process, supervised)
        supervised.start(group)

    async def _end(self, names: Sequence[str], deadline: float) -> None:
        ending = [(name, *self._running.pop(name)[1:]) for name in names]
        await asyncio.gather(*(supervised.stop(deadline) for _, _, supervised in ending))
        before = [process.tally.lost["stopped"] for _, process, _ in ending]
        results = await asyncio.gather(*(process.drain(deadline) for _, process, _ in ending), return_exceptions=True)
        for (name, process, _), result, stopped_before in zip(ending, results, before, strict=True):
            if isinstance(result, Exception):
                log.error("failed in the last attempt", exc_info=result, extra={"component": _component(name)})
            elif stopped := process.tally.lost["stopped"] - stopped_before:
                log.warning("%d flows had not left when it stopped", stopped, extra={"component": _component(name)})
            self._health.recover(_component(name))

    def _lost(self, flows: int, reason: str) -> None:
        self._discards.count_records(flows, stage=STAGE, reason=reason)


def _component(name: str) -> str:
    return f"{STAGE}:{name}"


def _ended(assembly: FlowAssembly, batch: FlowBatch) -> list[FlowChunk]:
    """Add one pane up; the flows that ended in it. Runs in a thread."""
    return chunks_of(batch.interface, np.ascontiguousarray(assembly.add(batch.slices)))
