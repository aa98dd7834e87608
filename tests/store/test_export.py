"""Every table in every format holds what was recorded, streams, and says its schema version."""

import csv
import io
import json
import math
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_samples import SECOND, T0, alert, flow_batch, interface_batch, one_of_each

from netmote.records.flow import FLOW_DTYPE, address_text
from netmote.store.export import export_table
from netmote.store.export_source import TABLES, Span

EVER = (0, 2**62)


@pytest.fixture
async def recorded(opened):
    """A live store with one batch of each kind and two alerts."""
    store = await opened()
    await store.append(one_of_each())
    await store.commit([alert(1), alert(2, 3)], None)
    return store


def exported(tmp_path, table, form, span=None):
    text, binary = io.StringIO(), io.BytesIO()
    rows = export_table(tmp_path, TABLES[table], span or Span(*EVER), text=lambda: text, binary=lambda: binary, form=form)
    return rows, text.getvalue() if form != "parquet" else binary


EXPECTED_ROWS = {"flows": 100, "interfaces": 3, "devices": 1, "host": 1, "facts": 2, "alerts": 2}


@pytest.mark.parametrize("table", TABLES)
def test_all_formats_agree(recorded, tmp_path, table):
    """CSV, JSON lines and Parquet hold the same rows; absent values are empty, null, null; the version is in each."""
    rows, text = exported(tmp_path, table, "jsonl")
    documents = [json.loads(line) for line in text.splitlines()]
    assert rows == len(documents) == EXPECTED_ROWS[table]
    assert all(document.pop("schema_version") == 1 for document in documents)
    assert "NaN" not in text

    _, text = exported(tmp_path, table, "csv")
    records = list(csv.DictReader(io.StringIO(text)))
    assert [record.pop("schema_version") for record in records] == ["1"] * rows
    for record, document in zip(records, documents, strict=True):
        assert {name: "" if value is None else str(value) for name, value in document.items()} == record

    _, binary = exported(tmp_path, table, "parquet")
    read = pq.read_table(binary)
    assert read.schema.metadata[b"netmote.schema_version"] == b"1"
    assert read.schema.metadata[b"netmote.table"] == table.encode()
    assert read.to_pylist() == documents


def test_flows_are_what_was_captured(recorded, tmp_path):
    """Every IPFIX column in its dtype's full range, addresses as text."""
    batch = flow_batch()
    _, text = exported(tmp_path, "flows", "jsonl")
    documents = [json.loads(line) for line in text.splitlines()]
    for name in FLOW_DTYPE.names:
        column = [document[name] for document in documents]
        expected = batch.slices[name]
        assert column == (
            [address_text(each.tobytes()) for each in expected] if expected.dtype.kind == "V" else expected.tolist()
        )
    assert documents[0]["source_address"].count(".") == 3


def test_invalid_differences_are_no_numbers(recorded, tmp_path):
    """A cell that is not trusted is null with its reason beside, never a zero."""
    _, text = exported(tmp_path, "interfaces", "jsonl")
    document = json.loads(text.splitlines()[1])
    assert document["if_hc_in_octets"] is None
    assert document["invalid"] == "if_hc_in_octets=discontinuity"
    assert document["if_hc_out_octets"] == int(interface_batch().deltas[1, 1])


def test_alert_rows_carry_the_whole_document(recorded, tmp_path):
    """The last column is the canonical JSON, so nothing of an alert is lost in a table."""
    from netmote.alerts.encoding import decode_alert

    _, text = exported(tmp_path, "alerts", "csv")
    documents = [decode_alert(record["document"].encode()) for record in csv.DictReader(io.StringIO(text))]
    assert documents == [alert(1), alert(2, 3)]


async def test_the_span_is_half_open(opened, tmp_path):
    """Rows that overlap [from, to): an interval that ends at `from` or starts at `to` is not in it."""
    store = await opened()
    await store.append([flow_batch(T0 + pane * 5 * SECOND, rows=1) for pane in range(4)])
    await store.append([one_of_each(T0)[4]])
    rows, text = exported(tmp_path, "flows", "jsonl", Span(T0 + 5 * SECOND, T0 + 15 * SECOND))
    assert [json.loads(line)["start_ns"] for line in text.splitlines()] == [T0 + 5 * SECOND, T0 + 10 * SECOND]
    assert rows == 2
    assert exported(tmp_path, "facts", "jsonl", Span(T0 + 6, T0 + 7))[0] == 1
    assert exported(tmp_path, "flows", "jsonl", Span(T0 + 1000 * SECOND, T0 + 2000 * SECOND))[0] == 0


async def test_damage_is_left_out_and_counted(opened, tmp_path):
    """A damaged batch costs its own rows; the export goes on and says so."""
    import sqlite3

    store = await opened()
    await store.append([flow_batch(T0 + number * SECOND, rows=10) for number in range(3)])
    await store.close()
    (path,) = tmp_path.glob("telemetry-*.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE batch SET crc = crc + 1 WHERE batch_id = 2")
    connection.close()
    span = Span(*EVER)
    rows, _ = exported(tmp_path, "flows", "csv", span)
    assert (rows, span.damaged) == (20, 1)


async def test_memory_is_bounded_by_a_page_not_by_the_export(opened, tmp_path):
    """Exporting four times as much takes no more memory."""
    store = await opened()

    class Discard(io.StringIO):
        def write(self, text):
            return len(text)

    def peak():
        tracemalloc.start()
        rows = export_table(tmp_path, TABLES["flows"], Span(*EVER), text=Discard, binary=io.BytesIO, form="csv")
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return rows, highest

    for number in range(32):
        await store.append([flow_batch(T0 + number * 5 * SECOND, rows=200, seed=number)])
    few, low = peak()
    for number in range(32, 128):
        await store.append([flow_batch(T0 + number * 5 * SECOND, rows=200, seed=number)])
    many, high = peak()
    assert many == 4 * few
    assert high < 1.3 * low


def test_an_empty_directory_gives_a_header(tmp_path):
    """Nothing recorded is an empty table, not an error."""
    rows, text = exported(tmp_path, "flows", "csv")
    assert (rows, text.splitlines()[0].split(",")[:3]) == (0, ["schema_version", "source", "start_ns"])
    assert exported(tmp_path, "alerts", "jsonl") == (0, "")
    with pytest.raises(ValueError, match="csv, jsonl, parquet"):
        exported(tmp_path, "flows", "xml")


def test_nan_is_no_number(recorded, tmp_path):
    """A gauge the machine lacks is null in JSON and empty in CSV."""
    _, text = exported(tmp_path, "host", "jsonl")
    document = json.loads(text)
    assert document["load_1m"] is None
    assert math.isclose(document["processes"], 9 / 7)
    assert np.isfinite(document["cpu_utilization_ratio"])
