"""A realistic snapshot and a server that shows it, on a free loopback port."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import aiohttp
import pytest
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import Committed
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.metrics import Metrics
from netmote.telemetry.snapshot import (
    AlertSummary,
    DeviceStatus,
    InputStatus,
    InterfaceStatus,
    LearningStatus,
    LegStatus,
    ModelStatus,
    SinkStatus,
    Snapshot,
    StoreStatus,
)
from netmote.web.config import WebConfig
from netmote.web.server import StatusServer

NOW = START + 33 * SECOND


def realistic_snapshot() -> Snapshot:
    """A sensor on an ordinary bad day: one device gone, the collector down, a scan under way."""
    ports = tuple(
        InterfaceStatus(
            f"GigabitEthernet1/0/{number}",
            "up" if number % 3 else "down",
            receive_bits_per_second=number * 31e6 if number % 3 else None,
            transmit_bits_per_second=number * 7e6 if number % 3 else None,
            speed_bits_per_second=1e9,
            error_rate=0.4 if number == 7 else 0.0,
            alias="uplink to core" if number == 1 else "",
        )
        for number in range(1, 9)
    )
    scan = committed_alert(1).alert
    return Snapshot(
        taken_at_ns=NOW,
        sensor="branch-7",
        version="0.1.0",
        level=Level.RULES,
        started_at_ns=NOW - 273_840 * SECOND,
        reasons=(
            Reason(
                "models",
                "traffic-ae 3 was refused: schema hash differs, built for traffic version 2",
                NOW - 7_200 * SECOND,
                Level.RULES,
            ),
            Reason("sink:webhook", "alerts wait: 503 fault of the receiver: database is locked", NOW - 95 * SECOND),
            Reason("snmp:sw-attic", "no answer to 3 polls; next try in 60 s", NOW - 400 * SECOND),
        ),
        legs=(LegStatus("ingest", True, 0.2), LegStatus("analysis", True, 3.1), LegStatus("delivery", True, 0.9)),
        inputs=(
            InputStatus(
                "eth0", "capture", "running", 0.4, 18_412.0, "packets/s", 5_812_345_112, {"ring_full": 1_204, "truncated": 3}
            ),
            InputStatus("eth1", "capture", "failed", None, None, "packets/s", 0, {}, "interface is gone"),
            InputStatus(
                "snmp", "snmp", "degraded", 4.0, 4.9, "polls/s", 1_338_220, {"timeout": 61}, "1 of 3 devices does not answer"
            ),
            InputStatus("host", "host", "running", 2.0, 0.1, "readings/s", 27_384),
        ),
        devices=(
            DeviceStatus(
                "sw-core", "10.0.0.2", "up", NOW - 3 * SECOND, 0.041, 10.0, "Cisco IOS Software, C2960X, 15.2(7)E3", "", ports
            ),
            DeviceStatus(
                "sw-attic",
                "10.0.0.9",
                "unreachable",
                NOW - 400 * SECOND,
                None,
                10.0,
                "ProCurve J9279A",
                "no answer within 2 s",
                (),
            ),
            DeviceStatus("ap-yard", "fd00::17", "probation", None, None, 10.0, "", "2 polls failed", ports[:1]),
        ),
        interfaces=(
            InterfaceStatus("eth0", "up", 312e6, 4.1e6, 1e9, 0.0),
            InterfaceStatus("eth1", "down", None, None, None, None),
        ),
        drops={"ingest/queue_full": 0, "windows/late": 412, "capture/ring_full": 1_204},
        models=(
            ModelStatus("traffic-ae", "3", "refused", "schema hash differs", "traffic"),
            ModelStatus("traffic-ae", "2", "idle", "", "traffic", 0.31, 0.92),
        ),
        learning=LearningStatus(cold=4, learning=31, armed=212),
        alerts=(
            AlertSummary(
                scan.alert_id,
                "firing",
                "critical",
                scan.title,
                str(scan.entity),
                scan.group,
                scan.score,
                scan.started_at_ns,
                scan.last_seen_ns,
                scan.count,
                "T1046",
            ),
            AlertSummary(
                "b" * 32,
                "firing",
                "warning",
                "sw-core/GigabitEthernet1/0/7: 0.4 input errors a second, usually none",
                "interface:sw-core/GigabitEthernet1/0/7",
                "interface_errors",
                0.99,
                NOW - 900 * SECOND,
                NOW - 12 * SECOND,
                88,
            ),
            AlertSummary(
                "c" * 32,
                "firing",
                "error",
                "sw-attic has not answered since 6 min",
                "device:sw-attic",
                "device_unreachable",
                1.0,
                NOW - 400 * SECOND,
                NOW - 5 * SECOND,
                1,
                None,
                True,
            ),
            AlertSummary(
                "d" * 32,
                "resolved",
                "notice",
                "10.0.0.31 listens on TCP port 4444, which is new",
                "host:10.0.0.31",
                "new_listener",
                0.97,
                NOW - 9_000 * SECOND,
                NOW - 8_400 * SECOND,
                1,
                "T1571",
            ),
        ),
        alerts_firing=3,
        sinks=(
            SinkStatus("journal", "ok", 0, None, 1_204, 0),
            SinkStatus("webhook", "retrying", 12, 95.0, 1_192, 1, "503 fault of the receiver: database is locked", 14.0),
        ),
        store=StoreStatus(1_812_000, 812_000_000, 11_400_000_000, 36.4, 1_204, "3f2a9c"),
        memory_rss_bytes=93_400_000,
    )


@dataclass
class Served:
    """A running server, what it shows, and a client."""

    url: str
    metrics: Metrics
    client: aiohttp.ClientSession
    snapshot: Snapshot
    alerts: dict[str, Committed]

    def change(self, **fields: object) -> None:
        self.snapshot = replace(self.snapshot, **fields)

    async def text(self, path: str, *, status: int = 200, **headers: str) -> str:
        async with self.client.get(self.url + path.lstrip("/"), headers=headers) as response:
            assert response.status == status
            return await response.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The real server on a free port of 127.0.0.1."""
    committed = committed_alert(1)
    metrics = Metrics(version="0.1.0", sensor="branch-7")
    state: Served

    async def find(alert_id: str) -> Committed | None:
        return state.alerts.get(alert_id)

    server = StatusServer(WebConfig(port=0), snapshot=lambda: state.snapshot, alert=find, metrics=metrics)
    async with aiohttp.ClientSession() as client:
        state = Served("", metrics, client, realistic_snapshot(), {committed.alert.alert_id: committed})
        await server.open()
        state.url = server.url
        try:
            yield state
        finally:
            await server.close()
