"""A snapshot with something in every part, for tests of what shows it."""

from typing import Any

from netmote.telemetry.health import Level
from netmote.telemetry.snapshot import (
    AlertSummary,
    DeviceStatus,
    InputStatus,
    InterfaceStatus,
    ModelStatus,
    SinkStatus,
    Snapshot,
    StoreStatus,
)

NOW = 1_700_000_000_000_000_000


def snapshot(**changes: Any) -> Snapshot:
    """One, with these fields changed."""
    values: dict[str, Any] = {
        "taken_at_ns": NOW,
        "sensor": "attic",
        "version": "1.2.3",
        "level": Level.FULL,
        "started_at_ns": NOW - 7_200_000_000_000,
        "inputs": (
            InputStatus(
                "eth0", "capture", "running", 1.5, 1234.0, received_total=99, dropped={"ring": 1234, "arp": 5, "softnet": 7}
            ),
        ),
        "devices": (
            DeviceStatus(
                "core",
                "192.0.2.1",
                "up",
                NOW - 3_000_000_000,
                0.012,
                10.0,
                interfaces=(InterfaceStatus("ge-0/0/1", "up"),),
                backend="pysnmp",
                fallback_reason="a length is indefinite",
            ),
        ),
        "drops": {"capture/arp": 12},
        "models": (ModelStatus("traffic", "1.0.0", "active", p50_ms=0.1, p99_ms=0.25),),
        "alerts": (
            AlertSummary("abcdef0123", "firing", "error", "a scan", "host:192.0.2.7", "vertical_scan", 0.99, NOW, NOW, 3),
        ),
        "alerts_firing": 1,
        "sinks": (SinkStatus("up", "retrying", 5, 61.0, 10, 1, "refused"),),
        "store": StoreStatus(1000, 2_000_000, 10**9, 12.5),
        "memory_rss_bytes": 100_000_000,
    }
    return Snapshot(**(values | changes))
