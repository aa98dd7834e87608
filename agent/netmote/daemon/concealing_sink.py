"""A sink around a sink: what goes upstream goes through the treatment of addresses first. The one within never sees the others."""

import asyncio
from collections.abc import Mapping, Sequence

from netmote.alerts.alert import Committed
from netmote.privacy.announcements import concealed, concealed_heartbeat
from netmote.privacy.treatment import AddressTreatment
from netmote.sinks.sink import CertifiedSink, Sink, StateSink
from netmote.telemetry.heartbeat import Heartbeat


def concealing(sink: Sink, treatment: AddressTreatment) -> Sink:
    """The sink behind this treatment; itself where nothing is to be hidden."""
    if treatment.is_keeping:
        return sink
    return ConcealingStateSink(sink, sink, treatment) if isinstance(sink, StateSink) else ConcealingSink(sink, treatment)


class ConcealingSink:
    """Positions, order and numbers of a batch stay, so refusals mean the same rows. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, sink: Sink, treatment: AddressTreatment) -> None:
        self.name = sink.name
        self._sink, self._treatment = sink, treatment

    async def open(self) -> None:
        await self._sink.open()

    async def deliver(self, batch: Sequence[Committed]) -> None:
        await self._sink.deliver(await self._concealed(batch))

    async def beat(self, heartbeat: Heartbeat) -> None:
        await self._sink.beat(concealed_heartbeat(heartbeat, self._treatment))

    async def close(self) -> None:
        await self._sink.close()

    def certificate_expiries(self) -> Mapping[str, int]:
        """As `CertifiedSink` has it; empty for a sink without certificates."""
        return self._sink.certificate_expiries() if isinstance(self._sink, CertifiedSink) else {}

    async def _concealed(self, rows: Sequence[Committed]) -> list[Committed]:
        # Each alert takes some tenths of a millisecond: not on the loop.
        return await asyncio.to_thread(lambda: [concealed(row, self._treatment) for row in rows])


class ConcealingStateSink(ConcealingSink):
    """The same around a sink that is told again and again what is active."""

    def __init__(self, sink: Sink, state: StateSink, treatment: AddressTreatment) -> None:
        """`sink` and `state` are one object, under the two protocols it has."""
        super().__init__(sink, treatment)
        self._state = state
        self.resend_interval = state.resend_interval

    async def learn(self, active: Sequence[Committed]) -> None:
        await self._state.learn(await self._concealed(active))

    async def resend(self) -> None:
        await self._state.resend()
