"""Things that cover an interval of event time, in canonical order, and the arithmetic of their overlap with a window."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Span(NamedTuple, Generic[T]):
    """One thing over [start, end). Sorts by end, start and source, never by the thing."""

    end_ns: int
    start_ns: int
    source: str
    arrival: int  # breaks ties; integer sums make it harmless
    item: T

    def overlap_ns(self, start_ns: int, end_ns: int) -> int:
        return max(0, min(self.end_ns, end_ns) - max(self.start_ns, start_ns))


class Timeline(Generic[T]):
    """Spans ordered by their end. Bounded by its owner, who forgets what no open window needs."""

    def __init__(self) -> None:
        self._spans: list[Span[T]] = []
        self._longest_ns = 0
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[Span[T]]:
        return iter(self._spans)

    def add(self, start_ns: int, end_ns: int, source: str, item: T) -> None:
        self._arrivals += 1
        self._longest_ns = max(self._longest_ns, end_ns - start_ns)
        insort(self._spans, Span(end_ns, start_ns, source, self._arrivals, item))

    def within(self, start_ns: int, end_ns: int) -> list[Span[T]]:
        """The spans that overlap [start, end), ordered by end, start, source."""
        found = []
        for span in self._after(start_ns):
            if span.end_ns >= end_ns + self._longest_ns and span.start_ns >= end_ns:
                break
            if span.start_ns < end_ns:
                found.append(span)
        return found

    def earliest_after(self, instant_ns: int) -> int | None:
        """The earliest start of the spans that end after `instant_ns`; None without any."""
        first: int | None = None
        for span in self._after(instant_ns):
            if first is not None and span.end_ns >= first + self._longest_ns:
                break
            first = span.start_ns if first is None else min(first, span.start_ns)
        return first

    def forget(self, before_ns: int) -> None:
        """Drop the spans that ended at or before `before_ns`."""
        del self._spans[: self._position_after(before_ns)]

    def _position_after(self, instant_ns: int) -> int:
        return bisect_right(self._spans, instant_ns, key=lambda span: span.end_ns)

    def _after(self, instant_ns: int) -> Iterator[Span[T]]:
        for position in range(self._position_after(instant_ns), len(self._spans)):
            yield self._spans[position]


def covered_ns(intervals: Iterable[tuple[int, int]], start_ns: int, end_ns: int) -> int:
    """Nanoseconds of [start, end) that lie in the union of `intervals` (pairs of start and end)."""
    total, reached = 0, start_ns
    for begin, finish in sorted(intervals):
        begin, finish = max(begin, reached), min(finish, end_ns)  # noqa: PLW2901 - clipped to what is not counted yet
        if finish > begin:
            total += finish - begin
            reached = finish
    return total
