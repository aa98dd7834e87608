"""Train, validation, calibration, test: by time within a long series, by whole capture among short ones, never shuffled.

Neighbouring windows overlap (60 s every 10 s), so between two parts of a series a window length of windows is purged.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Part(StrEnum):
    """What a window is used for; PURGED is used for nothing."""

    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the parts; the rest tests."""

    train: float = 0.6
    validation: float = 0.1
    calibration: float = 0.1

    def bounds(self) -> tuple[tuple[Part, float], ...]:
        """Each part with the upper end of its share."""
        first, second = self.train, self.train + self.validation
        return (
            (Part.TRAIN, first),
            (Part.VALIDATION, second),
            (Part.CALIBRATION, second + self.calibration),
            (Part.TEST, 1.0),
        )


def by_capture(captures: NDArray[np.str_], shares: Shares) -> NDArray[np.str_]:
    """The part of each window, (windows,), by the hash of its capture's name: all windows of a capture share one part."""
    parts = {name: _part(_position(name), shares) for name in np.unique(captures).tolist()}
    return np.array([parts[name] for name in captures.tolist()], dtype="U16")


def by_time(end_ns: NDArray[np.int64], shares: Shares, *, purge_ns: int) -> NDArray[np.str_]:
    """The part of each window of one series, (windows,), by its place between the first and the last; windows that end within
    `purge_ns` after a border are PURGED, because they share packets with the part before.
    """
    if not len(end_ns):
        return np.empty(0, "U16")
    first, last = int(end_ns.min()), int(end_ns.max())
    place = (end_ns - first) / max(last - first, 1)
    parts = np.array([_part(position, shares) for position in place.tolist()], dtype="U16")
    for _, bound in shares.bounds()[:-1] if last > first else ():
        border = first + bound * (last - first)
        parts[(end_ns >= border) & (end_ns < border + purge_ns)] = Part.PURGED
    return parts


def leaks(parts: NDArray[np.str_], captures: NDArray[np.str_], end_ns: NDArray[np.int64], *, window_ns: int) -> Iterator[str]:
    """Every way in which two parts share packets: the same capture, less than a window apart. Empty for a sound split."""
    for capture in np.unique(captures).tolist():
        order = np.flatnonzero((captures == capture) & (parts != Part.PURGED))
        order = order[np.argsort(end_ns[order], kind="stable")]
        changes = parts[order][1:] != parts[order][:-1]
        close = np.diff(end_ns[order]) < window_ns
        for index in np.flatnonzero(changes & close):
            yield f"{capture}: {parts[order[index]]} and {parts[order[index + 1]]} overlap at {end_ns[order[index + 1]]}"


def _position(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64


def _part(position: float, shares: Shares) -> Part:
    return next(part for part, bound in shares.bounds() if position < bound or part is Part.TEST)
