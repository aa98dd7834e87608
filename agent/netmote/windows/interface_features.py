"""The interface lane: differences of IF-MIB counters in, the 12 features of every port out.

An interval that lies only partly within a window counts by its share, so a rate is the average over what was observed of the
window. A counter that is invalid is missing there, never zero; a counter the device lacks (ABSENT) is no fault.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.windows.lane import Feeds, Rows
from netmote.windows.schema import FeatureSchema
from netmote.windows.timeline import Span, Timeline
from netmote.windows.vector import Quality

# The counter did run but cannot be compared across the interval. ABSENT, FIRST, LOST_POLL, MALFORMED and
# NOT_REFRESHED are only not observed.
DISCONTINUITIES = (
    InvalidReason.RESTART,
    InvalidReason.DISCONTINUITY,
    InvalidReason.DECREASED,
    InvalidReason.AMBIGUOUS_WRAP,
    InvalidReason.IMPLAUSIBLE,
    InvalidReason.CLOCK_JUMP,
)

_AT = {name: position for position, name in enumerate(INTERFACE_COUNTERS)}


class PortRates(NamedTuple):
    """Rates of all ports within one window; rows in the order of `ports` (sorted)."""

    ports: tuple[Entity, ...]
    rates: NDArray[np.float64]  # (ports, len(INTERFACE_COUNTERS)), per second; 0 where not known
    is_known: NDArray[np.bool_]  # same shape: valid over some of the window
    is_lacking: NDArray[np.bool_]  # same shape: the device has no such counter
    coverage: NDArray[np.float64]  # (ports,)
    is_broken: NDArray[np.bool_]  # (ports,): a discontinuity within the window
    invalid_cells: NDArray[np.int64]  # (ports,): differences that could not be trusted, of counters the device has
    all_cells: NDArray[np.int64]  # (ports,): differences of counters the device has
    speed: NDArray[np.int64]  # (ports,): ifHighSpeed at the last poll, 0 = unknown
    owner: tuple[Entity, ...]  # the device of each port


def port_rates(spans: list[Span[InterfaceBatch]], start_ns: int, end_ns: int) -> PortRates:
    """Rates over [start, end) from the intervals that overlap it."""
    ports = tuple(sorted({port for span in spans for port in span.item.interfaces}))
    position = {port: at for at, port in enumerate(ports)}
    shape = (len(ports), len(INTERFACE_COUNTERS))
    # Floats are added in the order of time within a port, which no batch border changes.
    delta, seconds = np.zeros(shape), np.zeros(shape)
    observed = np.zeros(len(ports), np.int64)
    is_lacking, is_broken = np.ones(shape, np.bool_), np.zeros(len(ports), np.bool_)
    invalid_cells, all_cells = np.zeros(len(ports), np.int64), np.zeros(len(ports), np.int64)
    speed = np.zeros(len(ports), np.int64)
    owner = list(ports)
    for span in spans:
        batch = span.item
        if not batch.interfaces:
            continue
        at = np.array([position[port] for port in batch.interfaces])
        overlap = span.overlap_ns(start_ns, end_ns)
        share = overlap / max(span.end_ns - span.start_ns, 1)
        is_valid = batch.invalid == InvalidReason.VALID
        delta[at] += np.where(is_valid, batch.deltas * share, 0.0)
        seconds[at] += np.where(is_valid, batch.duration_ns * share / 1e9, 0.0)
        observed[at] += np.where(is_valid.any(axis=1), overlap, 0)
        is_lacking[at] &= batch.invalid == InvalidReason.ABSENT
        is_broken[at] |= np.isin(batch.invalid, DISCONTINUITIES).any(axis=1)
        is_counted = ~np.isin(batch.invalid, (InvalidReason.ABSENT, InvalidReason.FIRST, InvalidReason.NOT_REFRESHED))
        all_cells[at] += is_counted.sum(axis=1)
        invalid_cells[at] += (is_counted & ~is_valid).sum(axis=1)
        speed[at] = batch.if_high_speed
        for row in at.tolist():
            owner[row] = batch.device
    is_known = seconds > 0
    rates = np.divide(delta, seconds, out=np.zeros(shape), where=is_known)
    coverage = np.minimum(observed / (end_ns - start_ns), 1.0)
    return PortRates(ports, rates, is_known, is_lacking, coverage, is_broken, invalid_cells, all_cells, speed, tuple(owner))


def interface_features(found: PortRates) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Each feature of INTERFACE by name: (values, present), each (ports,)."""

    def total(*names: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The sum of the counters the device has; present when all of these are known."""
        columns = [_AT[name] for name in names]
        is_known, is_lacking = found.is_known[:, columns], found.is_lacking[:, columns]
        present = (is_known | is_lacking).all(axis=1) & is_known.any(axis=1)
        return np.asarray(found.rates[:, columns].sum(axis=1)), np.asarray(present)

    def packets(direction: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        rate, present = total(*(f"if_hc_{direction}_{kind}_pkts" for kind in ("ucast", "multicast", "broadcast")))
        return rate, present & found.is_known[:, _AT[f"if_hc_{direction}_ucast_pkts"]]

    in_octets, has_in = total("if_hc_in_octets")
    out_octets, has_out = total("if_hc_out_octets")
    (in_packets, has_in_packets), (out_packets, has_out_packets) = packets("in"), packets("out")
    line_rate: NDArray[np.float64] = found.speed.astype(np.float64) * 1e6
    has_speed = has_in & has_out & (found.speed > 0)
    sized_in, sized_out = has_in & has_in_packets & (in_packets > 0), has_out & has_out_packets & (out_packets > 0)
    return {
        "in_octets_per_second": (in_octets, has_in),
        "out_octets_per_second": (out_octets, has_out),
        "in_packets_per_second": (in_packets, has_in_packets),
        "out_packets_per_second": (out_packets, has_out_packets),
        "non_unicast_packets_per_second": total(
            "if_hc_in_multicast_pkts", "if_hc_in_broadcast_pkts", "if_hc_out_multicast_pkts", "if_hc_out_broadcast_pkts"
        ),
        "in_discards_per_second": total("if_in_discards"),
        "out_discards_per_second": total("if_out_discards"),
        "errors_per_second": total("if_in_errors", "if_out_errors"),
        "carrier_transitions_per_second": total("carrier_transitions"),
        "in_packet_size": (_ratio(in_octets, in_packets, sized_in), sized_in),
        "out_packet_size": (_ratio(out_octets, out_packets, sized_out), sized_out),
        "utilization_ratio": (_ratio(8 * np.maximum(in_octets, out_octets), line_rate, has_speed), has_speed),
    }


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros(above.shape), where=where)


def ports_watermark(record: DeviceRecord) -> int:
    """How far a poll cycle says that a device's ports have come: when it began, or when it ended if no answer is to come of it."""
    return record.start_ns if record.is_reachable else record.end_ns


class InterfaceWindows:
    """Interface features over the windows of one schema."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        self._timeline: Timeline[InterfaceBatch] = Timeline()

    def feeds(self, batch: Batch) -> Feeds:
        if isinstance(batch, InterfaceBatch):
            return ((batch.source, batch.end_ns),)
        return ((batch.source, ports_watermark(batch)),) if isinstance(batch, DeviceRecord) else ()

    def add(self, batch: Batch) -> None:
        if isinstance(batch, InterfaceBatch):
            self._timeline.add(batch.start_ns, batch.end_ns, batch.source, batch)

    def earliest_after(self, instant_ns: int) -> int | None:
        return self._timeline.earliest_after(instant_ns)

    def close(self, start_ns: int, end_ns: int) -> Rows:
        found = port_rates(self._timeline.within(start_ns, end_ns), start_ns, end_ns)
        features = interface_features(found)
        present = np.stack([features[name][1] for name in self.schema.names], axis=1)
        values = np.where(present, np.stack([features[name][0] for name in self.schema.names], axis=1), 0.0)
        quality = np.where(found.is_broken, np.uint8(Quality.DISCONTINUITY), np.uint8(0))
        return Rows(found.ports, values, present, found.coverage, quality, np.zeros(len(found.ports)))

    def forget(self, before_ns: int) -> None:
        self._timeline.forget(before_ns)

    def rebase(self) -> None:
        self._timeline = Timeline()
