"""What the metering of one interface did not look at, since the start: what a collector is told beside the flows."""

from dataclasses import dataclass

from netmote.records.flow import CaptureLoss


@dataclass(slots=True)
class MeteringTotals:
    """Counted up pane by pane."""

    ignored_packets: int = 0
    """ignoredPacketTotalCount (164): captured, but not decodable or without room in the flow table."""
    dropped_packets: int = 0
    """droppedPacketTotalCount (135): never captured."""

    def add(self, loss: CaptureLoss) -> None:
        """One more pane."""
        self.ignored_packets += loss.refused + sum(count for _, count in loss.undecodable)
        self.dropped_packets += loss.dropped
