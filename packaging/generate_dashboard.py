"""Writes the Grafana dashboard over netmote's metrics: `python packaging/generate_dashboard.py packaging/grafana/netmote.json`.

The table below is the source, the JSON is what Grafana imports. A test compares both, and every metric and label with the code.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

# Selectors: the instances that are chosen, and what else must match.
_ON = '{instance=~"$instance"}'
_JOB = '{instance=~"$instance", job="netmote"}'
_FIRING = '{instance=~"$instance", state="firing"}'
_SILENT = '{instance=~"$instance", state=~"unreachable|snmp_broken"}'


class Panel(NamedTuple):
    """One panel: what is drawn, as (expression, legend)."""

    title: str
    unit: str  # as Grafana names it
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 12  # of 24
    meaning: str = ""


ROWS: dict[str, tuple[Panel, ...]] = {
    "The sensor": (
        Panel("Level", "none", ((f"netmote_degradation_level{_ON}", "{{instance}}"),), "stat", 4, "0 full, 1 rules, 2 collect, 3 ledger"),
        Panel("Reasons", "none", ((f"netmote_degradation_reasons{_ON}", "{{instance}}"),), "stat", 4, "parts that do not do all they could"),
        Panel("Alerts firing", "none", ((f"netmote_alerts{_FIRING}", "{{instance}}"),), "stat", 4),
        Panel("Devices silent", "none", ((f"sum by (instance) (netmote_snmp_devices{_SILENT})", "{{instance}}"),), "stat", 4),
        Panel("Alerts waiting", "none", ((f"sum by (instance) (netmote_outbox_entries{_ON})", "{{instance}}"),), "stat", 4),
        Panel("Version", "none", ((f"netmote_build_info{_ON}", "{{sensor}} {{version}}"),), "stat", 4),
    ),
    "What comes in": (
        Panel("Traffic", "bps", ((f"8 * sum by (instance, collector) (rate(netmote_received_bytes_total{_ON}[$__rate_interval]))", "{{instance}} {{collector}}"),)),
        Panel("Packets", "pps", ((f"sum by (instance, collector) (rate(netmote_received_packets_total{_ON}[$__rate_interval]))", "{{instance}} {{collector}}"),)),
        Panel("Packets lost", "pps", ((f"sum by (instance, collector, place) (rate(netmote_dropped_packets_total{_ON}[$__rate_interval]))", "{{instance}} {{collector}} {{place}}"),), meaning="before anybody looked at them, by place"),
        Panel("Not decodable", "pps", ((f"sum by (collector, error_type) (rate(netmote_decode_errors_total{_ON}[$__rate_interval]))", "{{collector}} {{error_type}}"),)),
        Panel("Flows held", "none", ((f"netmote_flow_cache_entries{_ON}", "{{instance}} {{collector}}"), (f"sum by (reason) (rate(netmote_flow_cache_evictions_total{_ON}[$__rate_interval]))", "evicted {{reason}}/s"))),
        Panel("Records", "none", ((f"sum by (kind) (rate(netmote_records_total{_ON}[$__rate_interval]))", "{{kind}}/s"), (f"sum by (stage, reason) (rate(netmote_discarded_records_total{_ON}[$__rate_interval]))", "discarded {{stage}} {{reason}}/s"))),
    ),
    "Devices": (
        Panel("Devices by state", "none", ((f"sum by (state) (netmote_snmp_devices{_ON})", "{{state}}"),)),
        Panel("Polls", "none", ((f"sum by (outcome) (rate(netmote_snmp_polls_total{_ON}[$__rate_interval]))", "{{outcome}}/s"),)),
        Panel("A poll takes", "s", tuple((f"histogram_quantile({q}, sum by (le) (rate(netmote_snmp_poll_duration_seconds_bucket{_ON}[$__rate_interval])))", f"p{round(100 * q)}") for q in (0.5, 0.99))),
        Panel("Datagrams not believed, notifications", "none", ((f"sum by (reason) (rate(netmote_snmp_ignored_datagrams_total{_ON}[$__rate_interval]))", "ignored {{reason}}/s"), (f"sum by (kind) (rate(netmote_snmp_notifications_total{_ON}[$__rate_interval]))", "{{kind}}/s"))),
    ),
    "Analysis": (
        Panel("Behind the newest record", "s", ((f"netmote_analysis_lag_seconds{_ON}", "{{instance}}"),)),
        Panel("From a window's close to its alerts durable", "s", tuple((f"histogram_quantile({q}, sum by (le) (rate(netmote_window_close_to_commit_seconds_bucket{_ON}[$__rate_interval])))", f"p{round(100 * q)}") for q in (0.5, 0.99))),
        Panel("Windows", "none", ((f"sum by (schema, quality) (rate(netmote_windows_total{_ON}[$__rate_interval]))", "{{schema}} {{quality}}/s"),)),
        Panel("Scoring one batch", "s", ((f"histogram_quantile(0.99, sum by (le, model) (rate(netmote_inference_duration_seconds_bucket{_ON}[$__rate_interval])))", "{{model}} p99"),)),
        Panel("Baselines", "none", ((f"sum by (baseline) (netmote_entities{_ON})", "{{baseline}}"),)),
        Panel("Alerts begun and ended", "none", ((f"sum by (from, to) (increase(netmote_alert_transitions_total{_ON}[1h]))", "{{from}} to {{to}}, per hour"),)),
    ),
    "Delivery": (
        Panel("Alerts waiting", "none", ((f"netmote_outbox_entries{_ON}", "{{instance}} {{sink}}"),)),
        Panel("The oldest waits", "s", ((f"netmote_outbox_oldest_age_seconds{_ON}", "{{instance}} {{sink}}"),)),
        Panel("Attempts", "none", ((f"sum by (sink, outcome) (rate(netmote_delivery_attempts_total{_ON}[$__rate_interval]))", "{{sink}} {{outcome}}/s"),)),
        Panel("Delivered and refused", "none", ((f"sum by (sink) (increase(netmote_delivered_alerts_total{_ON}[1h]))", "{{sink}}, per hour"), (f"sum by (sink) (increase(netmote_quarantined_alerts_total{_ON}[1h]))", "{{sink}} refused, per hour"))),
        Panel("Flows exported", "none", ((f"sum by (exporter) (rate(netmote_exported_flows_total{_ON}[$__rate_interval]))", "{{exporter}}/s"), (f"netmote_export_queue_flows{_ON}", "{{exporter}} waiting"))),
    ),
    "The machine": (
        Panel("Memory", "bytes", ((f"process_resident_memory_bytes{_JOB}", "{{instance}}"),)),
        Panel("CPU, cores", "none", ((f"rate(process_cpu_seconds_total{_JOB}[$__rate_interval])", "{{instance}}"),)),
        Panel("Open descriptors", "none", ((f"process_open_fds{_JOB}", "{{instance}}"),)),
        Panel("Event loop late", "s", ((f"histogram_quantile(0.99, sum by (instance, le) (rate(netmote_event_loop_lag_seconds_bucket{_ON}[$__rate_interval])))", "{{instance}} p99"), (f"netmote_event_loop_lag_max_seconds{_ON}", "{{instance}} longest"))),
        Panel("Store", "bytes", ((f"netmote_store_size_bytes{_ON}", "{{instance}} {{file}}"), (f"netmote_store_free_bytes{_ON}", "{{instance}} free"))),
        Panel("A transaction takes", "s", ((f"histogram_quantile(0.99, sum by (le, file) (rate(netmote_store_write_duration_seconds_bucket{_ON}[$__rate_interval])))", "{{file}} p99"),)),
        Panel("Waiting between legs", "none", ((f"netmote_queue_entries{_ON}", "{{instance}} {{queue}}"),)),
        Panel("Restarts of components", "none", ((f"sum by (component) (increase(netmote_component_restarts_total{_ON}[1h]))", "{{component}}, per hour"),)),
    ),
}  # fmt: skip

_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    """The document that Grafana imports (schema version 36 and later)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "type": "row",
                "title": title,
                "id": len(panels) + 1,
                "collapsed": False,
                "gridPos": _place(0, y, 24, 1),
                "panels": [],
            }
        )
        y, x = y + 1, 0
        height = 4 if row[0].kind == "stat" else 8
        for panel in row:
            if x + panel.width > 24:
                x, y = 0, y + height
            panels.append(_panel(panel, len(panels) + 1, _place(x, y, panel.width, height)))
            x += panel.width
        y += height
    return {
        "title": "netmote",
        "uid": "netmote",
        "description": "Sensors of netmote: what comes in, what is lost, what was found, and how the sensors are.",
        "tags": ["netmote"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source_variable(), _instance_variable()]},
        "panels": panels,
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(65 + n), "datasource": _SOURCE, "expr": expression, "legendFormat": legend, "instant": panel.kind == "stat"}
        for n, (expression, legend) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto", "colorMode": "value"}
        if panel.title not in ("Version", "Alerts firing"):
            steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
            defaults |= {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}
        if panel.title == "Version":
            options["textMode"] = "name"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "id": number,
        "gridPos": place,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}, "hide": 0}


def _instance_variable() -> dict[str, Any]:
    query = "label_values(netmote_build_info, instance)"
    return {
        "name": "instance",
        "label": "Sensor",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "instances"},
        "definition": query,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def text() -> str:
    """The JSON as it is kept."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
