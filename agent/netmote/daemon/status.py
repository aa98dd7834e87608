"""The survey: gathers what the agent shows of itself. What must be asked of the store is asked every few seconds, not by the viewer."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Literal

import psutil

from netmote import __version__
from netmote.alerts.alert import AlertState, Committed
from netmote.alerts.summary import summary_of
from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.daemon.model_policy import passed_with
from netmote.daemon.tallies import Tallies
from netmote.models.graph_detector import GraphDetector
from netmote.models.run_times import RunTimes
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.shadow_trial import TrialStatus
from netmote.store.store import SinkOutbox, StoreStatistics
from netmote.telemetry.snapshot import (
    DeviceStatus,
    InputStatus,
    LearningStatus,
    LegStatus,
    ModelStatus,
    SinkStatus,
    Snapshot,
    StoreStatus,
)

if TYPE_CHECKING:
    from netmote.daemon.lifecycle import Daemon

_REFRESH_SECONDS = 2.0
_ALERTS_SHOWN = 50
# A leg that has not turned for this long is dead: the slowest turn is a commit that waits for a full disk.
_LEG_DEAD_SECONDS = 60.0


class Survey:
    """Looks at one daemon. `snapshot` is quick: it computes from what was last gathered."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self.tallies = Tallies(daemon.metrics)
        self._recent: list[Committed] = []
        self._firing = 0
        self._outbox: dict[str, SinkOutbox] = {}
        self._store: StoreStatistics | None = None
        self._progress: dict[str, tuple[int, float]] = {}
        self._timed: dict[str, tuple[RunTimes, int]] = {}  # by model: its run times, and how many of them were observed
        self._process = psutil.Process()
        self._alerts_changed = True
        daemon.metrics.before_render(self._set_gauges)

    def note(self, batches: tuple[Batch, ...]) -> None:
        """Count what passes from ingest to analysis."""
        for batch in batches:
            self.tallies.note(batch)

    def note_alerts(self, rows: list[Committed]) -> None:
        """Count what was committed; the list is read anew at the next turn."""
        self._alerts_changed = True
        for row in rows:
            before = AlertState.FIRING if row.alert.revision > 1 else AlertState.INACTIVE
            self._daemon.metrics.alert_transitions_total.inc(1, **{"from": before.value, "to": row.alert.state.value})

    def note_store(self, statistics: StoreStatistics) -> None:
        """Keep the latest figures of the disk."""
        self._store = statistics

    async def run(self) -> None:
        """Gather until cancelled."""
        while True:
            await self.refresh()
            self._daemon.notify.status(self.headline())
            await asyncio.sleep(_REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Ask the store and the models now."""
        self._observe_runs()
        self._outbox = {each.sink: each for each in await self._daemon.store.outbox()}
        if self._alerts_changed:
            self._alerts_changed = False
            self._recent = await self._daemon.store.recent_alerts(limit=_ALERTS_SHOWN)
            self._firing = len(await self._daemon.store.active_alerts())

    def headline(self) -> str:
        """One line for people: the level and the first reason."""
        health = self._daemon.health
        reasons = health.reasons
        said = f"{health.level.value}: {self._firing} alerts firing"
        return said + (f"; {reasons[0].component}: {reasons[0].text}" if reasons else "")

    def snapshot(self) -> Snapshot:
        """Everything, at this moment."""
        daemon = self._daemon
        now_ns = daemon.clock.now_ns()
        alerts = sorted(self._recent, key=lambda row: row.alert.state is not AlertState.FIRING)
        return Snapshot(
            taken_at_ns=now_ns,
            sensor=daemon.sensor,
            version=__version__,
            level=daemon.health.level,
            started_at_ns=daemon.started_at_ns,
            reasons=daemon.health.reasons,
            legs=self._legs(),
            inputs=self._inputs(now_ns),
            devices=self._devices(),
            interfaces=self.tallies.ports.get(Entity(EntityKind.DEVICE, daemon.sensor), ()),
            drops=self.drops(),
            models=self._models(),
            learning=self._learning(),
            alerts=tuple(summary_of(row.alert) for row in alerts),
            alerts_firing=self._firing,
            sinks=tuple(self._sinks()),
            exports=daemon.flow_exports.status,
            store=self._store_status(),
            memory_rss_bytes=self._process.memory_info().rss,
        )

    def _legs(self) -> tuple[LegStatus, ...]:
        daemon, now = self._daemon, self._daemon.clock.monotonic()
        turns = {"ingest": daemon.ingest.batches, "analysis": daemon.analyse.progress, "delivery": len(self._outbox)}
        legs = []
        for name, count in turns.items():
            seen, at = self._progress.get(name, (-1, now))
            if count != seen:
                at = now
                self._progress[name] = (count, at)
            # Ingest and delivery may rightly have nothing to do; analysis turns every second.
            # One that is paused for work on what is stored is no longer among the legs, and not dead.
            is_alive = name != "analysis" or now - at < _LEG_DEAD_SECONDS or name not in daemon.legs
            legs.append(LegStatus(name, is_alive, now - at))
        return tuple(legs)

    def _inputs(self, now_ns: int) -> tuple[InputStatus, ...]:
        daemon = self._daemon
        reasons = {reason.component: reason.text for reason in daemon.health.reasons}
        inputs = []
        for observation in daemon.collectors.observations:
            tally = self.tallies.sources.get(observation.source)
            inputs.append(
                InputStatus(
                    name=observation.interface,
                    kind="capture",
                    state="running" if observation.has_ring else "failed" if observation.source in reasons else "starting",
                    lag_seconds=_age(now_ns, tally.last_end_ns) if tally and tally.last_end_ns else None,
                    rate=tally.rate if tally else None,
                    received_total=tally.received if tally else 0,
                    dropped=dict(tally.dropped) if tally else {},
                    reason=reasons.get(observation.source, ""),
                )
            )
        if "capture" in reasons:
            inputs.append(InputStatus(name="capture", kind="capture", state="failed", reason=reasons["capture"]))
        polled = [tally for source, tally in self.tallies.sources.items() if source.startswith("snmp:")]
        if daemon.config.snmp.targets:
            inputs.append(_summed("snmp", polled, now_ns, reasons.get("snmp", "")))
        host = self.tallies.sources.get("host")
        inputs.append(_summed("host", [host] if host else [], now_ns, reasons.get("host", "")))
        return tuple(inputs)

    def _devices(self) -> tuple[DeviceStatus, ...]:
        devices = []
        for target in self._daemon.config.snmp.targets:
            device = Entity(EntityKind.DEVICE, target.name)
            record = self.tallies.devices.get(device)
            status = self._daemon.collectors.snmp_status(target.name)
            devices.append(
                DeviceStatus(
                    name=target.name,
                    address=target.address if target.port == 161 else f"{target.address}:{target.port}",
                    state=status.state if status else "unknown",
                    last_answer_ns=self.tallies.last_answer_ns.get(device),
                    poll_seconds=_age(record.end_ns, record.start_ns) if record else None,
                    interval_seconds=target.interval or self._daemon.config.snmp.interval,
                    reason=status.reason if status else "",
                    interfaces=self.tallies.ports.get(device, ()),
                    backend=status.backend if status else "",
                    fallback_reason=status.fallback_reason if status else "",
                    quirks=status.quirks if status else (),
                    timeout_seconds=status.timeout_seconds if status else None,
                    identity=status.identity if status else "",
                )
            )
        return tuple(devices)

    def drops(self) -> dict[str, int]:
        """What went no further since the start, by `stage/reason`; only what is not zero."""
        drops: Counter[str] = Counter()
        for source, tally in self.tallies.sources.items():
            stage = source.partition(":")[0]
            for reason, count in tally.dropped.items():
                drops[f"{stage}/{reason}"] += count
        drops.update(self._daemon.discards.totals)
        drops.update({f"snmp/{reason}": count for reason, count in self._daemon.collectors.snmp_ignored().items()})
        dropped = self._daemon.collectors.snmp_notifications_dropped()
        drops.update({f"snmp_notifications/{reason}": count for reason, count in dropped.items()})
        for observation in self._daemon.collectors.observations:
            neighbours = observation.neighbours
            drops["neighbours/no_room"] += neighbours.addresses_refused
            drops["neighbours/too_many_in_a_second"] += neighbours.claims_passed_over
        view = self._daemon.analyse.view
        for source, count in view.dropped_records.items():
            drops[f"windows/too_late:{source}"] += count
        for reason, count in view.refusals.items():
            if count:
                drops[f"windows/{reason}"] += count
        return dict(sorted((+drops).items()))

    def _learning(self) -> LearningStatus:
        detectors = self._daemon.analyse.view.detectors
        return LearningStatus(
            cold=sum(each.cold for each in detectors),
            learning=sum(each.learning for each in detectors),
            armed=sum(each.armed for each in detectors),
        )

    def _run_times(self) -> dict[str, RunTimes]:
        detectors = self._daemon.analyse.analysis.detectors
        return {each.name: each.run_times for each in detectors if isinstance(each, GraphDetector)}

    def _observe_runs(self) -> None:
        """Bring what models took since the last look into the histogram. At each turn, so none is gone from the times that are kept."""
        current = self._run_times()
        known = {name: (times, 0) for name, times in current.items()}
        for name, (times, seen) in (known | self._timed).items():
            durations, total = times.after(seen)
            for seconds in durations.tolist():
                self._daemon.metrics.inference_duration_seconds.observe(seconds, model=name)
            if current.get(name) is times:
                known[name] = (times, total)
        self._timed = known

    def _models(self) -> tuple[ModelStatus, ...]:
        failures = self._daemon.analyse.view.failures
        run_times = self._run_times()
        trials = {trial.name: _in_words(trial) for trial in self._daemon.analyse.view.trials}
        models = []
        for bundle in self._daemon.bundles:
            state: Literal["active", "shadow", "refused", "idle"] = "idle" if bundle.state == "standby" else bundle.state
            reason = trials.get(bundle.name, "its trial begins") if state == "shadow" else bundle.why
            if bundle.state == "active" and bundle.name in failures:
                state, reason = "refused", f"out of use: {failures[bundle.name]}"
            schema = bundle.manifest.feature_schema.name if bundle.manifest else ""
            # Versions share a name; only the active one runs.
            took = run_times[bundle.name].percentiles() if bundle.state == "active" and bundle.name in run_times else None
            p50_ms, p99_ms = (None, None) if took is None else (took[0] * 1e3, took[1] * 1e3)
            models.append(ModelStatus(bundle.name, bundle.version, state, reason, schema, p50_ms, p99_ms))
        return tuple(models)

    def _sinks(self) -> list[SinkStatus]:
        sinks = []
        for deliver in self._daemon.delivers:
            outbox = self._outbox.get(deliver.sink.name)
            sinks.append(
                SinkStatus(
                    name=deliver.sink.name,
                    state="retrying" if deliver.last_error else "ok" if outbox else "starting",
                    queued=outbox.queued if outbox else 0,
                    oldest_age_seconds=outbox.oldest_age_seconds if outbox else None,
                    delivered_total=deliver.delivered,
                    quarantined_total=outbox.quarantined if outbox else 0,
                    last_error=deliver.last_error or "",
                    created_total=outbox.created if outbox else 0,
                    acknowledged_total=outbox.delivered if outbox else 0,
                    expired_total=outbox.expired if outbox else 0,
                    do_books_balance=outbox.holds if outbox else True,
                )
            )
        return sinks

    def _store_status(self) -> StoreStatus:
        statistics, store = self._store, self._daemon.store
        if statistics is None:
            return StoreStatus(ledger_epoch=store.ledger_epoch)
        return StoreStatus(
            ledger_bytes=statistics.ledger_bytes,
            telemetry_bytes=statistics.telemetry_bytes,
            free_bytes=statistics.free_bytes,
            days_left=statistics.days_left,
            written_per_day=statistics.written_per_day,
            last_seq=max((row.seq for row in self._recent), default=0),
            ledger_epoch=store.ledger_epoch,
        )

    def _set_gauges(self) -> None:
        daemon, metrics = self._daemon, self._daemon.metrics
        self._observe_runs()
        metrics.show_level(daemon.health.level)
        metrics.degradation_reasons.set(len(daemon.health.reasons))
        metrics.analysis_lag_seconds.set(daemon.analyse.lag_seconds)
        metrics.alerts.set(self._firing, state="firing")
        metrics.alerts.set(daemon.analyse.view.pending_alerts, state="pending")
        metrics.queue_entries.set(daemon.ingest.waiting, queue="ingest")
        metrics.queue_entries.set(daemon.analyse.waiting, queue="analysis")
        states = Counter(device.state for device in self._devices())
        for state in ("up", "snmp_broken", "unreachable", "probation", "unknown"):
            metrics.snmp_devices.set(states[state], state=state)
        for reason, count in daemon.collectors.snmp_ignored().items():
            metrics.snmp_ignored_datagrams_total.rise_to(count, reason=reason)
        for kind, count in daemon.collectors.snmp_notifications().items():
            metrics.snmp_notifications_total.rise_to(count, kind=kind)
        for reason, count in daemon.collectors.snmp_notifications_dropped().items():
            metrics.snmp_dropped_notifications_total.rise_to(count, reason=reason)
        for change, count in daemon.collectors.snmp_engine_changes().items():
            metrics.snmp_engine_changes_total.rise_to(count, change=change)
        for observation in daemon.collectors.observations:
            metrics.flow_cache_entries.set(observation.flows_held, collector=observation.source)
        for sink, outbox in self._outbox.items():
            metrics.outbox_entries.set(outbox.queued, sink=sink)
            metrics.outbox_oldest_age_seconds.set(outbox.oldest_age_seconds or 0.0, sink=sink)
        daemon.flow_exports.set_gauges()
        for source, count in daemon.analyse.view.late_records.items():
            metrics.late_records_total.rise_to(count, source=source)
        learning = self._learning()
        for state in ("cold", "learning", "armed"):
            metrics.entities.set(getattr(learning, state), baseline=state)
        for state in ("active", "shadow", "refused"):
            metrics.models.set(sum(bundle.state == state for bundle in daemon.bundles), state=state)
        if self._store is not None:
            self._set_store_gauges(self._store)

    def _set_store_gauges(self, store: StoreStatistics) -> None:
        metrics = self._daemon.metrics
        metrics.store_size_bytes.set(store.ledger_bytes, file="ledger")
        metrics.store_size_bytes.set(store.telemetry_bytes, file="telemetry")
        metrics.store_wal_size_bytes.set(store.wal_bytes, file="all")
        metrics.store_free_bytes.set(store.free_bytes)
        metrics.store_written_bytes_total.rise_to(store.ledger_written_bytes, file="ledger")
        metrics.store_written_bytes_total.rise_to(store.telemetry_written_bytes, file="telemetry")
        for reason, count in (
            ("age", store.expired_alerts),
            ("room", store.expired_for_room),
            ("queued_age", store.expired_queued),
        ):
            metrics.expired_alerts_total.rise_to(count, reason=reason)


def _age(now_ns: int, then_ns: int) -> float:
    return max(0.0, (now_ns - then_ns) / NANOSECONDS_PER_SECOND)


def _summed(name: str, tallies: list, now_ns: int, reason: str) -> InputStatus:  # type: ignore[type-arg]
    dropped: Counter[str] = Counter()
    for tally in tallies:
        dropped.update(tally.dropped)
    newest = max((tally.last_end_ns for tally in tallies), default=0)
    return InputStatus(
        name=name,
        kind="snmp" if name == "snmp" else "host",
        state="degraded" if reason else "running" if newest else "starting",
        lag_seconds=_age(now_ns, newest) if newest else None,
        rate_unit="readings/s",
        received_total=sum(tally.received for tally in tallies),
        dropped=dict(dropped),
        reason=reason,
    )


def _in_words(trial: TrialStatus) -> str:
    return f"out of use: {trial.failure}" if trial.failure else f"tried: {passed_with(trial)}"
