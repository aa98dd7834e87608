"""What passes through the daemon, for whoever looks on: bounded readers with bounded buffers, and no cost while there are none.

Publishing appends a value that exists anyway; turning it into text is the reader's own work. A reader whose buffer is full is dropped
whole and counted: a stream with holes in it would be taken for the truth.

    publish(kind, item) ──► [buffer of each reader of that kind, bounded] ──► Subscription, taken by the reader's connection
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from netmote.errors import NetmoteError


class TooManyReaders(NetmoteError):
    """No more readers at once."""


class Subscription:
    """One reader's buffer. Made by `LiveStream.subscribe`; `close` when done."""

    def __init__(self, kinds: frozenset[str], *, limit: int) -> None:
        """`limit` bounds the records that wait."""
        self.kinds = kinds
        self.is_dropped = False
        """Whether it was too slow; nothing comes after that."""
        self._limit = limit
        self._waiting: deque[tuple[str, Any, int]] = deque()
        self._records = 0
        self._arrived = asyncio.Event()

    def offer(self, kind: str, item: Any, records: int) -> bool:
        """Take one item. False: the buffer is full, and this reader is dropped."""
        if self.is_dropped:
            return True
        # One item is always taken, however large: it is one batch, which exists anyway.
        if self._waiting and self._records + records > self._limit:
            self.is_dropped = True
            self._waiting.clear()
            self._arrived.set()
            return False
        self._waiting.append((kind, item, records))
        self._records += records
        self._arrived.set()
        return True

    async def take(self) -> tuple[str, Any] | None:
        """The next item, waiting for it; None: dropped."""
        while not self._waiting:
            if self.is_dropped:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        kind, item, records = self._waiting.popleft()
        self._records -= records
        return kind, item


class LiveStream:
    """All readers of one daemon. Every call is made on the event loop."""

    def __init__(self, kinds: Collection[str], *, readers: int, limit: int, dropped: Callable[[], None]) -> None:
        """`kinds`: what there is to read. `limit` bounds the records that wait for one reader; `dropped` is told of each that is too slow."""
        self.kinds = tuple(kinds)
        self._readers, self._limit, self._dropped = readers, limit, dropped
        self._subscriptions: list[Subscription] = []

    def __len__(self) -> int:
        """Readers now."""
        return len(self._subscriptions)

    def publish(self, kind: str, item: Any, records: int) -> None:
        """Show one item of so many records to the readers of its kind; never waits."""
        for subscription in self._subscriptions:
            if kind in subscription.kinds and not subscription.offer(kind, item, max(1, records)):
                self._dropped()

    def subscribe(self, kinds: Collection[str]) -> Subscription:
        """Become a reader. Raises ValueError for a kind there is not, TooManyReaders."""
        unknown = sorted(set(kinds) - set(self.kinds))
        if unknown or not kinds:
            raise ValueError(f"{', '.join(unknown) or 'nothing'} cannot be followed; known: {', '.join(self.kinds)}")
        if len(self._subscriptions) >= self._readers:
            raise TooManyReaders(f"{self._readers} readers follow already, no more are taken")
        subscription = Subscription(frozenset(kinds), limit=self._limit)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop reading. Safe twice."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
