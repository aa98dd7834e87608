"""A process watched from outside: resident size, descriptors, threads and tasks over time, and whether they grow. The arithmetic is pure."""

import ctypes
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Sample:
    """One look."""

    at: float  # monotonic seconds
    resident: float  # bytes
    descriptors: int
    threads: int
    tasks: int  # of the event loop


@dataclass(frozen=True, slots=True)
class Growth:
    """What the later part of a run had more than the part before it."""

    first: float
    last: float
    per_hour: float  # slope of least squares over both parts


def growth(samples: Sequence[tuple[float, float]], *, warm_up: float = 1 / 3) -> Growth:
    """Of values by time in seconds. The first third is the warm-up and left out; `first` and `last` are medians of what follows, halved."""
    settled = list(samples)[int(len(samples) * warm_up) :]
    half = len(settled) // 2
    if not half:
        raise ValueError("too few samples")
    times, values = [at for at, _ in settled], [value for _, value in settled]
    mean_at, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - mean_at) ** 2 for at in times)
    slope = sum((at - mean_at) * (value - mean) for at, value in settled) / spread if spread else 0.0
    return Growth(median(values[:half]), median(values[half:]), slope * 3600)


def within(namespace: str, call: Callable[[], str]) -> str:
    """What `call` gives within a network namespace, in a thread of its own that is then gone."""
    answers: list[str | Exception] = []

    def inside() -> None:
        try:
            with Path(f"/run/netns/{namespace}").open("rb") as place:
                if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {namespace}")
            answers.append(call())
        except (OSError, ValueError) as error:
            answers.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    (answer,) = answers
    if isinstance(answer, Exception):
        raise answer
    return answer


def fetch(namespace: str, port: int, path: str = "/metrics") -> str:
    """What is served on loopback there."""

    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    return within(namespace, ask)


def value(metrics: str, name: str, *labels: str) -> float:
    """Sum over the series of a metric that have these labels, written `label="value"`."""
    lines = [line for line in metrics.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))


class Watch(threading.Thread):
    """Looks at a daemon every few seconds until told to end."""

    def __init__(self, process: int, metrics: Callable[[], str], *, every: float) -> None:
        super().__init__(daemon=True)
        self._folder, self._metrics, self._every = Path(f"/proc/{process}"), metrics, every
        self.samples: list[Sample] = []
        self.missed = 0  # the page did not answer
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(self._every):
            try:
                self.samples.append(self.look())
            except OSError:
                self.missed += 1

    def look(self) -> Sample:
        """One sample, now."""
        tasks = int(value(self._metrics(), "netmote_event_loop_tasks"))
        status = dict(line.split(":", 1) for line in (self._folder / "status").read_text().splitlines())
        # One descriptor is the answer we just had, on its way out.
        descriptors = len(list((self._folder / "fd").iterdir()))
        resident = int(status["VmRSS"].split()[0]) * 1024.0
        return Sample(time.monotonic(), resident, descriptors, int(status["Threads"]), tasks)

    def end(self) -> None:
        self._is_over.set()
        self.join()

    def cpu_seconds(self) -> dict[int, float]:
        """By thread, as the scheduler counted."""
        found = {}
        for path in self._folder.glob("task/*/schedstat"):
            try:
                found[int(path.parent.name)] = int(path.read_text().split()[0]) / 1e9
            except OSError:
                continue
        return found
