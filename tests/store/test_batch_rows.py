"""What is stored comes back bit for bit, and what is damaged comes back as damage."""

import math
import sqlite3
import zlib
from dataclasses import replace

import numpy as np
import pytest
from store_samples import flow_batch, interface_batch, one_of_each

from netmote.records.device import DeviceRecord
from netmote.records.fact import FactBatch
from netmote.records.flow import FLOW_DTYPE, FlowBatch
from netmote.records.host import HostRecord
from netmote.records.interface import InterfaceBatch
from netmote.store.batch_rows import SELECT_BATCH, BatchDamaged, BatchRow, Stamp, insert_batch, prepare, read_batch
from netmote.store.columns import encode_columns, layout_of
from netmote.store.interning import Interner, Names
from netmote.store.migrations import migrate
from netmote.store.telemetry_schema import TELEMETRY_MIGRATIONS


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, TELEMETRY_MIGRATIONS, 0)
    yield connection
    connection.close()


def stored(connection, batch):
    number = insert_batch(connection, Interner(), batch, prepare(batch), Stamp(1, 2))
    return BatchRow(*connection.execute(SELECT_BATCH + "WHERE batch_id = ?", (number,)).fetchone())


def round_trip(connection, batch):
    return read_batch(connection, Names(connection), stored(connection, batch))


def assert_same_gauges(left, right):
    assert list(left) == list(right)
    for name, value in left.items():
        assert (
            math.isnan(right[name])
            if math.isnan(value)
            else (value, math.copysign(1, value)) == (right[name], math.copysign(1, right[name]))
        )


def assert_same(left, right):
    """Equal in every bit, dtypes included."""
    assert type(left) is type(right)
    match left:
        case FlowBatch():
            assert right.slices.dtype == left.slices.dtype == FLOW_DTYPE
            assert left.slices.tobytes() == right.slices.tobytes()
            assert (left.source, left.start_ns, left.end_ns, left.interface, left.loss) == (
                right.source,
                right.start_ns,
                right.end_ns,
                right.interface,
                right.loss,
            )
        case InterfaceBatch():
            for name in InterfaceBatch.__slots__:
                mine, theirs = getattr(left, name), getattr(right, name)
                if isinstance(mine, np.ndarray):
                    assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), name
                    assert mine.tobytes() == theirs.tobytes(), name
                else:
                    assert mine == theirs, name
        case DeviceRecord() | HostRecord():
            assert replace(left, gauges={}) == replace(right, gauges={})
            assert_same_gauges(left.gauges, right.gauges)
        case FactBatch():
            assert left == right
            for mine, theirs in zip(left.facts, right.facts, strict=True):
                assert math.copysign(1, mine.value) == math.copysign(1, theirs.value)


@pytest.mark.parametrize("index", range(5))
def test_every_kind_round_trips(connection, index):
    """Each kind of batch is read back equal in every bit."""
    batch = one_of_each()[index]
    assert_same(batch, round_trip(connection, batch))


def test_empty_batches_round_trip(connection):
    """Batches without rows carry the watermark, so they must survive too."""
    for batch in (flow_batch(rows=0), interface_batch(ports=0), FactBatch("snmp:core", 1, 2, ())):
        assert_same(batch, round_trip(connection, batch))


def test_flow_columns_of_an_older_version_are_read_by_name(connection):
    """A column that an older file lacks is zero; one it has in another order is still found."""
    batch = flow_batch(rows=4)
    row = stored(connection, batch)
    older = [(name, batch.slices[name]) for name in ("initiator_octets", "flow_id")]
    layout_id, body = Interner().layout(connection, layout_of(older)), encode_columns(older)
    read = read_batch(connection, Names(connection), row._replace(layout_id=layout_id, body=body, crc=zlib.crc32(body)))
    assert (read.slices["initiator_octets"] == batch.slices["initiator_octets"]).all()
    assert (read.slices["flow_id"] == batch.slices["flow_id"]).all()
    assert not read.slices["responder_octets"].any()


def test_a_file_of_before_times_to_live_is_read(connection):
    """The flow layout of the first files: what they knew comes back, what a flow record has had since is zero."""
    since = {
        "dot1q_customer_vlan_id",
        "minimum_ttl",
        "maximum_ttl",
        *(f"{side}_{what}" for side in ("initiator", "responder") for what in ("interarrival_min_us", "retransmission_count")),
    }
    batch = flow_batch(rows=4)
    batch.slices[list(since)] = np.ones(4, FLOW_DTYPE)[list(since)]
    row = stored(connection, batch)
    older = [(name, batch.slices[name]) for name in FLOW_DTYPE.names if name not in since]
    layout = layout_of(older)
    assert layout.startswith(
        '[["flow_id","<u8",[]],["flow_start_ns","<i8",[]],["flow_end_ns","<i8",[]],["source_address","|V16",[]]'
    )
    assert len(older) == 40
    layout_id, body = Interner().layout(connection, layout), encode_columns(older)
    read = read_batch(connection, Names(connection), row._replace(layout_id=layout_id, body=body, crc=zlib.crc32(body)))
    for name in FLOW_DTYPE.names:
        assert read.slices[name].tobytes() == (np.zeros(4, FLOW_DTYPE) if name in since else batch.slices)[name].tobytes(), name


def test_a_flipped_bit_is_damage(connection):
    """Any single bit flipped in a stored body is noticed."""
    row = stored(connection, flow_batch(rows=20))
    for offset in range(0, len(row.body), 7):
        body = bytearray(row.body)
        body[offset] ^= 1 << (offset % 8)
        with pytest.raises(BatchDamaged):
            read_batch(connection, Names(connection), row._replace(body=bytes(body)))


def test_lost_facts_are_damage(connection):
    """A batch of facts that has lost one is not handed on as if it were whole."""
    row = stored(connection, one_of_each()[4])
    connection.execute("DELETE FROM fact WHERE ordinal = 1")
    with pytest.raises(BatchDamaged, match="1 of its 2 facts"):
        read_batch(connection, Names(connection), row)


def test_a_wrong_dtype_is_refused(connection):
    """Slices of another layout are a bug of the caller, not something to convert silently."""
    with pytest.raises(TypeError, match="FLOW_DTYPE"):
        prepare(replace(flow_batch(), slices=np.zeros(1, np.dtype([("flow_id", "<u8")]))))


def test_a_lone_surrogate_in_a_name_does_not_stop_the_store(connection):
    """A device may call its port anything; what SQLite cannot hold is escaped."""
    read = round_trip(connection, replace(interface_batch(ports=1), if_alias=("bad\udcff",)))
    assert read.if_alias == ("bad\\udcff",)


def test_names_are_stored_once(connection):
    """A hundred polls of one device take one row per entity."""
    for number in range(100):
        stored(connection, interface_batch(start_ns=number))
    assert connection.execute("SELECT count(*) FROM entity").fetchone() == (4,)
