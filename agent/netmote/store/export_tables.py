"""The tables people export: their columns, and how a batch becomes a chunk of rows. No I/O.

Names are those of the records; times are integer nanoseconds UTC.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from netmote.alerts.alert import Committed
from netmote.alerts.encoding import encode_alert
from netmote.records.device import DeviceRecord
from netmote.records.fact import FactBatch
from netmote.records.flow import FLOW_DTYPE, FlowBatch, address_text
from netmote.records.host import HOST_GAUGES, HostRecord
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason

# Raised with every change of a table's columns.
SCHEMA_VERSION = 1

Kind = Literal["integer", "unsigned", "real", "text", "boolean"]
Columns: TypeAlias = tuple[tuple[str, Kind], ...]
Chunk: TypeAlias = Mapping[str, Sequence[Any]]  # a list per column, of one length; None where there is no value

_ADDRESSES = ("source_address", "destination_address")


def _interval(*more: tuple[str, Kind]) -> Columns:
    return (("source", "text"), ("start_ns", "integer"), ("end_ns", "integer"), *more)


def _flow_kind(name: str) -> Kind:
    return "text" if name in _ADDRESSES else "integer" if name.endswith("_ns") else "unsigned"


FLOW_COLUMNS = _interval(("interface", "text"), *((name, _flow_kind(name)) for name in FLOW_DTYPE.names or ()))
_INTERFACE_TEXTS: Columns = (("device", "text"), ("interface", "text"), ("if_alias", "text"))
_INTERFACE_NUMBERS = ("if_index", "if_type", "if_high_speed", "if_admin_status", "if_oper_status")
INTERFACE_COLUMNS = _interval(
    ("duration_ns", "integer"),
    *_INTERFACE_TEXTS,
    *((name, "integer") for name in _INTERFACE_NUMBERS),
    *((name, "integer") for name in INTERFACE_COUNTERS),
    ("invalid", "text"),
)
DEVICE_COLUMNS = _interval(
    ("device", "text"),
    ("is_reachable", "boolean"),
    ("round_trip_ns", "integer"),
    ("sys_up_time", "integer"),
    ("requests", "integer"),
    ("timeouts", "integer"),
    ("gauges", "text"),
)
HOST_COLUMNS = _interval(("sensor", "text"), *((name, "real") for name in HOST_GAUGES))
FACT_COLUMNS: Columns = (
    ("source", "text"),
    ("time_ns", "integer"),
    ("entity", "text"),
    ("name", "text"),
    ("value", "real"),
    ("annotations", "text"),
)
ALERT_COLUMNS: Columns = (
    ("sensor", "text"),
    ("ledger_epoch", "text"),
    ("seq", "integer"),
    ("committed_at_ns", "integer"),
    ("alert_id", "text"),
    ("revision", "integer"),
    ("fingerprint", "text"),
    ("state", "text"),
    ("group", "text"),
    ("detector", "text"),
    ("entity", "text"),
    ("severity", "text"),
    ("title", "text"),
    ("score", "real"),
    ("surprise", "real"),
    ("started_at_ns", "integer"),
    ("fired_at_ns", "integer"),
    ("last_seen_ns", "integer"),
    ("resolved_at_ns", "integer"),
    ("count", "integer"),
    ("technique", "text"),
    ("is_silenced", "boolean"),
    ("document", "text"),  # the canonical JSON: contributors, evidence and all
)


def flow_chunk(batch: FlowBatch) -> Chunk:
    """A row per flow slice."""
    rows = len(batch.slices)
    chunk: dict[str, Sequence[Any]] = {
        "source": [batch.source] * rows,
        "start_ns": [batch.start_ns] * rows,
        "end_ns": [batch.end_ns] * rows,
        "interface": [batch.interface] * rows,
    }
    for name in FLOW_DTYPE.names or ():
        values = batch.slices[name]
        chunk[name] = _addresses(values) if name in _ADDRESSES else values.tolist()
    return chunk


def _addresses(values: Any) -> list[str]:
    octets = [value.tobytes() for value in values]
    texts = {address: address_text(address) for address in set(octets)}
    return [texts[address] for address in octets]


def interface_chunk(batch: InterfaceBatch) -> Chunk:
    """A row per port; a difference that is invalid is None, with the reason in `invalid`."""
    rows = len(batch.interfaces)
    chunk: dict[str, Sequence[Any]] = {
        "source": [batch.source] * rows,
        "start_ns": [batch.start_ns] * rows,
        "end_ns": [batch.end_ns] * rows,
        "duration_ns": [batch.duration_ns] * rows,
        "device": [batch.device.name] * rows,
        "interface": [entity.name for entity in batch.interfaces],
        "if_alias": batch.if_alias,
        **{name: getattr(batch, name).tolist() for name in _INTERFACE_NUMBERS},
    }
    valid = batch.invalid == InvalidReason.VALID
    for index, name in enumerate(INTERFACE_COUNTERS):
        pairs = zip(batch.deltas[:, index].tolist(), valid[:, index].tolist(), strict=True)
        chunk[name] = [value if is_valid else None for value, is_valid in pairs]
    chunk["invalid"] = [_invalid_text(row) for row in batch.invalid]
    return chunk


def _invalid_text(reasons: Any) -> str | None:
    cells = [f"{INTERFACE_COUNTERS[index]}={_reason(reasons[index])}" for index in np.flatnonzero(reasons).tolist()]
    return ";".join(cells) or None


def _reason(number: int) -> str:
    try:
        return InvalidReason(int(number)).name.lower()
    except ValueError:  # of a newer version
        return str(int(number))


def device_chunk(record: DeviceRecord) -> Chunk:
    """One row, the gauges as a JSON object."""
    values = {name: getattr(record, name) for name, _ in DEVICE_COLUMNS if name not in ("device", "gauges")}
    gauges = {name: value if math.isfinite(value) else None for name, value in record.gauges.items()}
    return {name: [value] for name, value in {**values, "device": record.device.name, "gauges": json.dumps(gauges)}.items()}


def host_chunk(record: HostRecord) -> Chunk:
    """One row, a column per gauge."""
    values = {"source": record.source, "start_ns": record.start_ns, "end_ns": record.end_ns, "sensor": record.sensor.name}
    gauges = {name: record.gauges.get(name, math.nan) for name in HOST_GAUGES}
    return {name: [value] for name, value in {**values, **gauges}.items()}


def fact_chunk(batch: FactBatch, from_ns: int, to_ns: int) -> Chunk:
    """Facts have instants of their own: those within [from, to)."""
    facts = [fact for fact in batch.facts if from_ns <= fact.time_ns < to_ns]
    return {
        "source": [batch.source] * len(facts),
        "time_ns": [fact.time_ns for fact in facts],
        "entity": [str(fact.entity) for fact in facts],
        "name": [fact.name for fact in facts],
        "value": [fact.value for fact in facts],
        "annotations": [json.dumps(dict(fact.annotations)) for fact in facts],
    }


def alert_chunk(rows: Sequence[Committed]) -> Chunk:
    """A row per revision, with the canonical document at the end."""
    committed = ("sensor", "ledger_epoch", "seq", "committed_at_ns")
    derived: dict[str, Sequence[Any]] = {
        "entity": [str(row.alert.entity) for row in rows],
        "state": [row.alert.state.value for row in rows],
        "severity": [row.alert.severity.word for row in rows],
        "document": [encode_alert(row.alert).decode("ascii") for row in rows],
    }
    return {
        name: derived.get(name) or [getattr(row if name in committed else row.alert, name) for row in rows]
        for name, _ in ALERT_COLUMNS
    }


def without_nan(values: Sequence[Any]) -> Sequence[Any]:
    """NaN is no value: None."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]
