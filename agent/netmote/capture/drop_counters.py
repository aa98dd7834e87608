"""Packets lost before they reach a packet socket: in the interface, and in the backlog of the softirq. The ring counts its own.

Sources and what they mean (Documentation/networking/statistics.rst, comments of struct rtnl_link_stats64 in linux/if_link.h):

- `rx_missed_errors`: the device had no buffer to put a packet into. A loss.
- `rx_fifo_errors`: historically overflow events, used by some drivers for the same packets as `rx_missed_errors` and by others in
  place of it. The larger of the two is taken, never the sum.
- `rx_dropped`: taken from the device and not processed; without those of `rx_missed_errors` (only /proc/net/dev folds the two
  together). The stack adds here what the softirq's backlog refused (`enqueue_to_backlog` in net/core/dev.c counts it twice: for
  the interface and in softnet_stat). A frame of a protocol nobody handles is counted here too, but only while nobody captures:
  to a packet socket of ETH_P_ALL it is handled.
- `rx_nohandler` is no loss: a passive member of a bond is not meant to receive.
- /proc/net/softnet_stat, second column, hexadecimal, a line a CPU: refused by a full backlog (net.core.netdev_max_backlog), or by
  the flow limit. It belongs to the whole machine.

So one interface lost `rx_dropped` + max(missed, fifo) packets; of `rx_dropped`, as many as the whole machine's backlogs refused in the
same time are laid to softnet and the others to the interface. No packet is counted twice, also not over several interfaces.
"""

from dataclasses import dataclass
from pathlib import Path

SYS_CLASS_NET = Path("/sys/class/net")
SOFTNET_STAT = Path("/proc/net/softnet_stat")


@dataclass(frozen=True, slots=True)
class DropReading:
    """The counters at one moment; each only ever grows, until a driver or an interface begins anew."""

    rx_dropped: int
    rx_missed_errors: int
    rx_fifo_errors: int
    softnet_dropped: int  # over all CPUs


def softnet_dropped(text: str) -> int:
    """Packets that full backlogs refused since boot, over all CPUs. Raises ValueError for what is no softnet_stat."""
    total = 0
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 2:
            raise ValueError(f"not a line of softnet_stat: {line!r}")
        total += int(columns[1], 16)
    return total


def losses_between(before: DropReading, after: DropReading) -> dict[str, int]:
    """Packets lost by place, `interface` and `softnet`; only those that are not 0. A counter that went back began at 0 in between."""

    def grown(name: str) -> int:
        then, now = int(getattr(before, name)), int(getattr(after, name))
        return now - then if now >= then else now

    dropped = grown("rx_dropped")
    softnet = min(dropped, grown("softnet_dropped"))
    interface = dropped - softnet + max(grown("rx_missed_errors"), grown("rx_fifo_errors"))
    return {place: packets for place, packets in (("interface", interface), ("softnet", softnet)) if packets}


class DropCounters:
    """What one interface lost since last asked. `take` is cheap (four small files), but some drivers ask their device: once a second."""

    def __init__(self, interface: str, *, sys_class_net: Path = SYS_CLASS_NET, softnet_stat: Path = SOFTNET_STAT) -> None:
        self._statistics = sys_class_net / interface / "statistics"
        self._softnet_stat = softnet_stat
        self._before = self._read()

    def take(self) -> dict[str, int]:
        """Packets lost by place since the last call that could read. Empty when the counters cannot be read: nothing is known then."""
        after = self._read()
        if after is None:
            return {}
        before, self._before = self._before, after
        return {} if before is None else losses_between(before, after)

    def _read(self) -> DropReading | None:
        """None where the interface is gone or hides its counters, as in a container without /sys."""
        try:
            names = ("rx_dropped", "rx_missed_errors", "rx_fifo_errors")
            dropped, missed, fifo = (int((self._statistics / name).read_text()) for name in names)
            return DropReading(dropped, missed, fifo, softnet_dropped(self._softnet_stat.read_text()))
        except (OSError, ValueError):
            return None
