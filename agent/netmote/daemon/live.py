"""The daemon's live stream: what ingest, analysis and the ledger just did, to whoever follows at the control socket."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from netmote.alerts.alert import Committed
from netmote.control.live_stream import LiveStream, Subscription
from netmote.daemon.live_lines import ALERTS, KINDS, RECORDS, SCORES, Item, blocks, records_in
from netmote.records.batch import Batch
from netmote.scoring.finding import ScoreBatch
from netmote.telemetry.metrics import Metrics

# Readers at once: the control socket has connections left for commands.
MAX_READERS = 4
# Records that wait for one reader: half a minute of a busy link. They are shared with the pipeline until they are taken.
_MOST_WAITING = 200_000


class Live:
    """Publishes on the event loop; costs a look at an empty list while nobody follows."""

    def __init__(self, metrics: Metrics, *, limit: int = _MOST_WAITING) -> None:
        self._metrics = metrics
        self._stream = LiveStream(KINDS, readers=MAX_READERS, limit=limit, dropped=metrics.live_readers_dropped_total.inc)
        metrics.before_render(lambda: metrics.live_readers.set(len(self._stream)))

    def note_records(self, batches: Sequence[Batch]) -> None:
        """Ingest handed these on."""
        self._note(RECORDS, batches)

    def note_scores(self, scores: Sequence[ScoreBatch]) -> None:
        """Analysis gave these."""
        self._note(SCORES, scores)

    def note_alerts(self, rows: Sequence[Committed]) -> None:
        """These are durable."""
        self._note(ALERTS, (tuple(rows),))

    def follow(self, request: dict[str, Any]) -> "Following":
        """Answer `tail` with its `kinds`. Raises ValueError, KeyError or TooManyReaders."""
        kinds = request["kinds"]
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise ValueError(f"kinds is a list of {', '.join(KINDS)}")
        return Following(self._stream, self._stream.subscribe(kinds))

    def _note(self, kind: str, items: Sequence[Item]) -> None:
        if not len(self._stream):
            return
        for item in items:
            self._stream.publish(kind, item, records_in(item))


class Following:
    """One reader's lines, made in a worker thread as its connection takes them."""

    def __init__(self, stream: LiveStream, subscription: Subscription) -> None:
        self._stream, self._subscription = stream, subscription

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (taken := await self._subscription.take()) is not None:
            pending = blocks(taken[1])
            while (block := await asyncio.to_thread(next, pending, None)) is not None:
                yield block

    async def aclose(self) -> None:
        self._stream.unsubscribe(self._subscription)
