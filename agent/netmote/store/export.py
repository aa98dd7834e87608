"""Tables out of the store as CSV, JSON lines or Parquet, streaming: one stored batch is in memory at a time.

Every row of CSV and JSON lines begins with `schema_version`; Parquet carries it in the file's metadata. A value that is
absent, and a number that is NaN, is an empty field, a null, a null.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Protocol

from netmote.errors import Unavailable
from netmote.store.export_source import Span, Table
from netmote.store.export_tables import SCHEMA_VERSION, Chunk, Columns, without_nan

FORMATS = ("csv", "jsonl", "parquet")


class Writer(Protocol):
    """Takes chunks and writes rows."""

    def write(self, chunk: Chunk) -> None: ...

    def finish(self) -> None: ...


class CsvWriter:
    """RFC 4180 with a header line; line ends are LF, as tools of this platform expect."""

    def __init__(self, stream: IO[str], columns: Columns) -> None:
        self._names = [name for name, _ in columns]
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(["schema_version", *self._names])

    def write(self, chunk: Chunk) -> None:
        columns = [without_nan(chunk[name]) for name in self._names]
        self._writer.writerows((SCHEMA_VERSION, *row) for row in zip(*columns, strict=True))

    def finish(self) -> None:
        """Nothing is held back."""


class JsonLinesWriter:
    """One object a line."""

    def __init__(self, stream: IO[str], columns: Columns) -> None:
        self._names, self._stream = [name for name, _ in columns], stream

    def write(self, chunk: Chunk) -> None:
        columns = [without_nan(chunk[name]) for name in self._names]
        for row in zip(*columns, strict=True):
            document = {"schema_version": SCHEMA_VERSION, **dict(zip(self._names, row, strict=True))}
            self._stream.write(json.dumps(document, separators=(",", ":")) + "\n")

    def finish(self) -> None:
        """Nothing is held back."""


def export_table(
    state_dir: Path, table: Table, span: Span, *, text: Callable[[], IO[str]], binary: Callable[[], IO[bytes]], form: str
) -> int:
    """Write the rows of `span` in the given format; returns how many. `text` and `binary` open the output when it is needed.

    Raises Unavailable (no pyarrow) and Retryable (a file that cannot be read now); damaged batches are left out and counted
    in `span.damaged`.
    """
    writer: Writer
    match form:
        case "csv":
            writer = CsvWriter(text(), table.columns)
        case "jsonl":
            writer = JsonLinesWriter(text(), table.columns)
        case "parquet":
            metadata = {
                "netmote.table": table.name,
                "netmote.schema_version": str(SCHEMA_VERSION),
                "netmote.from_ns": str(span.from_ns),
                "netmote.to_ns": str(span.to_ns),
            }
            writer = _parquet_writer(binary, table.columns, metadata)
        case _:
            raise ValueError(f"{form!r} is no format; there are {', '.join(FORMATS)}")
    return _pour(table.chunks(state_dir, span), writer, table.columns)


def _pour(chunks: Iterable[Chunk], writer: Writer, columns: Columns) -> int:
    rows, first = 0, columns[0][0]
    for chunk in chunks:
        if chunk[first]:
            writer.write(chunk)
            rows += len(chunk[first])
    writer.finish()
    return rows


def _parquet_writer(binary: Callable[[], IO[bytes]], columns: Columns, metadata: Mapping[str, str]) -> Writer:
    try:
        from netmote.store.parquet_writer import ParquetWriter  # noqa: PLC0415 -- an extra, and 60 MB to import
    except ImportError as error:
        raise Unavailable("Parquet needs pyarrow: install netmote[parquet], or choose csv or jsonl") from error
    return ParquetWriter(binary(), columns, metadata)
