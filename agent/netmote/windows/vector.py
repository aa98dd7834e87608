"""Feature vectors: what windows hand to scoring."""

import hashlib
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.windows.schema import FeatureSchema


class Quality(IntFlag):
    """What is wrong with a window; 0 is a good one. A window that is not good neither trains nor raises model alerts."""

    GOOD = 0
    PARTIAL = 1  # coverage below the limit: part of the window was not observed
    LOSS = 2  # more packets were dropped than the limit allows
    DISCONTINUITY = 4  # a counter was invalid within the window
    CLOCK_STEP = 8  # the wall clock stepped within the window
    LATE = 16  # records arrived after the window had closed


@dataclass(frozen=True, slots=True, eq=False)
class VectorBatch:
    """The vectors of all entities of one schema for one window, in canonical entity order (sorted)."""

    schema: FeatureSchema
    start_ns: int  # UTC; the window is [start, end)
    end_ns: int
    entities: tuple[Entity, ...]
    values: NDArray[np.float64]  # (entities, features); 0 where `present` is False
    present: NDArray[np.bool_]  # same shape: False = not observed (never a zero)
    coverage: NDArray[np.float64]  # (entities,): observed share of the window, 0..1
    quality: NDArray[np.uint8]  # (entities,): Quality flags
    loss_ratio: NDArray[np.float64]  # (entities,): dropped share of the packets offered, 0..1

    @property
    def hash(self) -> str:
        """SHA-256 over schema, window, entities and every bit of the values: live and replay are compared by it."""
        digest = hashlib.sha256()
        digest.update(f"{self.schema.hash}|{self.start_ns}|{self.end_ns}|".encode())
        digest.update("\n".join(map(str, self.entities)).encode())
        for part in (self.values, self.present, self.coverage, self.quality, self.loss_ratio):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class FlowEvidence:
    """One of the flows behind a window's features, for people to read."""

    source_address: str
    source_transport_port: int
    destination_address: str
    destination_transport_port: int
    protocol_identifier: int
    octets: int
    packets: int
    slices: int


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """What stood behind one entity's window: the largest flows and the busiest peers and responder ports."""

    top_flows: tuple[FlowEvidence, ...] = ()
    top_peers: tuple[tuple[str, int], ...] = ()  # (address, flow slices)
    top_ports: tuple[tuple[int, int], ...] = ()  # (responder port, flow slices)
