"""The recent packet headers of an interface that workers read: each keeps its own, and is asked for them.

    evidence (any thread) ─► between ─► [asked] ─► capture thread ─► workers ─► their headers ─► joined, in the order of time

A worker that died took its headers with it; what the others have is given all the same.
"""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import LINKTYPE_ETHERNET, Frames
from netmote.capture.recent_headers import KeptHeaders, joined_headers
from netmote.capture.tunnels import Tunnel

_PATIENCE_SECONDS = 5.0
_MOST_ASKED = 8


class Question:
    """Headers of a span of time, wanted of several workers."""

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.start_ns, self.end_ns = start_ns, end_ns
        self.parts: list[KeptHeaders] = []
        self.answered = threading.Event()
        self._expected = 0

    def expect(self, answers: int) -> None:
        """So many were asked."""
        self._expected = answers
        self._look()

    def answer(self, part: KeptHeaders | None) -> None:
        """One of them gave these, or will not any more."""
        if part is not None:
            self.parts.append(part)
        self._expected -= 1
        self._look()

    def _look(self) -> None:
        if self._expected <= 0:
            self.answered.set()


class WorkerHeaders:
    """A `HeaderSource`. `begin`, `take_asked` and `end` are the capture thread's."""

    def __init__(self, interface: str, tunnels: tuple[Tunnel, ...] = ()) -> None:
        self.interface, self.tunnels = interface, tunnels
        self.link_type = LINKTYPE_ETHERNET
        self.first_ns: int | None = None
        """When the first packet came that any of them kept."""
        self._asked: deque[Question] = deque()
        self._lock = threading.Lock()
        self._is_served = False

    def between(self, start_ns: int, end_ns: int, wanted: Callable[[Frames], NDArray[np.bool_]] | None = None) -> KeptHeaders:
        """Those that the workers hold now; none where none runs. Waits some seconds at most."""
        question = Question(start_ns, end_ns)
        with self._lock:
            if not self._is_served or len(self._asked) >= _MOST_ASKED:
                return joined_headers((), self.link_type)
            self._asked.append(question)
        question.answered.wait(_PATIENCE_SECONDS)
        kept = joined_headers(tuple(question.parts), self.link_type)
        return kept if wanted is None or not len(kept) else kept.at(np.flatnonzero(wanted(kept.frames)))

    def begin(self, link_type: int) -> None:
        """Workers run: they can be asked."""
        with self._lock:
            self.link_type, self._is_served = link_type, True

    def note_first(self, time_ns: int) -> None:
        """A worker's first packet."""
        self.first_ns = time_ns if self.first_ns is None else min(self.first_ns, time_ns)

    def take_asked(self) -> list[Question]:
        """What is to be asked of the workers."""
        with self._lock:
            asked = list(self._asked)
            self._asked.clear()
        return asked

    def end(self) -> None:
        """No worker runs any more: whoever waits gets what there is."""
        with self._lock:
            self._is_served = False
        for question in self.take_asked():
            question.expect(0)
