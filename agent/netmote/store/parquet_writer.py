"""Chunks to a Parquet file. The only module of the room that needs pyarrow, which is an extra: imported when asked for."""

from collections.abc import Mapping
from typing import IO, Any

import pyarrow as pa
from pyarrow.parquet import ParquetWriter as ParquetFile

from netmote.store.export_tables import Chunk, Columns, without_nan

_ROW_GROUP = 65_536


class ParquetWriter:
    """Zstandard-compressed row groups of up to 65,536 rows."""

    def __init__(self, stream: IO[bytes], columns: Columns, metadata: Mapping[str, str]) -> None:
        types = {
            "integer": pa.int64(),
            "unsigned": pa.uint64(),
            "real": pa.float64(),
            "text": pa.string(),
            "boolean": pa.bool_(),
        }
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns], metadata=dict(metadata))
        self._writer = ParquetFile(stream, self._schema, compression="zstd")
        self._held: list[Any] = []
        self._held_rows = 0

    def write(self, chunk: Chunk) -> None:
        arrays = [pa.array(without_nan(chunk[field.name]), type=field.type) for field in self._schema]
        self._held.append(pa.record_batch(arrays, schema=self._schema))
        self._held_rows += self._held[-1].num_rows
        if self._held_rows >= _ROW_GROUP:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, schema=self._schema))
            self._held, self._held_rows = [], 0
