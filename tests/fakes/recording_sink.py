"""A sink that keeps what it accepted, and fails as it is told."""

from collections.abc import Sequence

from netmote.alerts.alert import Committed
from netmote.telemetry.heartbeat import Heartbeat


class RecordingSink:
    """`answers` are raised one by one, None accepts; when they are used up everything is accepted. `poison` is refused for ever."""

    def __init__(
        self, name: str = "recording", answers: Sequence[Exception | None] = (), poison: frozenset[int] = frozenset()
    ) -> None:
        self.name = name
        self.accepted: list[Committed] = []
        self.offered: list[list[int]] = []
        self.beats: list[Heartbeat] = []
        self.opened = 0
        self.closed = 0
        self.refusal: type[Exception] | None = None
        self._answers = list(answers)
        self._poison = poison

    async def open(self) -> None:
        self.opened += 1

    async def deliver(self, batch: Sequence[Committed]) -> None:
        self.offered.append([row.seq for row in batch])
        answer = self._answers.pop(0) if self._answers else None
        if answer is not None:
            raise answer
        if self.refusal is not None and any(row.seq in self._poison for row in batch):
            raise self.refusal("poison in the batch")
        self.accepted.extend(batch)

    async def beat(self, heartbeat: Heartbeat) -> None:
        self.beats.append(heartbeat)

    async def close(self) -> None:
        self.closed += 1
