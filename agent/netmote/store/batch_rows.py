"""Batches of records to and from rows of a telemetry file, bit for bit.

Columnar batches (flows, interfaces) are one BLOB; a device record, a host record and a batch of facts are rows. A CRC-32 over
its number, span, source and BLOB guards each batch. A flow layout that differs from today's is read by column name: columns it lacks are zero, columns we dropped are
ignored, so files of an older version stay readable.
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

import json
import math
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import FLOW_DTYPE, CaptureLoss, FlowBatch
from netmote.records.host import HostRecord
from netmote.records.interface import InterfaceBatch
from netmote.store.columns import Column, decode_columns, encode_columns, layout_of
from netmote.store.interning import Interner, Names

_INTERFACE_COLUMNS = ("deltas", "invalid", "if_index", "if_type", "if_high_speed", "if_admin_status", "if_oper_status")


class BatchDamaged(Exception):
    """A stored batch fails its check. Stays in the room: the reader counts it and goes on."""


class BatchRow(NamedTuple):
    """A row of `batch`, as `SELECT_BATCH` gives it."""

    batch_id: int
    kind: str
    source_id: int
    start_ns: int
    end_ns: int
    rows: int
    entity_id: int | None
    detail: str | None
    layout_id: int | None
    crc: int | None
    body: bytes | None


SELECT_BATCH = f"SELECT {', '.join(BatchRow._fields)} FROM batch "

_INSERT = (
    "INSERT INTO batch(batch_id, kind, source_id, start_ns, end_ns, rows, entity_id, detail, layout_id, crc, body,"
    " appended_at_ns, running_ns) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def check_of(row: BatchRow) -> int:
    """CRC-32 over what makes the row: its head and its body."""
    head = "|".join(map(str, row[: BatchRow._fields.index("crc")])).encode("utf-8", "surrogatepass")
    return zlib.crc32(row.body or b"", zlib.crc32(head))


def is_sound(row: BatchRow) -> bool:
    """Whether the row passes its check. In files of an older version that is over the body alone; without a body there was none."""
    if row.crc is None:
        return row.body is None
    return row.crc == check_of(row) or (row.body is not None and row.crc == zlib.crc32(row.body))


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a batch is appended: wall time, and how long the agent has run."""

    now_ns: int
    running_ns: int


def kind_of(batch: Batch) -> str:
    """The word for a batch's kind in the file."""
    match batch:
        case FlowBatch():
            return "flow"
        case InterfaceBatch():
            return "interface"
        case DeviceRecord():
            return "device"
        case HostRecord():
            return "host"
        case FactBatch():
            return "fact"


def prepare(batch: Batch) -> tuple[str, bytes] | None:
    """The costly part of a columnar batch (layout and compressed columns of what needs no number), done before BEGIN."""
    match batch:
        case FlowBatch():
            if batch.slices.dtype != FLOW_DTYPE:
                raise TypeError(f"flow slices have the dtype {batch.slices.dtype}, not FLOW_DTYPE")
            columns: list[Column] = [(name, batch.slices[name]) for name in FLOW_DTYPE.names or ()]
            return layout_of(columns), encode_columns(columns)
        case _:
            return None


def insert_batch(
    connection: sqlite3.Connection, interner: Interner, batch: Batch, prepared: tuple[str, bytes] | None, stamp: Stamp
) -> int:
    """Store one batch inside the caller's transaction and return its id."""
    rows, entity_id, detail = 1, None, None
    match batch:
        case FlowBatch():
            rows, detail = len(batch.slices), _flow_detail(batch)
        case InterfaceBatch():
            rows, entity_id = len(batch.interfaces), interner.entity(connection, batch.device)
            detail = json.dumps({"duration_ns": batch.duration_ns})
            columns = _interface_columns(connection, interner, batch)
            prepared = layout_of(columns), encode_columns(columns)
        case DeviceRecord():
            entity_id = interner.entity(connection, batch.device)
        case HostRecord():
            entity_id = interner.entity(connection, batch.sensor)
        case FactBatch():
            rows = len(batch.facts)
    layout_id, body = None, None
    if prepared is not None:
        layout_id, body = interner.layout(connection, prepared[0]), prepared[1]
    # The number is in the check, so it is fixed first; the transaction is ours alone.
    (last,) = connection.execute("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'batch'), 0)").fetchone()
    batch_id, source_id = int(last) + 1, interner.text(connection, batch.source)
    row = BatchRow(
        batch_id, kind_of(batch), source_id, batch.start_ns, batch.end_ns, rows, entity_id, detail, layout_id, None, body
    )
    connection.execute(_INSERT, (*row._replace(crc=check_of(row)), stamp.now_ns, stamp.running_ns))
    match batch:
        case DeviceRecord():
            connection.execute(
                "INSERT INTO device_record(batch_id, is_reachable, round_trip_ns, sys_up_time, requests, timeouts) VALUES(?, ?, ?, ?, ?, ?)",
                (batch_id, int(batch.is_reachable), batch.round_trip_ns, batch.sys_up_time, batch.requests, batch.timeouts),
            )
            _insert_gauges(connection, interner, batch_id, batch.gauges)
        case HostRecord():
            _insert_gauges(connection, interner, batch_id, batch.gauges)
        case FactBatch():
            _insert_facts(connection, interner, batch_id, batch.facts)
        case _:
            pass
    return batch_id


def _flow_detail(batch: FlowBatch) -> str:
    loss = batch.loss
    return json.dumps(
        {
            "interface": batch.interface,
            "received": loss.received,
            "metered": loss.metered,
            "refused": loss.refused,
            "undecodable": loss.undecodable,
            "dropped": loss.dropped,
            "dropped_by": loss.dropped_by,
            "coalesced": loss.coalesced,
        }
    )


def _interface_columns(connection: sqlite3.Connection, interner: Interner, batch: InterfaceBatch) -> list[Column]:
    entities = np.fromiter((interner.entity(connection, each) for each in batch.interfaces), np.int64, len(batch.interfaces))
    aliases = np.fromiter((interner.text(connection, each) for each in batch.if_alias), np.int64, len(batch.if_alias))
    return [("entity_id", entities), ("alias_id", aliases), *((name, getattr(batch, name)) for name in _INTERFACE_COLUMNS)]


def _insert_gauges(connection: sqlite3.Connection, interner: Interner, batch_id: int, gauges: Mapping[str, float]) -> None:
    rows = [(batch_id, interner.text(connection, name), float(value)) for name, value in gauges.items()]
    connection.executemany("INSERT INTO gauge(batch_id, name_id, value) VALUES(?, ?, ?)", rows)


def _insert_facts(connection: sqlite3.Connection, interner: Interner, batch_id: int, facts: tuple[Fact, ...]) -> None:
    rows = [
        (
            batch_id,
            ordinal,
            interner.entity(connection, fact.entity),
            interner.text(connection, fact.name),
            fact.time_ns,
            float(fact.value),
            json.dumps(dict(fact.annotations)) if fact.annotations else None,
        )
        for ordinal, fact in enumerate(facts)
    ]
    connection.executemany(
        "INSERT INTO fact(batch_id, ordinal, entity_id, name_id, time_ns, value, annotations) VALUES(?, ?, ?, ?, ?, ?, ?)", rows
    )


def read_batch(connection: sqlite3.Connection, names: Names, row: BatchRow) -> Batch:
    """The batch of a row. Raises BatchDamaged when it fails its check."""
    if not is_sound(row):
        raise BatchDamaged(f"batch {row.batch_id} fails its check")
    try:
        source = names.text(row.source_id)
        match row.kind:
            case "flow":
                return _flow_batch(names, row, source)
            case "interface":
                return _interface_batch(names, row, source)
            case "device":
                return _device_record(connection, names, row, source)
            case "host":
                sensor = names.entity(_required(row.entity_id))
                return HostRecord(source, row.start_ns, row.end_ns, sensor, _gauges(connection, names, row.batch_id))
            case "fact":
                return FactBatch(source, row.start_ns, row.end_ns, _facts(connection, names, row))
            case _:
                raise BatchDamaged(f"batch {row.batch_id} is of the unknown kind {row.kind!r}")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise BatchDamaged(f"batch {row.batch_id}: {error}") from error


def _required(number: int | None) -> int:
    if number is None:
        raise ValueError("a number is missing")
    return number


def _columns(names: Names, row: BatchRow) -> dict[str, Any]:
    if row.body is None:
        raise BatchDamaged(f"batch {row.batch_id} has no body")
    return decode_columns(row.body, row.rows, names.layout(_required(row.layout_id)))


def _flow_batch(names: Names, row: BatchRow, source: str) -> FlowBatch:
    columns, detail = _columns(names, row), json.loads(row.detail or "{}")
    slices = np.zeros(row.rows, FLOW_DTYPE)
    for name in FLOW_DTYPE.names or ():
        if name in columns:
            slices[name] = columns[name]
    undecodable, dropped_by = (
        tuple((why, packets) for why, packets in detail.get(key, ())) for key in ("undecodable", "dropped_by")
    )
    loss = CaptureLoss(
        detail["received"],
        detail["metered"],
        detail["refused"],
        undecodable,
        detail["dropped"],
        dropped_by,
        detail.get("coalesced", 0),  # absent in files of an older version, as `dropped_by`
    )
    return FlowBatch(source, row.start_ns, row.end_ns, detail["interface"], slices, loss)


def _interface_batch(names: Names, row: BatchRow, source: str) -> InterfaceBatch:
    columns, detail = _columns(names, row), json.loads(row.detail or "{}")
    return InterfaceBatch(
        source=source,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        device=names.entity(_required(row.entity_id)),
        interfaces=tuple(names.entity(int(number)) for number in columns["entity_id"]),
        duration_ns=detail["duration_ns"],
        if_alias=tuple(names.text(int(number)) for number in columns["alias_id"]),
        **{name: columns[name] for name in _INTERFACE_COLUMNS},
    )


def _device_record(connection: sqlite3.Connection, names: Names, row: BatchRow, source: str) -> DeviceRecord:
    record = connection.execute(
        "SELECT is_reachable, round_trip_ns, sys_up_time, requests, timeouts FROM device_record WHERE batch_id = ?",
        (row.batch_id,),
    ).fetchone()
    if record is None:
        raise BatchDamaged(f"batch {row.batch_id} has lost its device record")
    is_reachable, round_trip_ns, sys_up_time, requests, timeouts = record
    return DeviceRecord(
        source=source,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        device=names.entity(_required(row.entity_id)),
        is_reachable=bool(is_reachable),
        round_trip_ns=round_trip_ns,
        sys_up_time=sys_up_time,
        requests=requests,
        timeouts=timeouts,
        gauges=_gauges(connection, names, row.batch_id),
    )


def _gauges(connection: sqlite3.Connection, names: Names, batch_id: int) -> Mapping[str, float]:
    rows = connection.execute("SELECT name_id, value FROM gauge WHERE batch_id = ? ORDER BY name_id", (batch_id,))
    return MappingProxyType({names.text(name_id): _float(value) for name_id, value in rows.fetchall()})


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _facts(connection: sqlite3.Connection, names: Names, row: BatchRow) -> tuple[Fact, ...]:
    found = connection.execute(
        "SELECT entity_id, name_id, time_ns, value, annotations FROM fact WHERE batch_id = ? ORDER BY ordinal", (row.batch_id,)
    ).fetchall()
    if len(found) != row.rows:
        raise BatchDamaged(f"batch {row.batch_id} has {len(found)} of its {row.rows} facts")
    return tuple(
        Fact(
            names.entity(entity_id),
            names.text(name_id),
            time_ns,
            _float(value),
            MappingProxyType(json.loads(annotations) if annotations else {}),
        )
        for entity_id, name_id, time_ns, value, annotations in found
    )
