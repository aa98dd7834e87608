"""The books after a run: whether every packet, poll and alert is where it belongs. Reads a stopped daemon's state directory."""

import asyncio
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from netmote.clock import SystemClock
from netmote.records.device import DeviceRecord
from netmote.records.flow import FlowBatch
from netmote.records.interface import InterfaceBatch
from netmote.store.config import StoreConfig
from netmote.store.store import Store


@dataclass
class Books:
    """What the telemetry holds, summed one batch at a time."""

    received: int = 0
    dropped: int = 0
    metered: int = 0
    refused: int = 0
    undecodable: int = 0
    in_slices: int = 0  # packets of all flow slices
    coalesced: int = 0
    polls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    port_batches: Counter[str] = field(default_factory=Counter)

    @property
    def is_whole(self) -> bool:
        """Every packet that was received is in a slice, or counted as refused or not decodable (records.flow.CaptureLoss)."""
        return self.received == self.metered + self.refused + self.undecodable and self.in_slices == self.metered


def read_books(state_dir: Path) -> Books:
    """Through the store's own reader."""
    return asyncio.run(_read(state_dir))


async def _read(state_dir: Path) -> Books:
    books = Books()
    store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="soak", clock=SystemClock())
    await store.open()
    try:
        position = None
        while rows := await store.read_after(position, limit=64):
            for _, batch in rows:
                if isinstance(batch, FlowBatch):
                    _add(books, batch)
                elif isinstance(batch, DeviceRecord):
                    books.polls[batch.device.name] += 1
                    books.answered[batch.device.name] += batch.is_reachable
                elif isinstance(batch, InterfaceBatch):
                    books.port_batches[batch.device.name] += 1
            position = rows[-1][0]
    finally:
        await store.close()
    return books


def _add(books: Books, batch: FlowBatch) -> None:
    loss = batch.loss
    books.received += loss.received
    books.dropped += loss.dropped
    books.metered += loss.metered
    books.refused += loss.refused
    books.coalesced += loss.coalesced
    books.undecodable += sum(packets for _, packets in loss.undecodable)
    books.in_slices += int(batch.slices["initiator_packets"].sum()) + int(batch.slices["responder_packets"].sum())


@dataclass(frozen=True, slots=True)
class Alerts:
    """What the ledger and the collector say of the same alerts."""

    created: int  # revisions for this sink
    queued: int
    quarantined: int
    identity_holds: bool
    missing: int  # forwarded revisions that the collector does not have


def read_alerts(state_dir: Path, sink: str, collector: Path) -> Alerts:
    """The ledger's own view of its identity, and the ids on both sides."""
    with sqlite3.connect(f"file:{state_dir / 'ledger.db'}?mode=ro", uri=True) as ledger:
        created, queued, quarantined, holds = ledger.execute(
            "SELECT created, queued, quarantined, holds FROM ledger_identity WHERE sink = ?", (sink,)
        ).fetchone()
        forwarded = {
            f"{alert_id}/{revision}"
            for alert_id, revision in ledger.execute("SELECT alert_id, revision FROM alert_revision WHERE is_silenced = 0")
        }
    ledger.close()
    with sqlite3.connect(f"file:{collector}?mode=ro", uri=True) as upstream:
        arrived = {event_id for (event_id,) in upstream.execute("SELECT id FROM event")}
    upstream.close()
    return Alerts(int(created), int(queued), int(quarantined), bool(holds), len(forwarded - arrived))
