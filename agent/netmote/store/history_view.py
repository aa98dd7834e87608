"""What a span of time looked like, in a few hundred points: sums per interval over the roll-ups and records, for `netmote report`.

Synchronous, read-only, one connection a file at a time, whether the daemon runs or not. A file that cannot be read is named and left out.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from netmote.store import catalog
from netmote.store.catalog import log_of
from netmote.store.connection import connect_reader
from netmote.store.telemetry_schema import MINUTE_NS

# Rows of a minute belong to the interval that holds its begin.
_TRAFFIC = """
SELECT t.value, m.minute_ns / :step * :step, sum(m.octets), sum(m.packets), sum(m.dropped_packets)
FROM flow_minute m JOIN text t ON t.text_id = m.source_id
WHERE m.minute_ns >= :begin AND m.minute_ns < :end GROUP BY 1, 2
"""
_PORTS = """
SELECT e.name, sum(m.receive_octets), sum(m.transmit_octets), sum(m.intervals), sum(m.invalid_intervals)
FROM interface_minute m JOIN entity e USING(entity_id)
WHERE m.minute_ns >= :begin AND m.minute_ns < :end GROUP BY m.entity_id
"""
# CROSS JOIN keeps SQLite from beginning with the larger table.
_DEVICES = """
SELECT e.name, b.end_ns / :step * :step, count(*), sum(d.is_reachable), total(d.round_trip_ns), count(d.round_trip_ns)
FROM device_record d CROSS JOIN batch b USING(batch_id) JOIN entity e USING(entity_id)
WHERE b.end_ns >= :begin AND b.end_ns < :end GROUP BY b.entity_id, 2
"""
_GAUGES = """
SELECT t.value, b.end_ns / :step * :step, total(g.value), count(g.value)
FROM batch b CROSS JOIN gauge g USING(batch_id) JOIN text t ON t.text_id = g.name_id
WHERE b.kind = 'host' AND b.end_ns >= :begin AND b.end_ns < :end AND t.value IN ({}) GROUP BY 1, 2
"""


@dataclass(slots=True)
class Traffic:
    """One captured source in one interval."""

    octets: int = 0
    packets: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Polls:
    """One device in one interval, or in all."""

    polls: int = 0
    answered: int = 0
    round_trips: int = 0
    round_trip_ns: float = 0.0  # their sum


@dataclass(slots=True)
class PortTotals:
    """One port over the whole span."""

    receive_octets: int = 0
    transmit_octets: int = 0
    intervals: int = 0
    invalid_intervals: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """Sums by name and by the begin of each interval (nanoseconds UTC, multiples of `step_ns`). An interval without rows is absent."""

    begin_ns: int
    end_ns: int
    step_ns: int
    traffic: Mapping[str, Mapping[int, Traffic]] = field(default_factory=dict)
    devices: Mapping[str, Mapping[int, Polls]] = field(default_factory=dict)
    ports: Mapping[str, PortTotals] = field(default_factory=dict)
    gauges: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # means
    unread: tuple[str, ...] = ()  # file: why


def read_history(state_dir: Path, begin_ns: int, end_ns: int, *, step_ns: int, gauges: Iterable[str]) -> History:
    """Sums of the telemetry between two instants of event time. `step_ns` is at least a minute: the roll-ups know no finer."""
    if step_ns < MINUTE_NS:
        raise ValueError(f"an interval is at least {MINUTE_NS} ns")
    sums = _Sums(tuple(gauges), {"begin": begin_ns, "end": end_ns, "step": step_ns})
    unread: list[str] = []
    for path in catalog.telemetry_paths(state_dir):
        try:
            with closing(connect_reader(path, immutable=not log_of(path).exists())) as connection:
                file = catalog.describe_open(connection, path)
                if file is not None and file.first_start_ns < end_ns and file.last_end_ns >= begin_ns:
                    sums.add(connection)
        except FileNotFoundError:  # retention was quicker
            continue
        except sqlite3.Error as error:
            unread.append(f"{path.name}: {error}")
    means = {name: {at: total / count for at, (total, count) in points.items()} for name, points in sums.gauges.items()}
    return History(begin_ns, end_ns, step_ns, sums.traffic, sums.devices, sums.ports, means, tuple(unread))


class _Sums:
    """Adds up file after file."""

    def __init__(self, gauges: tuple[str, ...], span: dict[str, int]) -> None:
        self._names, self._span = gauges, span
        self.traffic: dict[str, dict[int, Traffic]] = defaultdict(lambda: defaultdict(Traffic))
        self.devices: dict[str, dict[int, Polls]] = defaultdict(lambda: defaultdict(Polls))
        self.ports: dict[str, PortTotals] = defaultdict(PortTotals)
        self.gauges: dict[str, dict[int, tuple[float, int]]] = defaultdict(dict)

    def add(self, connection: sqlite3.Connection) -> None:
        for source, at, octets, packets, dropped in connection.execute(_TRAFFIC, self._span):
            traffic = self.traffic[source][at]
            traffic.octets += octets
            traffic.packets += packets
            traffic.dropped += dropped
        for name, at, polls, answered, total, counted in connection.execute(_DEVICES, self._span):
            device = self.devices[name][at]
            device.polls += polls
            device.answered += answered
            device.round_trip_ns += total
            device.round_trips += counted
        for name, receive, transmit, intervals, invalid in connection.execute(_PORTS, self._span):
            port = self.ports[name]
            port.receive_octets += receive
            port.transmit_octets += transmit
            port.intervals += intervals
            port.invalid_intervals += invalid
        named = {f"gauge{number}": name for number, name in enumerate(self._names)}
        query = _GAUGES.format(", ".join(f":{key}" for key in named))
        for name, at, total, counted in connection.execute(query, self._span | named):
            before, known = self.gauges[name].get(at, (0.0, 0))
            if counted:
                self.gauges[name][at] = (before + total, known + counted)
