"""The OTLP sink: one POST a batch of log records. What an answer means stands in `answer`."""

import asyncio
from collections.abc import Mapping, Sequence

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.sinks.http_post import HttpPost
from netmote.sinks.otlp.answer import judge
from netmote.sinks.otlp.config import OtlpConfig
from netmote.sinks.otlp.request import MEDIA_TYPE, encode_request
from netmote.sinks.otlp_log import alert_record, heartbeat_record
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()


class OtlpSink:
    """Posts log records. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: OtlpConfig, *, clock: Clock = _SYSTEM_CLOCK, user_agent: str = "netmote") -> None:
        self.name = config.name
        self._clock = clock
        self._is_compressed = config.compression == "gzip"
        self._http = HttpPost(config, sink=config.name, clock=clock, user_agent=user_agent, content_type=MEDIA_TYPE)

    async def open(self) -> None:
        """Read token and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        await self._http.open()

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        await self.open()
        records = []
        for committed in batch:
            records.append((committed.sensor, committed.ledger_epoch, alert_record(committed)))
            await asyncio.sleep(0)  # the loop gets its turn after each record
        # In a thread: protobuf of a large batch would hold the loop.
        await self._offer(await asyncio.to_thread(encode_request, records))

    async def beat(self, heartbeat: Heartbeat) -> None:
        await self._offer(encode_request([(heartbeat.sensor, heartbeat.ledger_epoch, heartbeat_record(heartbeat))]))

    def certificate_expiries(self) -> Mapping[str, int]:
        return {} if self._http.tls is None else self._http.tls.expiries

    async def close(self) -> None:
        await self._http.close()

    async def _offer(self, body: bytes) -> None:
        answer = await self._http.post(body, compress=self._is_compressed)
        error = judge(answer.status, answer.headers, answer.body, now_ns=self._clock.now_ns())
        if error is not None:
            raise error
