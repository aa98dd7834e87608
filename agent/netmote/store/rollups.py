"""Per-minute sums kept beside the batches, for people and their SQL. An interval counts for the minute in which it ends."""

import sqlite3

import numpy as np

from netmote.records.batch import Batch
from netmote.records.flow import FlowBatch
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.store.interning import Interner
from netmote.store.telemetry_schema import MINUTE_NS

_IN_OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")
_OUT_OCTETS = INTERFACE_COUNTERS.index("if_hc_out_octets")
# RFC 2863 section 3.1.7: packets are the sum of unicast, multicast and broadcast.
_IN_PACKETS = [INTERFACE_COUNTERS.index(f"if_hc_in_{cast}_pkts") for cast in ("ucast", "multicast", "broadcast")]
_OUT_PACKETS = [INTERFACE_COUNTERS.index(f"if_hc_out_{cast}_pkts") for cast in ("ucast", "multicast", "broadcast")]

# No link carries this much in a minute (4 PB); the bound keeps a senseless counter from overflowing SQLite's 64-bit sums.
_MOST = 1 << 52

_INTERFACE = """
INSERT INTO interface_minute(minute_ns, entity_id, receive_octets, transmit_octets, receive_packets, transmit_packets,
                             intervals, invalid_intervals)
VALUES(?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT DO UPDATE SET
  receive_octets = receive_octets + excluded.receive_octets, transmit_octets = transmit_octets + excluded.transmit_octets,
  receive_packets = receive_packets + excluded.receive_packets, transmit_packets = transmit_packets + excluded.transmit_packets,
  intervals = intervals + 1, invalid_intervals = invalid_intervals + excluded.invalid_intervals
"""
_FLOW = """
INSERT INTO flow_minute(minute_ns, source_id, slices, octets, packets, dropped_packets) VALUES(?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  slices = slices + excluded.slices, octets = octets + excluded.octets, packets = packets + excluded.packets,
  dropped_packets = dropped_packets + excluded.dropped_packets
"""


def roll_up(connection: sqlite3.Connection, interner: Interner, batch: Batch) -> None:
    """Add a batch to the sums of its minute, inside the caller's transaction."""
    minute = (batch.end_ns - 1) // MINUTE_NS * MINUTE_NS
    match batch:
        case FlowBatch():
            slices = batch.slices
            octets = min(_MOST, int(slices["initiator_octets"].sum()) + int(slices["responder_octets"].sum()))
            packets = min(_MOST, int(slices["initiator_packets"].sum()) + int(slices["responder_packets"].sum()))
            dropped = min(_MOST, batch.loss.dropped + batch.loss.refused)
            source_id = interner.text(connection, batch.source)
            connection.execute(_FLOW, (minute, source_id, len(slices), octets, packets, dropped))
        case InterfaceBatch():
            valid = np.where(batch.invalid == InvalidReason.VALID, batch.deltas, 0).clip(max=_MOST)
            lacking = (batch.invalid[:, [_IN_OCTETS, _OUT_OCTETS]] != InvalidReason.VALID).any(axis=1)
            columns = zip(
                batch.interfaces,
                valid[:, _IN_OCTETS].tolist(),
                valid[:, _OUT_OCTETS].tolist(),
                valid[:, _IN_PACKETS].sum(axis=1).tolist(),
                valid[:, _OUT_PACKETS].sum(axis=1).tolist(),
                lacking.tolist(),
                strict=True,
            )
            connection.executemany(
                _INTERFACE, ((minute, interner.entity(connection, entity), *sums) for entity, *sums in columns)
            )
        case _:
            pass
