"""Several exchanges that one caller waits for: what became of each, told once, when nothing is open any more. Pure.

A future and a task for each of them would cost more than their datagrams.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Outcome(Generic[T]):
    """What became of one exchange, as far as it is known; has what an exchange needs of a future."""

    __slots__ = ("_train", "result")

    def __init__(self, train: "Train[T]") -> None:
        self._train = train
        self.result: T | Exception | None = None

    def done(self) -> bool:
        return self.result is not None

    def set_result(self, result: T) -> None:
        self.result = result
        self._train.one_ended()

    def set_exception(self, error: Exception) -> None:
        self.result = error
        self._train.one_ended()


class Train(Generic[T]):
    """`count` outcomes that are waited for together."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.outcomes = [Outcome(self) for _ in range(count)]
        self._open = count
        self._all_ended: asyncio.Future[None] = loop.create_future()

    def one_ended(self) -> None:
        self._open -= 1
        if not self._open and not self._all_ended.done():
            self._all_ended.set_result(None)

    async def results(self) -> list[T | Exception]:
        """Wait until each has ended. Errors are values here."""
        if self._open:
            await self._all_ended
        return [outcome.result for outcome in self.outcomes if outcome.result is not None]
