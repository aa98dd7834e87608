"""Snapshots and alerts to HTML. Pure apart from reading the templates once; fit for a worker thread."""

import shlex
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined

from netmote.alerts.alert import Committed
from netmote.telemetry.health import Level
from netmote.telemetry.snapshot import Snapshot
from netmote.web import chart, quantity

LEVELS = {
    Level.FULL: "Rules and models watch everything that is observed.",
    Level.RULES: "Only the rules watch: no model can be used.",
    Level.COLLECT: "Records are stored, but nothing is analysed.",
    Level.LEDGER: "The disk is nearly full: only alerts are stored.",
}

_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP"}  # IANA
_QUALITY = {
    "partial": "part of the window was not observed",
    "loss": "too many packets were dropped",
    "discontinuity": "a counter was not valid throughout",
    "clock_step": "the wall clock was set within the window",
    "late": "records came after the window had closed",
}
_TEMPLATES = ("layout.html", "parts.html", "status.html", "alert.html", "missing.html")


class Pages:
    """The three pages. `version` also makes the addresses of static files change with each release."""

    def __init__(self, version: str) -> None:
        folder = files("netmote.web") / "templates"
        self._environment = Environment(
            loader=DictLoader({name: (folder / name).read_text(encoding="utf-8") for name in _TEMPLATES}),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            version=version, levels=LEVELS, chart_width=chart.WIDTH, fill=chart.fill, shares=chart.shares
        )
        self._environment.filters.update(
            figure=quantity.figure,
            scaled=quantity.scaled,
            rate=quantity.rate,
            percent=quantity.percent,
            duration=quantity.duration,
            age=quantity.age,
            instant=quantity.instant,
            machine_instant=quantity.machine_instant,
        )

    def status(self, snapshot: Snapshot) -> str:
        """The one page that shows all."""
        return self._environment.get_template("status.html").render(
            s=snapshot,
            now=snapshot.taken_at_ns,
            uptime=(snapshot.taken_at_ns - snapshot.started_at_ns) / 1e9,
            waiting=sum(sink.queued for sink in snapshot.sinks),
            dropped=sum(snapshot.drops.values()),
        )

    def alert(self, committed: Committed, *, now_ns: int) -> str:
        """The explanation of one alert."""
        alert = committed.alert
        return self._environment.get_template("alert.html").render(
            committed=committed,
            alert=alert,
            now=now_ns,
            bullets=chart.bullets(alert.contributors),
            flags=[_QUALITY[flag.name.lower()] for flag in alert.quality if flag.name],
            protocols=_PROTOCOLS,
            silence=f"netmote alerts silence {shlex.quote(alert.alert_id)} --for 4h --reason 'known and expected'",
        )

    def missing(self, what: str) -> str:
        """Nothing is at that address."""
        return self._environment.get_template("missing.html").render(what=what)
