"""The collector's metrics, made from how the sensors stand when somebody asks: an alert rule on them is an alarm about silence."""

from collections import Counter
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as Source

from netmote.collector.standing import SensorStanding

_STATES = ("live", "late", "silent", "waiting", "unknown")


def exposition(sensors: Sequence[SensorStanding], *, expired_events: int) -> bytes:
    """Prometheus text format 0.0.4. One series of each a sensor: as many as `max_sensors` at most."""
    registry = CollectorRegistry()
    registry.register(_Standings(sensors, expired_events))
    return generate_latest(registry)


class _Standings(Source):
    def __init__(self, sensors: Sequence[SensorStanding], expired_events: int) -> None:
        self._sensors, self._expired_events = sensors, expired_events

    def collect(self) -> list[Metric]:
        states = Counter(sensor.state for sensor in self._sensors)
        by_state = GaugeMetricFamily("netmote_collector_sensors", "Sensors, by how they are.", labels=("state",))
        for state in _STATES:
            by_state.add_metric((state,), states[state])
        silent = GaugeMetricFamily("netmote_collector_sensor_silent", "1: three heartbeats are missing.", labels=("sensor",))
        missing = GaugeMetricFamily(
            "netmote_collector_sensor_missing_alerts", "Numbers delivered by its books that never came.", labels=("sensor",)
        )
        others = GaugeMetricFamily(
            "netmote_collector_sensor_other_machines", "Further machines that live under its name.", labels=("sensor",)
        )
        received = CounterMetricFamily("netmote_collector_received_events", "Distinct events received.", labels=("sensor",))
        for sensor in self._sensors:
            silent.add_metric((sensor.sensor,), float(sensor.state == "silent"))
            missing.add_metric((sensor.sensor,), sensor.missing_total)
            others.add_metric((sensor.sensor,), len(sensor.also_live))
            received.add_metric((sensor.sensor,), sum(life.events for life in sensor.lives))
        expired = CounterMetricFamily(
            "netmote_collector_expired_events", "Events that made room in the file, since the start.", value=self._expired_events
        )
        return [by_state, silent, missing, others, received, expired]
