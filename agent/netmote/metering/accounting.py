"""What became of every packet: per pane, and since the meter began. `received = metered + refused + sum(undecodable)`, always.

These count frames as captured: one that was coalesced from several (GRO, GSO) is one frame here, and said in `coalesced`. The
flows' own packets and octets count what was on the wire.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from netmote.records.flow import CaptureLoss


@dataclass(slots=True)
class Accounting:
    """Packets by what became of them."""

    metered: int = 0
    refused: int = 0  # the table was full
    undecodable: Counter[str] = field(default_factory=Counter)  # by reason
    dropped: int = 0  # never reached us: the sum of `dropped_by`, and what nobody could place
    dropped_by: Counter[str] = field(default_factory=Counter)  # by where: interface, ring, softnet
    coalesced: int = 0  # frames among the received that stood for several on the wire

    @property
    def received(self) -> int:
        return self.metered + self.refused + sum(self.undecodable.values())

    @property
    def is_empty(self) -> bool:
        return not (self.received or self.dropped)

    def add(self, other: "Accounting") -> None:
        """Take the other's packets in."""
        self.metered += other.metered
        self.refused += other.refused
        self.undecodable.update(other.undecodable)
        self.dropped += other.dropped
        self.dropped_by.update(other.dropped_by)
        self.coalesced += other.coalesced

    def drop(self, packets: int, by: Mapping[str, int]) -> None:
        """Packets that never reached us: `packets` of which nobody knows where, and `by` place."""
        self.dropped += packets + sum(by.values())
        for place, count in by.items():
            if count:
                self.dropped_by[place] += count

    def as_loss(self) -> CaptureLoss:
        """The record of one pane."""
        undecodable = tuple(sorted(self.undecodable.items()))
        dropped_by = tuple(sorted(self.dropped_by.items()))
        return CaptureLoss(self.received, self.metered, self.refused, undecodable, self.dropped, dropped_by, self.coalesced)
