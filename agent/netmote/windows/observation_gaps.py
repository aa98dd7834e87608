"""When a capture interface was not observed, as facts tell it: gone, not permitted, its link down.

A pane is five seconds, and may say that nothing came where nothing could come. Gaps are exact: what lies in one is not observed,
whatever panes say of it.
"""

from collections import deque

GAP_FACTS = ("capture_interface_gone", "capture_unavailable", "capture_link_down")
_MOST = 256  # of those that ended, and of those that go on: the oldest is forgotten first


class ObservationGaps:
    """Gaps by interface name, in event time."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], int] = {}  # (interface, fact) -> since
        self._ended: deque[tuple[str, int, int]] = deque(maxlen=_MOST)

    def note(self, interface: str, fact: str, time_ns: int, *, is_gap: bool) -> None:
        """A gap begins, or ends. Beginning twice and ending what never began change nothing."""
        key = (interface, fact)
        if is_gap:
            if key not in self._open and len(self._open) >= _MOST:
                del self._open[next(iter(self._open))]
            self._open.setdefault(key, time_ns)
            return
        since = self._open.pop(key, None)
        if since is not None and time_ns > since:
            self._ended.append((interface, since, time_ns))

    def of(self, interface: str, end_ns: int) -> list[tuple[int, int]]:
        """(begin, end) of those that began before `end_ns`; one that goes on reaches to it. They may overlap."""
        ended = [(begin, end) for name, begin, end in self._ended if name == interface and begin < end_ns]
        return ended + [(since, end_ns) for (name, _), since in self._open.items() if name == interface and since < end_ns]

    def forget(self, before_ns: int) -> None:
        """Drop those that ended at or before this."""
        self._ended = deque((gap for gap in self._ended if gap[2] > before_ns), maxlen=_MOST)

    def rebase(self) -> None:
        """Time begins anew: what goes on has gone on since before it."""
        self._ended.clear()
        self._open = dict.fromkeys(self._open, -(1 << 63))
