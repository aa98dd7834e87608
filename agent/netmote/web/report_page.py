"""A span of time as one HTML file that needs nothing beside it: no script, no request, light and dark. Pure apart from reading templates."""

from dataclasses import dataclass
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from netmote.telemetry.snapshot import AlertSummary
from netmote.web import quantity
from netmote.web.line_chart import DotChart, LineChart

_TEMPLATES = ("parts.html", "report.html")
_STYLES = ("netmote.css", "report.css")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number at the top."""

    name: str
    value: str
    note: str = ""
    kind: str = ""  # "", warm, hot


@dataclass(frozen=True, slots=True)
class GroupBar:
    """How often one rule or group of a model alerted."""

    name: str
    value: str
    length: float


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """One polled device over the span."""

    name: str
    polls: str
    answered: str
    round_trip: str


@dataclass(frozen=True, slots=True)
class PortLine:
    """One port over the span."""

    name: str
    received: str
    sent: str
    invalid: str
    length: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page shows, as it is shown."""

    sensor: str
    begin_ns: int
    end_ns: int
    made_at_ns: int
    step: str
    source: str
    headline: str
    figures: tuple[Figure, ...]
    missing: tuple[str, ...]
    bits: LineChart
    packets: LineChart
    drops: LineChart
    rules: DotChart
    models: DotChart
    budget: LineChart
    alerts: tuple[AlertSummary, ...]
    alert_count: int
    groups: tuple[GroupBar, ...]
    reach: LineChart
    devices: tuple[DeviceLine, ...]
    ports: tuple[PortLine, ...]
    memory: LineChart
    load: LineChart


def report_page(report: Report, *, version: str) -> str:
    """The whole document."""
    room = files("netmote.web")
    environment = Environment(
        loader=DictLoader({name: (room / "templates" / name).read_text(encoding="utf-8") for name in _TEMPLATES}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        instant=quantity.instant, machine_instant=quantity.machine_instant, age=quantity.age, figure=quantity.figure,
        scaled=quantity.scaled, rate=quantity.rate,
    )  # fmt: skip
    # Ours and constant; nothing that was observed is in it.
    css = Markup("\n".join((room / "static" / name).read_text(encoding="utf-8") for name in _STYLES))  # noqa: S704
    return environment.get_template("report.html").render(r=report, version=version, css=css)
