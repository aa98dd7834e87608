"""The device lane: poll cycles and port counters of each device in, its 12 features out."""

import numpy as np
from numpy.typing import NDArray

from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity
from netmote.records.interface import AdminStatus, InterfaceBatch, OperStatus
from netmote.windows.interface_features import PortRates, interface_features, port_rates, ports_watermark
from netmote.windows.lane import Feeds, Rows
from netmote.windows.schema import FeatureSchema
from netmote.windows.timeline import Span, Timeline, covered_ns
from netmote.windows.vector import Quality

# A poll cycle speaks for the time since the one before it, unless that was longer ago than this.
LONGEST_POLL_INTERVAL_NS = 300_000_000_000

_OPER_DOWN = (OperStatus.DOWN, OperStatus.LOWER_LAYER_DOWN)


class DeviceWindows:
    """Device features over the windows of one schema."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        self._polls: Timeline[DeviceRecord] = Timeline()
        self._ports: Timeline[InterfaceBatch] = Timeline()
        self._last_end_ns: dict[Entity, int] = {}  # one a configured device

    def feeds(self, batch: Batch) -> Feeds:
        if isinstance(batch, InterfaceBatch):
            return ((f"{batch.source} ports", batch.end_ns),)
        if isinstance(batch, DeviceRecord):
            return (f"{batch.source} polls", batch.end_ns), (f"{batch.source} ports", ports_watermark(batch))
        return ()

    def add(self, batch: Batch) -> None:
        if isinstance(batch, InterfaceBatch):
            self._ports.add(batch.start_ns, batch.end_ns, batch.source, batch)
        elif isinstance(batch, DeviceRecord):
            before = self._last_end_ns.get(batch.device, batch.start_ns)
            is_near = 0 <= batch.end_ns - before <= LONGEST_POLL_INTERVAL_NS
            self._polls.add(min(before, batch.start_ns) if is_near else batch.start_ns, batch.end_ns, batch.source, batch)
            self._last_end_ns[batch.device] = max(before, batch.end_ns)

    def earliest_after(self, instant_ns: int) -> int | None:
        starts = (self._polls.earliest_after(instant_ns), self._ports.earliest_after(instant_ns))
        return min((start for start in starts if start is not None), default=None)

    def close(self, start_ns: int, end_ns: int) -> Rows:
        polls = self._polls.within(start_ns, end_ns)
        ports = self._ports.within(start_ns, end_ns)
        devices = tuple(sorted({span.item.device for span in polls} | {span.item.device for span in ports}))
        values = np.zeros((len(devices), len(self.schema)))
        present = np.zeros(values.shape, np.bool_)
        position = {device: row for row, device in enumerate(devices)}
        rates = port_rates(ports, start_ns, end_ns)
        owner = np.array([position[device] for device in rates.owner], np.int64)
        columns = self.schema.index

        def put(row: int, name: str, value: float | None) -> None:
            if value is not None:
                values[row, columns[name]], present[row, columns[name]] = value, True

        for device, row in position.items():
            for name, value in _of_polls([span.item for span in polls if span.item.device == device]).items():
                put(row, name, value)
            for name, value in _of_status(
                [span.item for span in ports if span.item.device == device and span.end_ns <= end_ns]
            ).items():
                put(row, name, value)
        for name, (column, has) in _of_ports(rates, owner, len(devices)).items():
            values[:, columns[name]], present[:, columns[name]] = np.where(has, column, 0.0), has
        coverage = np.array([_coverage(device, polls, ports, start_ns, end_ns) for device in devices])
        is_broken = np.bincount(owner[rates.is_broken], minlength=len(devices)) > 0
        quality = np.where(is_broken, np.uint8(Quality.DISCONTINUITY), np.uint8(0))
        return Rows(devices, values, present, coverage, quality, np.zeros(len(devices)))

    def forget(self, before_ns: int) -> None:
        self._polls.forget(before_ns)
        self._ports.forget(before_ns)

    def rebase(self) -> None:
        self._polls, self._ports = Timeline(), Timeline()
        self._last_end_ns.clear()


def _of_polls(records: list[DeviceRecord]) -> dict[str, float | None]:
    """From the poll cycles of one device, oldest first."""
    if not records:
        return {}
    trips = [record.round_trip_ns for record in records if record.round_trip_ns is not None]
    requests = sum(record.requests for record in records)
    up_times = [record.sys_up_time for record in records if record.sys_up_time is not None]
    return {
        "reachable_ratio": sum(record.is_reachable for record in records) / len(records),
        "round_trip_seconds": sum(trips) / len(trips) / 1e9 if trips else None,
        "timeout_ratio": sum(record.timeouts for record in records) / requests if requests else None,
        "sys_up_time_seconds": up_times[-1] / 100.0 if up_times else None,  # TimeTicks, RFC 2578 section 7.1.8
    }


def _of_status(batches: list[InterfaceBatch]) -> dict[str, float | None]:
    """From the last poll of one device's ports that had ended by the end of the window."""
    if not batches:
        return {}
    # A device's ports may come in several batches of the same poll.
    last = [batch for batch in batches if batch.end_ns == batches[-1].end_ns]
    is_up = sum(int((batch.if_oper_status == OperStatus.UP).sum()) for batch in last)
    is_down = sum(
        int(((batch.if_admin_status == AdminStatus.UP) & np.isin(batch.if_oper_status, _OPER_DOWN)).sum()) for batch in last
    )
    return {"ports_up": float(is_up), "ports_down": float(is_down)}


def _of_ports(rates: PortRates, owner: NDArray[np.int64], count: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """From the rates of all ports: sums by device; bincount adds in the order of the ports' names."""
    features = interface_features(rates)

    def summed(*names: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        total, has = np.zeros(count), np.zeros(count, np.bool_)
        for name in names:
            value, present = features[name]
            total += np.bincount(owner[present], weights=value[present], minlength=count)
            has |= np.bincount(owner[present], minlength=count) > 0
        return total, has

    busiest, has_speed = np.zeros(count), np.zeros(count, np.bool_)
    utilization, present = features["utilization_ratio"]
    np.maximum.at(busiest, owner[present], utilization[present])
    has_speed[owner[present]] = True
    cells = np.bincount(owner, weights=rates.all_cells, minlength=count)
    invalid = np.bincount(owner, weights=rates.invalid_cells, minlength=count)
    return {
        "in_octets_per_second": summed("in_octets_per_second"),
        "out_octets_per_second": summed("out_octets_per_second"),
        "errors_per_second": summed("errors_per_second"),
        "discards_per_second": summed("in_discards_per_second", "out_discards_per_second"),
        "utilization_ratio": (busiest, has_speed),
        "invalid_ratio": (invalid / np.maximum(cells, 1), cells > 0),
    }


def _coverage(
    device: Entity, polls: list[Span[DeviceRecord]], ports: list[Span[InterfaceBatch]], start_ns: int, end_ns: int
) -> float:
    """Share of the window that its poll cycles speak for; of a machine that is not polled, its port intervals."""
    own = [(span.start_ns, span.end_ns) for span in polls if span.item.device == device]
    own = own or [(span.start_ns, span.end_ns) for span in ports if span.item.device == device]
    return covered_ns(own, start_ns, end_ns) / (end_ns - start_ns)
