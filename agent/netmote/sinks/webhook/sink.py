"""The webhook sink: one POST a batch of CloudEvents. What an answer means stands in `answer`."""

import asyncio
from collections.abc import Mapping, Sequence

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.sinks.cloudevents import BATCH_MEDIA_TYPE, encode_event, encode_heartbeat, heartbeat_id, join_batch
from netmote.sinks.http_post import HttpPost
from netmote.sinks.webhook.answer import judge
from netmote.sinks.webhook.config import WebhookConfig
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()


class WebhookSink:
    """Posts batches of CloudEvents. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: WebhookConfig, *, clock: Clock = _SYSTEM_CLOCK, user_agent: str = "netmote") -> None:
        self.name = config.name
        self._clock = clock
        self._is_compressed = config.compression == "gzip"
        self._http = HttpPost(config, sink=config.name, clock=clock, user_agent=user_agent, content_type=BATCH_MEDIA_TYPE)

    async def open(self) -> None:
        """Read token and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        await self._http.open()

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        await self.open()
        events = []
        for committed in batch:
            events.append(encode_event(committed))
            await asyncio.sleep(0)  # the loop gets its turn after each event
        await self._offer(join_batch(events), [committed.alert.event_id for committed in batch])

    async def beat(self, heartbeat: Heartbeat) -> None:
        await self._offer(join_batch([encode_heartbeat(heartbeat)]), [heartbeat_id(heartbeat)])

    def certificate_expiries(self) -> Mapping[str, int]:
        return {} if self._http.tls is None else self._http.tls.expiries

    async def close(self) -> None:
        await self._http.close()

    async def _offer(self, body: bytes, ids: list[str]) -> None:
        answer = await self._http.post(body, compress=self._is_compressed)
        error = judge(answer.status, answer.headers, answer.body, ids=ids, now_ns=self._clock.now_ns())
        if error is not None:
            raise error
