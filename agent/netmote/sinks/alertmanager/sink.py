"""The Alertmanager sink: tells it what fires, again and again, and what has ended. What has to be told stands in `told`.

Alertmanager keeps alerts in memory only: killed, it knows none of them, so every active alert is told each `resend`. It answers 400
to a POST with one alert it refuses and accepts the others of it (measured with 0.25): the POST is halved until the one is found.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from netmote.alerts.alert import Committed
from netmote.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from netmote.errors import PartialDelivery, Permanent
from netmote.sinks.alert_document import encode
from netmote.sinks.alertmanager.config import AlertmanagerConfig
from netmote.sinks.alertmanager.posted_alert import heartbeat as heartbeat_alert
from netmote.sinks.alertmanager.told import Key, Told, key_of
from netmote.sinks.http_answer import judge_status
from netmote.sinks.http_post import HttpPost
from netmote.telemetry.heartbeat import Heartbeat

log = logging.getLogger(__name__)

_SYSTEM_CLOCK = SystemClock()
_CONTENT_TYPE = "application/json"
# Below this, the difference of the clocks is that of the seconds of a Date header and of the way.
_IGNORED_OFFSET_NS = 2 * NANOSECONDS_PER_SECOND


class AlertmanagerSink:
    """Tells the present state. See `netmote.sinks.sink.Sink` and `StateSink` for its life."""

    def __init__(self, config: AlertmanagerConfig, *, clock: Clock = _SYSTEM_CLOCK, user_agent: str = "netmote") -> None:
        self.name = config.name
        self.resend_interval = config.resend
        self._config, self._clock = config, clock
        self._http = HttpPost(config, sink=config.name, clock=clock, user_agent=user_agent, content_type=_CONTENT_TYPE)
        self._told = Told()
        self._offset_ns: int | None = None  # Alertmanager's clock minus ours; None: it has not answered yet
        self._refused: frozenset[Key] = frozenset()

    async def open(self) -> None:
        """Read token and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        await self._http.open()

    async def learn(self, active: Sequence[Committed]) -> None:
        for _ in self._told.learn(active):
            await asyncio.sleep(0)

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        await self._ask_time()
        found: dict[Key, tuple[dict[str, Any], list[int]]] = {}
        for position, row in enumerate(batch):
            alert = self._told.answer(row, now_ns=self._their_now_ns())
            if alert is not None:
                found.setdefault(key_of(alert), (alert, []))[1].append(position)
            await asyncio.sleep(0)
        for alert in self._told.gone(now_ns=self._their_now_ns()):
            found.setdefault(key_of(alert), (alert, []))
        refused = await self._tell([alert for alert, _ in found.values()])
        rejected = {position: reason for key, reason in refused.items() for position in found[key][1]}
        if rejected:
            raise PartialDelivery(rejected)

    async def resend(self) -> None:
        await self._ask_time()
        now_ns, monotonic = self._their_now_ns(), self._clock.monotonic()
        everything = self._told.everything(now_ns=now_ns, monotonic=monotonic)
        refused: dict[Key, str] = {}
        # Also with nothing to tell: it shows that Alertmanager is there, and what time it is there.
        for start in range(0, max(1, len(everything)), self._config.batch_size):
            refused |= await self._tell(everything[start : start + self._config.batch_size])
        for key in refused.keys() - self._refused:
            named = dict(key)
            log.warning(
                "Alertmanager refuses the active alert %s of %s: %s",
                named["alertname"],
                named["entity"],
                refused[key],
                extra={"component": f"sink:{self.name}"},
            )
        self._refused = frozenset(refused)

    async def beat(self, heartbeat: Heartbeat) -> None:
        if self._config.heartbeat == "none":
            return
        await self._ask_time()
        await self._post([heartbeat_alert(heartbeat, now_ns=self._their_now_ns())])

    def certificate_expiries(self) -> Mapping[str, int]:
        return {} if self._http.tls is None else self._http.tls.expiries

    async def close(self) -> None:
        await self._http.close()

    async def _ask_time(self) -> None:
        """Learn Alertmanager's time before the first alert: nothing that it takes for the future would be accepted."""
        if self._offset_ns is None:
            await self._post([])

    async def _tell(self, alerts: list[dict[str, Any]]) -> dict[Key, str]:
        """Post them; returns those that are refused for ever, with the reason. Raises Retryable."""
        try:
            await self._post(alerts)
        except Permanent as error:
            if len(alerts) <= 1:
                return {key_of(alert): str(error) for alert in alerts}
            middle = len(alerts) // 2
            return await self._tell(alerts[:middle]) | await self._tell(alerts[middle:])
        self._told.accepted(alerts, monotonic=self._clock.monotonic())
        return {}

    async def _post(self, alerts: list[dict[str, Any]]) -> None:
        answer = await self._http.post(encode(alerts), url=self._config.endpoint)
        self._learn_time(answer.headers.get("Date"))
        error = judge_status(answer.status, answer.headers, answer.body, now_ns=self._clock.now_ns())
        if error is not None:
            raise error

    def _learn_time(self, date: str | None) -> None:
        """Alertmanager's clock by the Date of its answer (RFC 9110 section 6.6.1): one that is not understood teaches nothing."""
        try:
            theirs = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, TypeError, OverflowError):
            self._offset_ns = self._offset_ns or 0
            return
        offset = round(theirs * NANOSECONDS_PER_SECOND) - self._clock.now_ns()
        self._offset_ns = offset if abs(offset) > _IGNORED_OFFSET_NS else 0

    def _their_now_ns(self) -> int:
        return self._clock.now_ns() + (self._offset_ns or 0)
