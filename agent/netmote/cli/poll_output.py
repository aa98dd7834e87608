"""What `netmote poll` prints: readings and records as tables for people, or as one JSON object a line for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from netmote.cli.format import time_text
from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.records.fact import Fact
from netmote.records.interface import INTERFACE_COUNTERS, AdminStatus, InterfaceBatch, InvalidReason, OperStatus
from netmote.snmp.config import TargetConfig
from netmote.snmp.counters import MALFORMED_BITS, NARROW, TICKS_PER_SECOND
from netmote.snmp.oid import oid_text
from netmote.snmp.reading import DeviceReading


class PollOutput:
    """Prints polls of one device to standard output."""

    def __init__(self, device: TargetConfig, *, json_lines: bool) -> None:
        self._device, self._json_lines, self._console = device, json_lines, Console()

    def reading(self, reading: DeviceReading, batch: InterfaceBatch, *, via: str, quirks: Sequence[str] = ()) -> None:
        """The first poll: every counter as it stands. `via` is the back end that spoke."""
        objects = reading_objects(reading, batch)
        if self._json_lines:
            self._lines([device_object(self._device, reading, via, quirks), *objects])
            return
        self._heading(reading, via, quirks)
        table = _table("ifIndex", "name", "alias", "oper", "speed", "in octets", "out octets", "in ucast", "out ucast")
        for each in objects:
            table.add_row(
                str(each["if_index"]),
                escape(each["name"]),
                escape(each["if_alias"]),
                each["if_oper_status"],
                _speed(each["if_high_speed"]),
                *(_count(each[name]) for name in _SHOWN),
            )
        self._console.print(table)

    def records(
        self, reading: DeviceReading, batch: InterfaceBatch, facts: Sequence[Fact], *, via: str, quirks: Sequence[str] = ()
    ) -> None:
        """A later poll: what each counter grew by."""
        objects = record_objects(batch)
        if self._json_lines:
            self._lines([device_object(self._device, reading, via, quirks), *objects, *map(fact_object, facts)])
            return
        self._heading(reading, via, quirks)
        table = _table("ifIndex", "name", "oper", "in", "out", "ucast in/out", "errors", "discards", "not told")
        seconds = batch.duration_ns / NANOSECONDS_PER_SECOND
        for each in objects:
            table.add_row(
                str(each["if_index"]),
                escape(each["name"]),
                each["if_oper_status"],
                _rate(each["if_hc_in_octets"], seconds, 8, "bit/s"),
                _rate(each["if_hc_out_octets"], seconds, 8, "bit/s"),
                _pair(each, "if_hc_{}_ucast_pkts"),
                _pair(each, "if_{}_errors"),
                _pair(each, "if_{}_discards"),
                escape(", ".join(sorted(set(each["invalid"].values()) - {"absent"}))),
            )
        self._console.print(table)
        for fact in facts:
            self._console.print(f"[yellow]{fact.name}[/] {escape(str(fact.entity))} {fact.value:g}")

    def _heading(self, reading: DeviceReading, via: str, quirks: Sequence[str]) -> None:
        up_time = "unknown" if reading.instant.sys_up_time is None else _days(reading.instant.sys_up_time / TICKS_PER_SECOND)
        title = f"[bold]{escape(self._device.name)}[/] {escape(reading.system.sys_name)}  up {up_time}"
        self._console.print(
            f"{title}  answered in {reading.round_trip_seconds * 1000:.1f} ms via {via}  {len(reading.ports.if_index)} interfaces"
        )
        if reading.system.sys_descr:
            self._console.print(f"[dim]{escape(reading.system.sys_descr)}[/]")
        for quirk in quirks:
            self._console.print(f"[yellow]{escape(quirk)}[/]")
        for column, status in reading.refused_columns.items():
            self._console.print(f"[yellow]{column}: the device answers {escape(status)}[/]")

    def _lines(self, objects: Sequence[dict[str, Any]]) -> None:
        for each in objects:
            sys.stdout.write(json.dumps(each, ensure_ascii=False) + "\n")
        sys.stdout.flush()


_SHOWN = ("if_hc_in_octets", "if_hc_out_octets", "if_hc_in_ucast_pkts", "if_hc_out_ucast_pkts")
_LEFT = ("name", "alias", "oper", "not told")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=column not in ("alias", "not told"))
    return table


def _pair(each: dict[str, Any], name: str) -> str:
    return f"{_count(each[name.format('in')])}/{_count(each[name.format('out')])}"


def device_object(device: TargetConfig, reading: DeviceReading, via: str, quirks: Sequence[str] = ()) -> dict[str, Any]:
    """The device as one JSON object."""
    system = reading.system
    return {
        "type": "device",
        "device": device.name,
        "address": device.address,
        "port": device.port,
        "backend": via,
        "time": time_text(reading.wall_ns),
        "time_ns": reading.wall_ns,
        "sys_descr": system.sys_descr,
        "sys_object_id": oid_text(system.sys_object_id) if system.sys_object_id else None,
        "sys_name": system.sys_name,
        "sys_contact": system.sys_contact,
        "sys_location": system.sys_location,
        "sys_up_time": reading.instant.sys_up_time,
        "round_trip_seconds": round(reading.round_trip_seconds, 6),
        "interfaces": len(reading.ports.if_index),
        "refused_columns": dict(reading.refused_columns),
        "quirks": list(quirks),
    }


def _port_object(kind: str, batch: InterfaceBatch, row: int) -> dict[str, Any]:
    return {
        "type": kind,
        "entity": str(batch.interfaces[row]),
        "name": batch.interfaces[row].name.partition("/")[2],
        "if_index": int(batch.if_index[row]),
        "if_alias": batch.if_alias[row],
        "if_type": int(batch.if_type[row]),
        "if_high_speed": int(batch.if_high_speed[row]),
        "if_admin_status": AdminStatus(batch.if_admin_status[row]).name.lower(),
        "if_oper_status": OperStatus(batch.if_oper_status[row]).name.lower(),
    }


def reading_objects(reading: DeviceReading, batch: InterfaceBatch) -> list[dict[str, Any]]:
    """One object a port with every counter as it stands; null: the device has no such counter, or not of a counter's type."""
    row_of = {int(index): row for row, index in enumerate(reading.ports.if_index)}
    objects = []
    for row, index in enumerate(batch.if_index):
        at = row_of[int(index)]
        each = _port_object("interface", batch, row)
        each |= {"if_name": reading.ports.if_name[at], "if_descr": reading.ports.if_descr[at]}
        bits, values = reading.counters.bits[at], reading.counters.values[at]
        for column, name in enumerate(INTERFACE_COUNTERS):
            each[name] = None if bits[column] in (0, MALFORMED_BITS) else int(values[column])
        each["counter32"] = [name for column, name in enumerate(INTERFACE_COUNTERS) if bits[column] == NARROW]
        objects.append(each)
    return sorted(objects, key=_by_if_index)


def record_objects(batch: InterfaceBatch) -> list[dict[str, Any]]:
    """One object a port with what every counter grew by; null where that cannot be told, with the reason in `invalid`."""
    objects = []
    for row in range(len(batch.interfaces)):
        each = _port_object("interface_record", batch, row)
        each |= {"start_ns": batch.start_ns, "end_ns": batch.end_ns, "duration_ns": batch.duration_ns}
        reasons = batch.invalid[row]
        for column, name in enumerate(INTERFACE_COUNTERS):
            each[name] = int(batch.deltas[row, column]) if reasons[column] == InvalidReason.VALID else None
        each["invalid"] = {
            name: InvalidReason(reasons[column]).name.lower()
            for column, name in enumerate(INTERFACE_COUNTERS)
            if reasons[column] != InvalidReason.VALID
        }
        objects.append(each)
    return sorted(objects, key=_by_if_index)


def _by_if_index(each: dict[str, Any]) -> int:
    return int(each["if_index"])


def fact_object(fact: Fact) -> dict[str, Any]:
    """A fact as one JSON object."""
    return {
        "type": "fact",
        "entity": str(fact.entity),
        "name": fact.name,
        "time_ns": fact.time_ns,
        "value": fact.value,
        "annotations": dict(fact.annotations),
    }


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _rate(delta: int | None, seconds: float, factor: int, unit: str) -> str:
    if delta is None or seconds <= 0:
        return "-"
    rate = delta * factor / seconds
    for prefix in ("", "k", "M", "G"):
        if rate < 1000:
            return f"{rate:.3g} {prefix}{unit}"
        rate /= 1000
    return f"{rate:.3g} T{unit}"


def _speed(if_high_speed: int) -> str:
    if not if_high_speed:
        return "-"
    return f"{if_high_speed / 1000:g} Gbit/s" if if_high_speed >= 1000 else f"{if_high_speed} Mbit/s"


def _days(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3_600)
    return f"{days} d {hours:02}:{rest // 60:02}:{rest % 60:02}"
