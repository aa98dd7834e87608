"""What `netmote doctor` reckons of memory: what the configuration allocates at start, against this machine and the shipped unit's limit."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netmote.capture.interfaces import select_interfaces
from netmote.cli.diagnosis import Diagnosis, fail, ok, warn
from netmote.cli.format import size
from netmote.config.builtin import builtin_path
from netmote.config.section import size_bytes
from netmote.daemon.captures import MAX_AUTOMATIC
from netmote.daemon.config import Config

# Beside rings and flow tables, at 20,000 packets a second and 50 devices (docs/operations.md, "Sizing"); the table itself measured.
BESIDE: Final = 180_000_000
BYTES_A_FLOW: Final = 220
_WORKER: Final = 45_000_000  # a process of its own: interpreter, numpy and what it decodes
_PROC: Final = Path("/proc")
_UNITS: Final = {"K": "KiB", "M": "MiB", "G": "GiB"}


def expected_bytes(config: Config, interfaces: int) -> int:
    """What the daemon will hold with so many captured interfaces, under load."""
    capture, workers = config.capture, config.capture.workers
    each = capture.ring_size + capture.evidence_size + BYTES_A_FLOW * config.metering.max_flows
    return BESIDE + interfaces * workers * each + (interfaces * workers * _WORKER if workers > 1 else 0)


def unit_limit(unit: str) -> int | None:
    """MemoryMax= of a unit file in bytes; None where it sets none."""
    found = re.search(r"^MemoryMax=(\d+)([KMG])$", unit, re.MULTILINE)
    return None if found is None else int(size_bytes(f"{found[1]}{_UNITS[found[2]]}"))


def examine_memory(config: Config, *, interfaces: Sequence[str] | None = None, proc: Path = _PROC) -> Diagnosis:
    """The expectation against the machine's memory and the unit's limit, beyond which the kernel kills the service."""
    captured = select_interfaces(config.capture.interfaces)[:MAX_AUTOMATIC] if interfaces is None else interfaces
    expected = expected_bytes(config, len(captured))
    said = f"up to {size(expected)} expected with {len(captured)} captured interfaces"
    total, limit = _total(proc / "meminfo"), unit_limit(builtin_path("netmote.service").read_text())
    smaller = "lower capture.ring_size, capture.workers or metering.max_flows, or name fewer interfaces"
    if total is not None and expected > total:
        return fail("memory", f"{said}, and this machine has {size(total)}", smaller)
    if limit is not None and expected > limit:
        fix = f"systemctl edit netmote, [Service] MemoryMax={-(-expected // 2**20)}M and MemoryHigh= below it; or {smaller}"
        return warn("memory", f"{said}, more than the {size(limit)} that the unit allows", fix)
    return ok("memory", said + ("" if total is None else f", of {size(total)}"))


def _total(meminfo: Path) -> int | None:
    try:
        found = re.search(r"^MemTotal:\s+(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024
