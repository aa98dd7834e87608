"""The status page over real HTTP: every route, every header, and what a hostile name can do."""

import itertools
import json
import re
import socket
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sink_alerts import committed_alert

from netmote.telemetry.health import Level
from netmote.telemetry.metrics import Metrics
from netmote.telemetry.snapshot import AlertSummary, DeviceStatus, ExportStatus, InputStatus, InterfaceStatus, LegStatus, Snapshot
from netmote.web.config import WebConfig
from netmote.web.server import StatusServer

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


async def test_status_page_shows_the_essentials(served: Any) -> None:
    """Level with reasons, inputs with drops, devices with ports, alerts, sinks, models, disk: all without a script."""
    text = Page(await served.text("/")).text
    for expected in (
        "Degraded to rules", "schema hash differs", "192.0.2.7 tried 412 ports", "18,412 packets/s", "1,204 ring_full",
        "interface is gone", "sw-attic", "unreachable", "uplink to core", "31 Mbit/s", "12, oldest 1 min 35 s",
        "503 fault of the receiver", "36 d 9 h", "windows/late 412", "212 of 247 watched", "93.4 MB",
    ):  # fmt: skip
        assert expected in text, expected


async def test_flow_exporters_are_shown(served: Any) -> None:
    """Each way out for flows: where it stands, what waits, left and was lost, and why; a hostile error is only text."""
    served.change(
        exports=(
            ExportStatus("flows", "ipfix", "retrying", 1_250, 90_400, {"queue_full": 7, "stopped": 5}, HOSTILE),
            ExportStatus("eve", "eve", "ok", 0, 81_000),
        )
    )
    page = Page(await served.text("/"))
    for expected in ("flows as ipfix", "1,250", "90,400", "Lost 12", "eve flows as eve", "81,000", HOSTILE):
        assert " ".join(expected.split()) in page.text, expected
    assert all("onerror" not in attributes for attributes in page.all("img"))


async def test_a_healthy_page_says_so(served: Any) -> None:
    """Nothing wrong, nothing configured: words instead of empty tables."""
    served.snapshot = Snapshot(10**18, "s", "1", Level.FULL, 10**18 - 10**9)
    text = Page(await served.text("/")).text
    for expected in ("All is running", "No alert in the ledger", "Nothing was dropped", "No sink", "No model"):
        assert expected in text, expected


async def test_alert_page_explains(served: Any) -> None:
    """Features against their baseline with units and a chart, flows, ports, peers, quality, technique, how to silence it."""
    alert_id = committed_alert(1).alert.alert_id
    html = await served.text(f"/alerts/{alert_id}")
    page = Page(html)
    for expected in (
        "max_ports_per_dst", "412", "38.5 \N{GREEK SMALL LETTER SIGMA} above usual", "20.5 /s", "0.4 /s", "192.0.2.1 443 TCP", "3389",
        "100 % of the window", "ATT&CK T1046", f"netmote alerts silence {alert_id}", "Ask whose machine",
    ):  # fmt: skip
        assert expected in page.text, expected
    charts = [tag for tag in page.all("svg") if tag.get("role") == "img"]
    assert next(chart["aria-label"] for chart in charts) == "412 against usually 3"
    bars = [float(tag["width"] or 0) for tag in page.all("rect") if tag.get("class") == "value" and "y" in tag]
    assert bars == [1000.0, 1000.0, 1000.0]


async def test_unknown_and_malformed_alerts(served: Any) -> None:
    """404 with a way back; an id that cannot be one never reaches the ledger."""
    assert "no such alert" in await served.text("/alerts/nobody", status=404)
    assert "no such alert" in await served.text(f"/alerts/{'x' * 65}", status=404)
    assert json.loads(await served.text("/api/alerts/..%2f..%2fetc", status=404)) == {"error": "no such alert"}
    await served.text("/nowhere", status=404)
    await served.text("/static/../server.py", status=404)


async def test_hostile_names_are_only_text(served: Any) -> None:
    """Whatever a device calls itself or its ports, the page has no element and no attribute of its making."""
    clean = {tag for tag, _ in Page(await served.text("/")).tags}
    served.change(
        sensor=HOSTILE,
        inputs=(InputStatus(HOSTILE, "capture", "running", rate=1.0, rate_unit=HOSTILE, dropped={HOSTILE: 3}, reason=HOSTILE),),
        devices=(
            DeviceStatus(
                HOSTILE,
                HOSTILE,
                "up",
                description=HOSTILE,
                interfaces=(InterfaceStatus(HOSTILE, HOSTILE, alias=HOSTILE),),
                backend="pysnmp",
                fallback_reason=HOSTILE,
            ),
        ),
        drops={HOSTILE: 1},
        alerts=(AlertSummary(HOSTILE, "firing", "critical", HOSTILE, HOSTILE, HOSTILE, 1.0, 1, 1, 1, HOSTILE),),
    )
    alert_id = "hostile"
    served.alerts[alert_id] = committed_alert(1, title=HOSTILE, check=HOSTILE, technique=HOSTILE, group=HOSTILE)
    for path in ("/", f"/alerts/{alert_id}"):
        page = Page(await served.text(path))
        assert {tag for tag, _ in page.tags} <= clean | {"pre", "code", "br"}
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
        assert all((tag.get("src") or "").startswith("/static/") for tag in page.all("img") + page.all("script"))
        assert HOSTILE in page.text


@pytest.mark.parametrize("path", ["/", "/alerts/x", "/metrics", "/healthz", "/api/snapshot", "/static/netmote.css", "/nowhere"])
async def test_security_headers_everywhere(served: Any, path: str) -> None:
    """Nothing is loaded from elsewhere, nothing inline runs, nobody frames the page, errors included."""
    async with served.client.get(served.url + path.lstrip("/")) as response:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Server"] == "netmote"


async def test_pages_work_under_their_own_policy(served: Any) -> None:
    """No inline script or style, nothing from another host; links elsewhere give no referrer."""
    for path in ("/", f"/alerts/{committed_alert(1).alert.alert_id}"):
        html = await served.text(path)
        page = Page(html)
        assert "<style" not in html
        assert all(script.get("src") for script in page.all("script"))
        loaded = [tag.get("src") for tag in page.all("img") + page.all("script")] + [tag.get("href") for tag in page.all("link")]
        assert loaded
        for address in loaded:
            assert address is not None
            assert address.startswith("/static/")
            await served.text(address)
        for link in page.all("a"):
            if (link["href"] or "").startswith("http"):
                assert "noreferrer" in (link["rel"] or "")


async def test_structure_for_assistive_technology(served: Any) -> None:
    """One h1, landmarks, no skipped heading, headed tables, labels that point at something, unique ids."""
    for path in ("/", f"/alerts/{committed_alert(1).alert.alert_id}"):
        page = Page(await served.text(path))
        headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
        assert headings.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
        assert len(page.all("main")) == len(page.all("footer")) == 1
        assert page.all("html")[0]["lang"] == "en"
        assert page.all("table")
        assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes} <= set(ids)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9464", "127.0.0.1:1", "127.8.9.1", "[::1]:9464", "LOCALHOST", "localhost."]
)
async def test_loopback_names_are_answered(served: Any, host: str) -> None:
    """Every way to name this machine."""
    await served.text("/healthz", Host=host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost@evil.example",
        "[::1",
        "localhost:x",
        "",
    ],
)
async def test_rebound_names_are_refused(served: Any, host: str) -> None:
    """A web site whose name was made to resolve to 127.0.0.1 gets nothing, whatever the path."""
    for path in ("/", "/metrics", "/api/snapshot"):
        assert "branch-7" not in await served.text(path, status=421, Host=host)


async def test_metrics(served: Any) -> None:
    """The exposition parses and has the media type that scrapers expect."""
    served.metrics.outbox_entries.set(12, sink="webhook")
    async with served.client.get(f"{served.url}metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    assert families["netmote_outbox_entries"].samples[0].value == 12


async def test_healthz(served: Any) -> None:
    """Degraded is still alive; a dead leg is not."""
    document = json.loads(await served.text("/healthz"))
    assert (document["level"], document["is_degraded"]) == ("rules", True)
    assert document["legs"] == {"ingest": "alive", "analysis": "alive", "delivery": "alive"}
    served.change(legs=(LegStatus("ingest", True), LegStatus("analysis", False)))
    document = json.loads(await served.text("/healthz", status=503))
    assert document["legs"]["analysis"] == "dead"


async def test_json_endpoints(served: Any) -> None:
    """The same values for programs."""
    assert Snapshot.from_json(await served.text("/api/snapshot")) == served.snapshot
    document = json.loads(await served.text(f"/api/alerts/{committed_alert(1).alert.alert_id}"))
    assert document["contributors"][0]["feature"] == "max_ports_per_dst"


async def test_only_reading(served: Any) -> None:
    """There is nothing to post to."""
    for method in ("POST", "PUT", "DELETE"):
        async with served.client.request(method, served.url) as response:
            assert response.status == 405


async def test_a_page_with_many_ports_is_whole(served: Any) -> None:
    """Fifty devices of twenty-four ports are rendered, each port once."""
    port = served.snapshot.devices[0].interfaces[0]
    ports = tuple(replace(port, name=f"Gi1/0/{number}") for number in range(24))
    served.change(devices=tuple(DeviceStatus(f"sw{number}", f"10.0.0.{number}", "up", interfaces=ports) for number in range(50)))
    assert (await served.text("/")).count("Gi1/0/23") == 50


async def test_life() -> None:
    """`close` without open and twice; a taken port is an OSError and leaves nothing behind; a closed port is free."""

    async def nothing(_alert_id: str) -> None:
        return None

    def server(port: int) -> StatusServer:
        return StatusServer(
            WebConfig(port=port), snapshot=lambda: Snapshot(1, "s", "1", Level.FULL, 0), alert=nothing, metrics=Metrics()
        )

    first = server(0)
    await first.close()
    await first.open()
    port = int(first.url.rsplit(":", 1)[1].rstrip("/"))
    second = server(port)
    with pytest.raises(OSError, match=str(port)):
        await second.open()
    await second.close()
    async with aiohttp.ClientSession() as client, client.get(f"{first.url}healthz") as response:
        assert response.status == 200
    await first.close()
    await first.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=2):
        pass


async def test_unix_socket(tmp_path: Path) -> None:
    """For this user and its group; any name may be asked for there, which over TCP is refused; a socket left behind is replaced."""

    async def nothing(_alert_id: str) -> None:
        return None

    def server(**config: object) -> StatusServer:
        return StatusServer(
            WebConfig.model_validate(config),
            snapshot=lambda: Snapshot(1, "s", "1", Level.FULL, 0),
            alert=nothing,
            metrics=Metrics(),
        )

    path = tmp_path / "page.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    page = server(address="", socket=str(path))
    await page.open()
    assert page.url == str(path)
    assert path.stat().st_mode & 0o777 == 0o660
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get("http://sensor.example/healthz") as health,
        client.get("http://sensor.example/") as html,
    ):
        assert (health.status, html.status) == (200, 200)
        assert "Content-Security-Policy" in html.headers
    await page.close()
    assert not path.exists()
    both = server(port=0, socket=str(path))
    await both.open()
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{both.url}healthz", headers={"Host": "sensor.example"}) as response,
    ):
        assert response.status == 421
    await both.close()
    path.write_text("mine")
    with pytest.raises(OSError, match=r"."):
        await server(address="", socket=str(path)).open()
    assert path.read_text() == "mine"


def test_places_to_listen() -> None:
    """The socket's path is absolute and fits into a socket address."""
    assert WebConfig(socket=Path("/run/netmote/page.sock")).listens_at == "127.0.0.1:9464 and /run/netmote/page.sock"
    assert WebConfig(address="").listens_at == ""
    for path in ("page.sock", "/run/" + "x" * 120):
        with pytest.raises(ValueError, match="socket"):
            WebConfig(socket=Path(path))
