"""Captures and flow logs to feature windows, by the daemon's own metering and windows: what is trained on is what is scored live.

A capture is a link that was quiet for one window before it and then saw just this: that lets its first windows be complete.
Only good, complete windows are kept, as live.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.capture.pcap_file import UnreadableCapture, read_capture
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE, PANE_NS, FlowBatch
from netmote.training.benign_captures import Selection
from netmote.windows.config import WindowsConfig
from netmote.windows.schemas import TRAFFIC
from netmote.windows.sliding import Windows
from netmote.windows.vector import VectorBatch

SENSOR = "training"


@dataclass(frozen=True, slots=True, eq=False)
class TrafficWindows:
    """Windows of the traffic schema, row by row, in the order they closed."""

    values: NDArray[np.float64]  # (windows, features)
    end_ns: NDArray[np.int64]
    entities: NDArray[np.str_]
    captures: NDArray[np.str_]  # where each came from
    labels: NDArray[np.str_]  # "" = benign, else the family of the attack

    def __len__(self) -> int:
        return len(self.values)

    def where(self, chosen: NDArray[np.bool_]) -> "TrafficWindows":
        """The chosen rows."""
        return TrafficWindows(
            self.values[chosen], self.end_ns[chosen], self.entities[chosen], self.captures[chosen], self.labels[chosen]
        )

    def without_silence(self) -> "TrafficWindows":
        """Without windows of no packets: they are all alike, and a long recording is mostly made of them."""
        columns = [TRAFFIC.index["out_pkts_ps"], TRAFFIC.index["in_pkts_ps"]]
        return self.where(self.values[:, columns].sum(axis=1) > 0)

    def thinned(self, most: int) -> "TrafficWindows":
        """At most `most` windows of each capture and entity, evenly spaced in time: one long recording must not be the whole set."""
        chosen = np.zeros(len(self), bool)
        keys = np.char.add(np.char.add(self.captures.astype(np.str_), "|"), self.entities.astype(np.str_))
        for key in np.unique(keys):
            rows = np.flatnonzero(keys == key)
            chosen[rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))]] = True
        return self.where(chosen)

    @classmethod
    def joined(cls, parts: Sequence["TrafficWindows"]) -> "TrafficWindows":
        """All rows of all parts, in order."""
        if not parts:
            return cls(np.empty((0, len(TRAFFIC))), np.empty(0, np.int64), *(np.empty(0, "U1") for _ in range(3)))
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("values", "end_ns", "entities", "captures", "labels")
            )
        )


def windows_of_batches(
    batches: Iterable[FlowBatch], *, capture: str, label: str = "", config: WindowsConfig | None = None
) -> TrafficWindows:
    """The good windows of flow batches in event order, through the daemon's windows."""
    windows = Windows(config or WindowsConfig(), sensor=SENSOR)
    closed: list[VectorBatch] = []
    for batch in batches:
        windows.add(batch)
        closed += windows.advance()
    closed += windows.finish()
    parts = [_kept(vectors, capture, label) for vectors in closed if vectors.schema.hash == TRAFFIC.hash]
    return TrafficWindows.joined(parts)


def windows_of_capture(path: Path, *, capture: str, label: str = "") -> TrafficWindows:
    """The good windows of a capture file, each of its interfaces a link of its own. Raises UnreadableCapture."""
    by_interface: dict[str, list[FlowBatch]] = {}
    meters: dict[str, FlowMeter] = {}
    for block in read_capture(path):
        interface = block.interface or "capture"
        if interface not in meters:
            meters[interface] = _meter(interface)
        by_interface.setdefault(interface, []).extend(meters[interface].meter(block))
    for interface, meter in meters.items():
        by_interface[interface] += meter.flush()
    return TrafficWindows.joined(
        [windows_of_batches(with_lead_in(batches), capture=capture, label=label) for _, batches in sorted(by_interface.items())]
    )


def windows_of_captures(
    selections: Sequence[Selection], *, root: Path, label: str = "", on_capture: Callable[[str], None] = lambda _: None
) -> tuple[TrafficWindows, dict[str, str]]:
    """The windows of many captures, and those that gave none with the reason."""
    parts: list[TrafficWindows] = []
    without: dict[str, str] = {}
    for selection in selections:
        try:
            part = windows_of_capture(root / selection.path, capture=selection.path, label=label)
        except UnreadableCapture as error:
            without[selection.path] = f"unreadable: {str(error).rpartition('/')[2]}"
        else:
            parts.append(part)
            if not len(part):
                without[selection.path] = "no good window (nothing that could be decoded, or a broken clock)"
        on_capture(selection.path)
    return TrafficWindows.joined(parts), without


def with_lead_in(batches: Sequence[FlowBatch]) -> Iterator[FlowBatch]:
    """The batches after a window of silence on the same link."""
    if batches:
        first = batches[0]
        for start in range(first.start_ns - TRAFFIC.window_ns, first.start_ns, PANE_NS):
            yield FlowBatch(first.source, start, start + PANE_NS, first.interface, np.empty(0, FLOW_DTYPE))
    yield from batches


def _meter(interface: str) -> FlowMeter:
    config = MeteringConfig()
    return FlowMeter.configured(config, source=f"capture:{interface}", interface=interface)


def _kept(vectors: VectorBatch, capture: str, label: str) -> TrafficWindows:
    good = (vectors.quality == 0) & vectors.present.all(axis=1)
    count = int(good.sum())
    return TrafficWindows(
        values=vectors.values[good],
        end_ns=np.full(count, vectors.end_ns, np.int64),
        entities=np.array(
            [str(entity) for entity, is_good in zip(vectors.entities, good, strict=True) if is_good], dtype=np.str_
        ),
        captures=np.full(count, capture),
        labels=np.full(count, label),
    )
