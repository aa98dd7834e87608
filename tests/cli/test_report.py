"""`netmote report`: one file that needs nothing beside it, with what was stored in it, foreign text as text, and looked at by a browser."""

import asyncio
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from manual_clock import ManualClock
from observed_records import SECOND, pane, reading
from store_samples import alert, device_record
from typer.testing import CliRunner

from netmote.alerts.alert import AlertState, Committed
from netmote.cli.main import app
from netmote.cli.report_content import DAY_NS, report_of, step_of
from netmote.clock import SystemClock
from netmote.records.flow import CaptureLoss
from netmote.scoring.finding import Contributor
from netmote.store.config import StoreConfig
from netmote.store.history_view import History, Traffic
from netmote.store.store import Store

runner = CliRunner()
HOUR = 3_600 * SECOND
HOSTILE = '<script>alert(1)</script> & "quoted"'


def an_hour_ago() -> int:
    return SystemClock().now_ns() - HOUR


async def recorded(state_dir: Path) -> None:
    """An hour of panes with loss in one of them, polls, readings, an alert of a rule and one of a model."""
    begin = an_hour_ago() // (60 * SECOND) * 60 * SECOND
    store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="attic", clock=ManualClock(begin))
    await store.open()
    panes = [pane(number, origin_ns=begin) for number in range(0, 660, 12)]
    panes[20] = replace(panes[20], loss=CaptureLoss(received=22, metered=22, dropped=78))
    await store.append(
        [*panes, reading(0, origin_ns=begin), device_record(begin), device_record(begin + SECOND, is_reachable=False)]
    )
    times = {"started_at_ns": begin + 60 * SECOND, "last_seen_ns": begin + 120 * SECOND}
    limit = (Contributor("responder_ports", "{port}", 900.0, 3.5, 12.0, 100.0),)
    by_rule = replace(alert(1), title=HOSTILE, contributors=limit, **times)
    by_model = replace(alert(2, state=AlertState.RESOLVED), detector="traffic-autoencoder", group="odd", surprise=4.5, **times)
    await store.commit([by_rule, by_model], None)
    await store.close()


class Resources(HTMLParser):
    """Everything that would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.paths = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.paths += tag == "path"
        if tag in ("script", "link", "img", "iframe", "object", "embed"):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name, value in attrs if name in ("src", "href", "style") or name.startswith("on")]


async def test_one_file_with_all_of_it(tmp_path: Path) -> None:
    """What was stored is in it; nothing is fetched, nothing is run, and what a device says stays text."""
    state, output = tmp_path / "state", tmp_path / "report.html"
    await recorded(state)
    result = runner.invoke(app, ["report", "--since", "2h", "--state-dir", str(state), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert "2 alerts, 1 still firing, 1 interfaces, 1 devices" in result.output
    page = output.read_text()
    assert output.stat().st_mode & 0o007 == 0
    resources = Resources()
    resources.feed(page)
    assert resources.found == []
    assert resources.paths >= 6
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for words in ("attic", "capture:eth0", "core", "50 %", "port_scan", "T1046", "odd", "78 packets"):
        assert words in page, words
    assert "Busiest ports" not in page  # none was polled


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_beside_a_running_store(tmp_path: Path) -> None:
    """It reads what a daemon is writing, and leaves no file of its own."""
    store = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="attic", clock=SystemClock())
    await store.open()
    await store.append([pane(0, origin_ns=an_hour_ago())])
    before = names_in(tmp_path)
    output = tmp_path.parent / f"{tmp_path.name}.html"
    assert runner.invoke(app, ["report", "--state-dir", str(tmp_path), "-o", str(output)]).exit_code == 0
    assert names_in(tmp_path) == before
    await store.close()
    assert "No alert" in output.read_text()


def test_without_a_state_directory(tmp_path: Path) -> None:
    """One sentence, and no file."""
    output = tmp_path / "r.html"
    result = runner.invoke(app, ["report", "--state-dir", str(tmp_path / "gone"), "-o", str(output)])
    assert result.exit_code == 1
    assert "no state directory" in str(result.exception)
    assert not output.exists()
    assert runner.invoke(app, ["report", "--since", "soon"]).exit_code == 2


def content(alerts: list[Committed], **history: object) -> object:
    span = History(0, 3 * DAY_NS, step_of(0, 3 * DAY_NS), **history)
    return report_of(span, alerts, sensor="s", source="d", made_at_ns=0, alerts_per_day=1.0, damaged=2)


def committed(number: int, **changes: object) -> Committed:
    return Committed("s", "e", number, 0, replace(alert(number), **changes))


def test_models_against_their_budget() -> None:
    """Alerts of models are counted by day, days without one as zero; those of rules are not the models'."""
    alerts = [
        committed(1, detector="m", started_at_ns=DAY_NS + 5),
        committed(2, detector="m", started_at_ns=DAY_NS + 9),
        committed(3, started_at_ns=5),
    ]
    report = content(alerts)
    (line,) = report.budget.lines
    assert line.largest == "2"
    assert line.path.count("L") == 2
    assert report.budget.limit == 110.0  # one of two
    assert len(report.models.dots) == 2
    assert report.missing[0].startswith("2 rows of the ledger")


def test_rules_against_their_limits() -> None:
    """The first feature with a limit counts; a rule without one (a fact) is not among them."""
    limited = (Contributor("a", "1", 5.0), Contributor("b", "1", 50.0, threshold=5.0))
    report = content(
        [committed(1, started_at_ns=5, contributors=limited), committed(2, started_at_ns=5, contributors=limited[:1])]
    )
    (dot,) = report.rules.dots
    assert dot.text.endswith(": b")
    assert dot.y == 0.0  # ten times the limit, on one decade
    assert report.rules.limit == 220.0


def test_a_flood_of_alerts_stays_a_page() -> None:
    """The strongest are drawn, all are counted."""
    alerts = [committed(n, detector="m", started_at_ns=5, surprise=float(n)) for n in range(1, 2_501)]
    report = content(alerts)
    assert len(report.models.dots) == 2_000
    assert min(dot.y for dot in report.models.dots) == report.models.dots[0].y  # the largest surprise is among them
    assert (report.alert_count, len(report.alerts)) == (2_500, 200)


def test_rates_of_intervals_that_the_span_cuts() -> None:
    """A sum over an interval is divided by the part of it that lies within the span."""
    step = step_of(0, 3 * DAY_NS)
    span = History(step // 2, 3 * DAY_NS, step, traffic={"capture:x": {0: Traffic(octets=step // 2 // SECOND)}})
    report = report_of(span, [], sensor="s", source="d", made_at_ns=0, alerts_per_day=1.0, damaged=0)
    assert report.bits.lines[0].largest == "8 bit/s"


async def test_a_browser_draws_it(tmp_path: Path) -> None:
    """Chromium lays it out without a complaint about the page, and every chart has a size."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    await recorded(tmp_path / "state")
    output, picture = tmp_path / "report.html", tmp_path / "report.png"
    runner.invoke(app, ["report", "--since", "2h", "--state-dir", str(tmp_path / "state"), "-o", str(output)])
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--window-size=1200,3000", f"--screenshot={picture}", output.as_uri()]
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr  # the policy refused something
    assert picture.stat().st_size > 50_000
