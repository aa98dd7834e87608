"""The packets a user wants: one expression, applied by the kernel to what a ring gets and by us to what a capture file holds.

What it does not want is nobody's loss: the kernel hands it over to nobody and counts it nowhere; of a file it is counted here.
"""

import numpy as np

from netmote.capture.bpf_compiler import compile_filter
from netmote.capture.bpf_machine import run
from netmote.capture.frames import Frames


class PacketFilter:
    """An expression as tcpdump takes it (pcap-filter(7)), compiled for each kind of link that is met."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.rejected = 0
        """Frames of files that were not wanted."""
        self._programs: dict[int, bytes] = {}

    def program(self, link_type: int) -> bytes:
        """For frames of a LINKTYPE_. Raises FilterError, and Unavailable where there is no libpcap."""
        if link_type not in self._programs:
            self._programs[link_type] = compile_filter(self.expression, link_type)
        return self._programs[link_type]

    def wanted(self, frames: Frames) -> Frames:
        """Those that the kernel would have let through. Raises as `program` does."""
        keep = np.flatnonzero(run(self.program(frames.link_type), frames))
        self.rejected += len(frames) - len(keep)
        return frames if len(keep) == len(frames) else frames.at(keep)


def packet_filter(expression: str) -> PacketFilter | None:
    """None for no expression: all packets are wanted."""
    return PacketFilter(expression) if expression.strip() else None
