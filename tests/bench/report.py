"""What a bench prints: the machine it ran on, how busy that was, and its figures as a table for the README."""

import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BUSY = 0.5  # load average a processor: beyond it single figures wander, and only ratios of interleaved runs mean something


def machine() -> str:
    """Date, processor, cores, kernel and versions, with a warning when others are working."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    text = (
        f"{time.strftime('%Y-%m-%d %H:%M')}  {processor()}, {cores} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, load {load:.1f}"
    )
    return f"{text}: BUSY, the figures are noisy" if load > _BUSY * cores else text


def processor() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def pin(*, last: bool = True) -> int:
    """Keep this process and its children on one processor; returns which."""
    allowed = sorted(os.sched_getaffinity(0))
    chosen = allowed[-1 if last else 0]
    os.sched_setaffinity(0, {chosen})
    return chosen


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a figure, and the goal it is held against where there is one."""

    what: str
    figure: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    beside: str = ""

    @property
    def is_met(self) -> bool | None:
        """None where there is no goal."""
        if self.at_least is not None:
            return self.figure >= self.at_least
        return self.figure <= self.at_most if self.at_most is not None else None


def print_table(rows: list[Row]) -> None:
    """As Markdown."""
    print(f"\n| {'what':78} | figure | goal | |\n| --- | --- | --- | --- |")
    for row in rows:
        goal = f"≥ {row.at_least:g}" if row.at_least is not None else f"≤ {row.at_most:g}" if row.at_most is not None else ""
        verdict = {True: "met", False: "**missed**", None: ""}[row.is_met]
        print(
            f"| {row.what:78} | {_shown(row.figure)}{' ' + row.unit if row.unit else ''} | {goal} | {_joined(verdict, row.beside)} |"
        )
    missed = sum(row.is_met is False for row in rows)
    print(f"\n{sum(row.is_met is True for row in rows)} goals met, {missed} missed", flush=True)


def say(text: str) -> None:
    """A line of progress, which is no part of the table."""
    print(text, file=sys.stderr, flush=True)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure == int(figure) or abs(figure) >= 1000 else f"{figure:.3g}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
