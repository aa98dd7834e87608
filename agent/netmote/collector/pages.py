"""The page of sensors: HTML without a script, in the dress of the sensors' own status page."""

from collections.abc import Sequence
from importlib.resources import files

from aiohttp import web
from jinja2 import Environment, StrictUndefined

from netmote.collector.standing import SensorStanding
from netmote.web import quantity

_STATIC = {"netmote.css": "text/css", "netmote.svg": "image/svg+xml"}


class Page:
    """Renders; fit for a worker thread. `version` makes the addresses of static files change with each release."""

    def __init__(self, version: str) -> None:
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.globals.update(version=version)
        environment.filters.update(
            figure=quantity.figure, duration=quantity.duration, age=quantity.age, machine_instant=quantity.machine_instant
        )
        source = (files("netmote.collector") / "templates" / "sensors.html").read_text(encoding="utf-8")
        self._template = environment.from_string(source)
        folder = files("netmote.web") / "static"
        self._static = {name: (folder / name).read_bytes() for name in _STATIC}

    def sensors(self, sensors: Sequence[SensorStanding], *, now_ns: int) -> str:
        """All of them, those that need somebody first."""
        ordered = sorted(sensors, key=lambda sensor: (sensor.is_well, sensor.sensor))
        return self._template.render(sensors=ordered, now=now_ns, troubled=sum(not sensor.is_well for sensor in sensors))

    def static(self, name: str) -> web.Response:
        """A file of the page. Raises HTTPNotFound."""
        if name not in self._static:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "max-age=86400"}
        return web.Response(body=self._static[name], content_type=_STATIC[name], charset="utf-8", headers=headers)
