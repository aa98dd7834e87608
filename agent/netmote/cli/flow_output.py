"""What `netmote flows` writes: records as CSV, JSON lines, EVE lines, IPFIX or Parquet, totals as a line or an object."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from netmote.capture.packet_filter import PacketFilter
from netmote.capture.pcap_file import CaptureFile
from netmote.capture.tunnels import Tunnel
from netmote.cli.format import size
from netmote.errors import Permanent, Unavailable
from netmote.flow_export.eve.encoding import eve_lines
from netmote.flow_export.ipfix.file import IpfixFile
from netmote.metering.accounting import Accounting
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE, FlowBatch, FlowEndReason, address_text
from netmote.records.flow_statistics import derived_columns

_NAMES = FLOW_DTYPE.names or ()
_ADDRESSES = ("source_address", "destination_address")
_MOST_INTERFACES = 256
NO_RECORDS = np.zeros(0, FLOW_DTYPE)
_REASONS = {reason.value: reason.name.lower() for reason in FlowEndReason}
Write = Callable[[str, NDArray[np.void]], None]
"""Takes an interface, as the capture names it, and records of its flows."""


@dataclass
class CaptureTotals:
    """Totals of one file: `received = metered + refused + sum(undecodable)`."""

    capture: str
    flows: int = 0
    octets: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    interfaces: list[str] = field(default_factory=list)
    damage: str = ""
    left_out: int = 0
    """Packets that a filter did not want; in none of the others."""
    _meters: dict[str, tuple[FlowMeter, FlowAssembly]] = field(default_factory=dict)

    @property
    def accounting(self) -> Accounting:
        """Every packet read so far, by what became of it."""
        total = Accounting()
        for meter, _ in self._meters.values():
            total.add(meter.accounting)
        return total

    def read(
        self,
        capture: Path,
        metering: MeteringConfig,
        packet_filter: PacketFilter | None = None,
        *,
        tunnels: tuple[Tunnel, ...] = (),
    ) -> Iterator[tuple[str, NDArray[np.void]]]:
        """Meter the file, one meter for each interface it names, and yield whole flow records as they end, with its name."""
        with CaptureFile(capture, packet_filter=packet_filter, tunnels=tunnels) as blocks:
            for packets in blocks:
                if packets.interface not in self._meters:
                    if len(self._meters) >= _MOST_INTERFACES:
                        raise Permanent(f"{capture}: names more than {_MOST_INTERFACES} interfaces")
                    self._meters[packets.interface] = (_meter(packets.interface, metering), FlowAssembly())
                meter, assembly = self._meters[packets.interface]
                for records in self._assembled(assembly, meter.meter(packets, dropped=packets.dropped)):
                    yield packets.interface, records
            for interface, (meter, assembly) in self._meters.items():
                for records in self._assembled(assembly, meter.flush()):
                    yield interface, records
            self.left_out = 0 if packet_filter is None else packet_filter.rejected
            self.interfaces, self.damage = [name for name in blocks.interfaces if name], blocks.damage

    def _assembled(self, assembly: FlowAssembly, batches: list[FlowBatch]) -> Iterator[NDArray[np.void]]:
        for batch in batches:
            records = assembly.add(batch.slices)
            if len(records):
                self._count(records)
                yield records

    def _count(self, records: NDArray[np.void]) -> None:
        self.flows += len(records)
        self.octets += int(records["initiator_octets"].sum()) + int(records["responder_octets"].sum())
        first, last = int(records["flow_start_ns"].min()), int(records["flow_end_ns"].max())
        self.first_ns = first if self.first_ns is None else min(first, self.first_ns)
        self.last_ns = last if self.last_ns is None else max(last, self.last_ns)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        packets = self.accounting
        return {
            "capture": self.capture,
            "interfaces": self.interfaces,
            "received": packets.received,
            "metered": packets.metered,
            "refused": packets.refused,
            "undecodable": dict(sorted(packets.undecodable.items())),
            "dropped": packets.dropped,
            "left_out": self.left_out,
            "flows": self.flows,
            "octets": self.octets,
            "flow_start_ns": self.first_ns,
            "flow_end_ns": self.last_ns,
            "damage": self.damage,
        }


def _meter(interface: str, metering: MeteringConfig) -> FlowMeter:
    name = interface or "capture"
    return FlowMeter.configured(metering, source=f"capture:{name}", interface=name)


def record_columns(records: NDArray[np.void]) -> dict[str, list[Any]]:
    """Columns as Python values: addresses as text, the end reason as a word, all else of the record as integers; then what follows
    from them (means, variances, states), None where there is no such value.
    """
    columns: dict[str, list[Any]] = {}
    for name in _NAMES:
        if name in _ADDRESSES:
            columns[name] = [address_text(value) for value in np.ascontiguousarray(records[name]).view("V16").tolist()]
        elif name == "flow_end_reason":
            columns[name] = [_REASONS[value] for value in records[name].tolist()]
        else:
            columns[name] = records[name].tolist()
    for name, values in derived_columns(records).items():
        columns[name] = [None if is_none else value for is_none, value in zip(_is_none(values), values.tolist(), strict=True)]
    return columns


def _is_none(values: NDArray[Any]) -> list[bool]:
    """NaN is no value."""
    none = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), "?")
    return none.tolist()


@contextmanager
def flow_writer(form: str, output: Path | None) -> Iterator[Write]:
    """A function that writes records in one format. Raises Unavailable where the format needs what is not there."""
    if form == "parquet":
        yield from _parquet(output)
        return
    if form == "ipfix":
        yield from _ipfix(output)
        return
    stream: TextIO = sys.stdout
    if output is not None:
        try:
            stream = output.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise Permanent(f"{output}: {error.strerror}") from error
    try:
        yield {"csv": _csv, "jsonl": _json_lines, "eve": _eve_lines}[form](stream)
        stream.flush()
    finally:
        if output is not None:
            stream.close()


def _csv(stream: TextIO) -> Write:
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(record_columns(NO_RECORDS))

    def write(_interface: str, records: NDArray[np.void]) -> None:
        rows.writerows(zip(*record_columns(records).values(), strict=True))

    return write


def _json_lines(stream: TextIO) -> Write:
    def write(_interface: str, records: NDArray[np.void]) -> None:
        columns = record_columns(records)
        rows = zip(*columns.values(), strict=True)
        stream.writelines(json.dumps(dict(zip(columns, row, strict=True)), separators=(",", ":")) + "\n" for row in rows)

    return write


def _eve_lines(stream: TextIO) -> Write:
    def write(interface: str, records: NDArray[np.void]) -> None:
        stream.writelines(eve_lines(records, interface=interface))

    return write


def _ipfix(output: Path | None) -> Iterator[Write]:
    if output is None:
        raise Permanent("ipfix is binary and needs a place: --output FILE")
    try:
        file = output.open("wb")
    except OSError as error:
        raise Permanent(f"{output}: {error.strerror}") from error
    with file:
        messages = IpfixFile()

        def write(interface: str, records: NDArray[np.void]) -> None:
            file.writelines(messages.add(interface, records))

        yield write


def _parquet(output: Path | None) -> Iterator[Write]:
    if output is None:
        raise Permanent("parquet is binary and needs a place: --output FILE")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise Unavailable("parquet needs pyarrow: install netmote[parquet]") from error
    text = {*_ADDRESSES, "flow_end_reason"}
    kinds = {name: FLOW_DTYPE[name] for name in _NAMES} | {name: each.dtype for name, each in derived_columns(NO_RECORDS).items()}
    columns = [
        (name, pa.string() if name in text or kind.kind == "U" else pa.from_numpy_dtype(kind)) for name, kind in kinds.items()
    ]
    schema = pa.schema(columns)

    try:
        file = pq.ParquetWriter(output, schema)
    except OSError as error:
        raise Permanent(f"{output}: {error.strerror or error}") from error
    with file:

        def write(_interface: str, records: NDArray[np.void]) -> None:
            file.write_table(pa.table(record_columns(records), schema=schema))

        yield write


class Output:
    """Totals on standard output when they are what was asked for, else, like everything not a record, on standard error."""

    def __init__(self, *, json_lines: bool, summary: bool, output: Path | None) -> None:
        self._json_lines, self._summary = json_lines, summary
        self._console = Console(stderr=True)
        self._shows_progress = self._console.is_terminal and (summary or output is not None or not sys.stdout.isatty())

    @contextmanager
    def progress(self, totals: CaptureTotals) -> Iterator[None]:
        """A line that counts packets, on a terminal that nothing else writes to."""
        if not self._shows_progress:
            yield
            return
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _PacketsColumn(totals),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        ) as progress:
            progress.add_task(totals.capture, total=None)
            yield

    def summary(self, totals: CaptureTotals) -> None:
        """The totals of one file."""
        if self._json_lines:
            typer.echo(json.dumps(totals.as_dict()))
            return
        packets = totals.accounting
        if not self._summary and not (packets.undecodable or packets.refused or packets.dropped or totals.damage):
            return
        parts = [f"{packets.received} packets", f"{totals.flows} flows", size(totals.octets)]
        if packets.undecodable:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(packets.undecodable.items()))
            parts.append(f"{sum(packets.undecodable.values())} could not be decoded ({reasons})")
        if packets.refused:
            parts.append(f"{packets.refused} refused (flow table full)")
        if packets.dropped:
            parts.append(f"{packets.dropped} dropped before")
        if totals.left_out:
            parts.append(f"{totals.left_out} left out by the filter")
        if totals.damage:
            parts.append(totals.damage)
        typer.echo(f"{totals.capture}: {'; '.join(parts)}", err=not self._summary)

    def refused(self, capture: str, message: str) -> None:
        """A file that could not be read at all."""
        if self._json_lines:
            typer.echo(json.dumps({"capture": capture, "error": message}))
        else:
            typer.echo(f"netmote: {message}", err=True)


class _PacketsColumn(TextColumn):
    """Packets read so far."""

    def __init__(self, totals: CaptureTotals) -> None:
        super().__init__("")
        self._totals = totals

    def render(self, task: Any) -> Any:  # noqa: ARG002 (the signature of rich)
        from rich.text import Text

        return Text(f"{self._totals.accounting.received:,} packets")
