"""Every metric of the agent, by name. One object, one registry of its own; nothing global.

An attribute has the name of its metric without the prefix `netmote_`. Counting happens where the thing happens; gauges are
set by whoever owns the value, at the latest by a function given to `before_render`.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from netmote.telemetry.health import Level
from netmote.telemetry.metric_family import CounterFamily, Described, GaugeFamily, HistogramFamily

# Seconds. Fast things (a model, a commit) and slow ones (a poll of a device) share the decades.
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The agent's metrics. Safe from any thread."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4
    """Media type of `render`: the text format 0.0.4 that every scraper reads."""

    def __init__(self, *, version: str = "", sensor: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which the text format has no use for
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)  # process_resident_memory_bytes, process_open_fds ...
        self._before_render: list[Callable[[], None]] = []
        self._lag_max = 0.0
        self._collecting()
        self._storing()
        self._analysing()
        self._delivering()
        self._running()
        self.build_info.set(1, version=version, sensor=sensor)
        self.degradation_level.set(0)

    def catalogue(self) -> tuple[Described, ...]:
        """Every metric of the agent by name, for its reference. Those of the process are prometheus_client's own."""
        families = (each for each in vars(self).values() if isinstance(each, CounterFamily | GaugeFamily | HistogramFamily))
        return tuple(sorted((family.described for family in families), key=lambda each: each.name))

    def before_render(self, refresh: Callable[[], None]) -> None:
        """Call this before each rendering, to set gauges that are only worth computing when somebody looks."""
        self._before_render.append(refresh)

    def refresh(self) -> None:
        """Call what was given to `before_render`, in the caller's thread."""
        for refresh in self._before_render:
            refresh()

    def exposition(self) -> bytes:
        """The metrics as they stand, UTF-8, of media type `content_type`. Takes some milliseconds; fit for a worker thread."""
        return generate_latest(self.registry)

    def render(self) -> bytes:
        """Refresh, then the exposition."""
        self.refresh()
        return self.exposition()

    def observe_loop_lag(self, seconds: float) -> None:
        """Count one measured delay of the event loop, and keep the longest."""
        self._lag_max = max(self._lag_max, seconds)
        self.event_loop_lag_seconds.observe(seconds)
        self.event_loop_lag_max_seconds.set(self._lag_max)

    def show_level(self, level: Level) -> None:
        """Set the degradation level."""
        self.degradation_level.set(level.depth)

    def _counter(self, name: str, documentation: str, *labels: str) -> CounterFamily:
        return CounterFamily(self.registry, f"netmote_{name}", documentation, labels)

    def _gauge(self, name: str, documentation: str, *labels: str) -> GaugeFamily:
        return GaugeFamily(self.registry, f"netmote_{name}", documentation, labels)

    def _histogram(self, name: str, documentation: str, *labels: str, buckets: tuple[float, ...] = _FAST) -> HistogramFamily:
        return HistogramFamily(self.registry, f"netmote_{name}", documentation, labels, buckets=buckets)

    def _collecting(self) -> None:
        self.received_packets_total = self._counter("received_packets_total", "Packets taken from the wire.", "collector")
        self.received_bytes_total = self._counter("received_bytes_total", "Octets of these packets as on the wire.", "collector")
        self.dropped_packets_total = self._counter(
            "dropped_packets_total",
            "Packets lost before they were read: in the interface, in the backlog (softnet), in a full ring, with a worker.",
            "collector",
            "place",
        )
        self.decode_errors_total = self._counter(
            "decode_errors_total", "Packets and varbinds that could not be decoded.", "collector", "error_type"
        )
        self.snmp_polls_total = self._counter("snmp_polls_total", "Polls of devices.", "outcome")
        self.snmp_poll_duration_seconds = self._histogram(
            "snmp_poll_duration_seconds", "How long a poll of one device took.", buckets=_SLOW
        )
        self.snmp_devices = self._gauge("snmp_devices", "Configured devices.", "state")
        self.snmp_ignored_datagrams_total = self._counter(
            "snmp_ignored_datagrams_total", "Datagrams from devices that were not believed, or lost on this machine.", "reason"
        )
        self.snmp_engine_changes_total = self._counter(
            "snmp_engine_changes_total",
            "SNMPv3 engines followed on their own authenticated word: forward, clock_back, boots_back, engine_replaced.",
            "change",
        )
        self.snmp_notifications_total = self._counter(
            "snmp_notifications_total", "Traps and informs of polled devices, passed on.", "kind"
        )
        self.snmp_dropped_notifications_total = self._counter(
            "snmp_dropped_notifications_total", "What came for notifications and went no further.", "reason"
        )
        self.flow_cache_entries = self._gauge("flow_cache_entries", "Flows held now.", "collector")
        self.flow_cache_evictions_total = self._counter(
            "flow_cache_evictions_total", "Flows ended or refused because the table was full.", "reason"
        )
        self.evidence_requests_total = self._counter(
            "evidence_requests_total", "Alert revisions whose packets were asked for, by what became of it.", "outcome"
        )
        self.evidence_packets_left_out_total = self._counter(
            "evidence_packets_left_out_total", "Packets of evidence beyond the bound of its file."
        )
        self.evidence_files_removed_total = self._counter("evidence_files_removed_total", "Evidence removed: age or room.")
        self.records_total = self._counter("records_total", "Records handed on by collectors.", "kind")
        self.discarded_records_total = self._counter(
            "discarded_records_total",
            "Records that went no further, by place and reason; intentional: by policy.",
            "stage",
            "reason",
            "intentional",
        )

    def _storing(self) -> None:
        self.store_write_duration_seconds = self._histogram(
            "store_write_duration_seconds", "Transactions, from hand-over to commit.", "file"
        )
        self.store_written_bytes_total = self._counter(
            "store_written_bytes_total", "Bytes written to the disk by transactions, in logs and files.", "file"
        )
        self.expired_alerts_total = self._counter(
            "expired_alerts_total",
            "Alert revisions that left the ledger (age: every sink was done with them; room) or were given up for a sink (queued_age).",
            "reason",
        )
        self.store_size_bytes = self._gauge("store_size_bytes", "Size of the database files.", "file")
        self.store_wal_size_bytes = self._gauge("store_wal_size_bytes", "Size of the write-ahead logs.", "file")
        self.store_free_bytes = self._gauge("store_free_bytes", "Free space on the state directory's filesystem.")
        self.store_errors_total = self._counter("store_errors_total", "Transactions that failed.", "file", "error_type")

    def _analysing(self) -> None:
        self.late_records_total = self._counter("late_records_total", "Records after their window had closed.", "source")
        self.analysis_lag_seconds = self._gauge(
            "analysis_lag_seconds", "How far analysis lies behind the newest record, in event time."
        )
        self.windows_total = self._counter("windows_total", "Windows closed.", "schema", "quality")
        self.inference_duration_seconds = self._histogram(
            "inference_duration_seconds", "Scoring one batch of vectors by a model.", "model"
        )
        self.window_close_to_commit_seconds = self._histogram(
            "window_close_to_commit_seconds", "From a window's close to its alerts being durable."
        )
        self.scores_total = self._counter("scores_total", "Scores computed.", "detector", "verdict")
        self.alerts = self._gauge("alerts", "Alerts now.", "state")
        self.alert_transitions_total = self._counter("alert_transitions_total", "Changes of state.", "from", "to")
        self.models = self._gauge("models", "Model bundles.", "state")
        self.entities = self._gauge("entities", "Watched things, by how far their baseline is.", "baseline")

    def _delivering(self) -> None:
        self.outbox_entries = self._gauge("outbox_entries", "Alert revisions not yet accepted upstream.", "sink")
        self.outbox_oldest_age_seconds = self._gauge(
            "outbox_oldest_age_seconds", "Age of the oldest of them since its commit; 0 when there is none.", "sink"
        )
        self.delivery_attempts_total = self._counter("delivery_attempts_total", "Batches handed to sinks.", "sink", "outcome")
        self.delivered_alerts_total = self._counter("delivered_alerts_total", "Alert revisions accepted upstream.", "sink")
        self.quarantined_alerts_total = self._counter(
            "quarantined_alerts_total", "Alert revisions refused for ever upstream.", "sink"
        )
        self.certificate_expiry_timestamp_seconds = self._gauge(
            "certificate_expiry_timestamp_seconds",
            "When the first certificate that ends does: client (this sensor's), authority.",
            "sink",
            "certificate",
        )
        self.delivery_duration_seconds = self._histogram(
            "delivery_duration_seconds", "One attempt, whatever its outcome.", "sink", buckets=_SLOW
        )
        self.heartbeats_total = self._counter(
            "heartbeats_total",
            "Signs of life, by what became of them: sent, failed, superseded by the next before they could leave.",
            "sink",
            "outcome",
        )

        self.exported_flows_total = self._counter("exported_flows_total", "Flow records that left as IPFIX or EVE.", "exporter")
        self.exported_bytes_total = self._counter(
            "exported_bytes_total", "Bytes of the messages or lines they left in.", "exporter"
        )
        self.export_queue_flows = self._gauge("export_queue_flows", "Flow records that wait to leave.", "exporter")

    def _running(self) -> None:
        self.event_loop_lag_seconds = self._histogram("event_loop_lag_seconds", "Delay of the event loop, sampled.")
        self.event_loop_lag_max_seconds = self._gauge("event_loop_lag_max_seconds", "The longest of these since the start.")
        self.event_loop_tasks = self._gauge("event_loop_tasks", "Tasks of the event loop: bounded by what is configured.")
        self.queue_entries = self._gauge("queue_entries", "Batches waiting between legs.", "queue")
        self.component_restarts_total = self._counter("component_restarts_total", "Restarts after a bug.", "component")
        self.log_lines_held_back_total = self._counter("log_lines_held_back_total", "Log lines not written: too many alike.")
        self.degradation_level = self._gauge("degradation_level", "0 full, 1 rules, 2 collect, 3 ledger.")
        self.degradation_reasons = self._gauge("degradation_reasons", "Components that do not do all they could.")
        self.live_readers = self._gauge("live_readers", "Readers that follow the live stream now.")
        self.live_readers_dropped_total = self._counter(
            "live_readers_dropped_total", "Readers of the live stream that were too slow and were dropped."
        )
        self.config_reloads_total = self._counter("config_reloads_total", "Reloads of the configuration.", "outcome")
        self.build_info = self._gauge("build_info", "Always 1.", "version", "sensor")
