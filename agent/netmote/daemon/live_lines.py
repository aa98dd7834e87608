"""What a live reader is sent: records, scores and alerts as JSON lines. Pure; for a worker thread, some hundred records at a time.

Every line has `kind`: `flow` (a slice), `pane` (what became of its packets), `interface`, `device`, `host`, `fact`, `score`, `alert`.
Times are integer nanoseconds as in the records, those of an alert are its document's. What is not known is null.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from netmote.alerts.alert import Committed
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.fact import FactBatch
from netmote.records.flow import FLOW_DTYPE, FlowBatch, FlowEndReason, address_text
from netmote.records.host import HostRecord
from netmote.records.interface import INTERFACE_COUNTERS, AdminStatus, InterfaceBatch, InvalidReason, OperStatus
from netmote.scoring.finding import ScoreBatch
from netmote.sinks.alert_document import alert_document

RECORDS, SCORES, ALERTS = "records", "scores", "alerts"
KINDS = (RECORDS, SCORES, ALERTS)

_CHUNK = 500  # records in one block
_REASONS = {reason.value: reason.name.lower() for reason in FlowEndReason}
_ADDRESSES = ("source_address", "destination_address")

Item = Batch | ScoreBatch | tuple[Committed, ...]


def records_in(item: Item) -> int:
    """How many lines, about: what a buffer is bounded by."""
    match item:
        case FlowBatch():
            return len(item.slices) + 1
        case InterfaceBatch():
            return len(item.interfaces)
        case FactBatch():
            return len(item.facts)
        case ScoreBatch():
            return len(item.entities)
        case tuple():
            return len(item)
        case _:
            return 1


def blocks(item: Item) -> Iterator[bytes]:
    """The lines of one item, in blocks of a few hundred."""
    block: list[bytes] = []
    for document in _documents(item):
        block.append(json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii"))
        if len(block) == _CHUNK:
            yield b"\n".join(block) + b"\n"
            block.clear()
    if block:
        yield b"\n".join(block) + b"\n"


def _documents(item: Item) -> Iterator[dict[str, Any]]:
    match item:
        case FlowBatch():
            yield from _flows(item)
        case InterfaceBatch():
            yield from _interfaces(item)
        case DeviceRecord():
            yield _device(item)
        case HostRecord():
            yield {"kind": "host", **_interval(item), "sensor": item.sensor.name, "gauges": _gauges(item.gauges)}
        case FactBatch():
            yield from _facts(item)
        case ScoreBatch():
            yield from _scores(item)
        case tuple():
            yield from ({"kind": "alert", **alert_document(committed)} for committed in item)


def _interval(batch: Batch | ScoreBatch) -> dict[str, Any]:
    source = {} if isinstance(batch, ScoreBatch) else {"source": batch.source}
    return {**source, "start_ns": batch.start_ns, "end_ns": batch.end_ns}


def _flows(batch: FlowBatch) -> Iterator[dict[str, Any]]:
    names = FLOW_DTYPE.names or ()
    for first in range(0, len(batch.slices), _CHUNK):
        slices = batch.slices[first : first + _CHUNK]
        columns = []
        for name in names:
            if name in _ADDRESSES:
                columns.append([address_text(value) for value in np.ascontiguousarray(slices[name]).view("V16").tolist()])
            elif name == "flow_end_reason":
                columns.append([_REASONS.get(value, str(value)) for value in slices[name].tolist()])
            else:
                columns.append(slices[name].tolist())
        for row in zip(*columns, strict=True):
            yield {"kind": "flow", "source": batch.source, **dict(zip(names, row, strict=True))}
    loss = batch.loss
    yield {
        "kind": "pane",
        **_interval(batch),
        "slices": len(batch.slices),
        "received": loss.received,
        "metered": loss.metered,
        "refused": loss.refused,
        "undecodable": dict(loss.undecodable),
        "dropped": loss.dropped,
        "dropped_by": dict(loss.dropped_by),
    }


def _interfaces(batch: InterfaceBatch) -> Iterator[dict[str, Any]]:
    for at, (entity, deltas, invalid) in enumerate(
        zip(batch.interfaces, batch.deltas.tolist(), batch.invalid.tolist(), strict=True)
    ):
        counters = zip(INTERFACE_COUNTERS, deltas, invalid, strict=True)
        yield {
            "kind": "interface",
            **_interval(batch),
            "interface": entity.name,
            "duration_ns": batch.duration_ns,
            "if_alias": batch.if_alias[at],
            "if_admin_status": AdminStatus(int(batch.if_admin_status[at])).name.lower(),
            "if_oper_status": OperStatus(int(batch.if_oper_status[at])).name.lower(),
            "deltas": {name: delta if why == InvalidReason.VALID else None for name, delta, why in counters},
        }


def _device(record: DeviceRecord) -> dict[str, Any]:
    return {
        "kind": "device",
        **_interval(record),
        "device": record.device.name,
        "is_reachable": record.is_reachable,
        "round_trip_ns": record.round_trip_ns,
        "sys_up_time": record.sys_up_time,
        "requests": record.requests,
        "timeouts": record.timeouts,
        "gauges": _gauges(record.gauges),
    }


def _facts(batch: FactBatch) -> Iterator[dict[str, Any]]:
    for fact in batch.facts:
        yield {
            "kind": "fact",
            "source": batch.source,
            "entity": str(fact.entity),
            "name": fact.name,
            "time_ns": fact.time_ns,
            "value": _number(fact.value),
            "annotations": dict(fact.annotations),
        }


def _scores(batch: ScoreBatch) -> Iterator[dict[str, Any]]:
    for entity, surprise in zip(batch.entities, batch.surprise.tolist(), strict=True):
        known = _number(surprise)
        yield {
            "kind": "score",
            **_interval(batch),
            "detector": batch.detector,
            "schema": batch.schema_name,
            "entity": str(entity),
            "surprise": known,
            "score": None if known is None else 1.0 - 10.0 ** -min(max(known, 0.0), 300.0),
        }


def _gauges(gauges: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in gauges.items()}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
