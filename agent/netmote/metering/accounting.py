"""What became of every packet: per pane, and since the meter began. `received = metered + refused + sum(undecodable)`, always."""

from collections import Counter
from dataclasses import dataclass, field

from netmote.records.flow import CaptureLoss


@dataclass(slots=True)
class Accounting:
    """Packets by what became of them."""

    metered: int = 0
    refused: int = 0  # the table was full
    undecodable: Counter[str] = field(default_factory=Counter)  # by reason
    dropped: int = 0  # never reached us

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

    def as_loss(self) -> CaptureLoss:
        """The record of one pane."""
        undecodable = tuple(sorted(self.undecodable.items()))
        return CaptureLoss(self.received, self.metered, self.refused, undecodable, self.dropped)
