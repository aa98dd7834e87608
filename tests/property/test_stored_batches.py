"""Whatever a collector hands on comes out of the store bit for bit, through the real file."""

import asyncio
import tempfile
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from manual_clock import ManualClock

from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import CONDITIONS, OCCURRENCES, Fact, FactBatch
from netmote.records.flow import FLOW_DTYPE, CaptureLoss, FlowBatch
from netmote.records.host import HostRecord
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch
from netmote.store.columns import decode_columns, encode_columns, layout_of
from netmote.store.config import StoreConfig
from netmote.store.store import Store

NS = st.integers(0, 2**62)
COUNT = st.integers(0, 2**40)
TEXT = st.text(max_size=12)  # no lone surrogates: those become escapes, which a test of the store shows
ENTITY = st.builds(Entity, st.sampled_from(EntityKind), TEXT)
REAL = st.floats(allow_nan=True)
GAUGES = st.dictionaries(TEXT, REAL, max_size=4).map(MappingProxyType)

flows = st.builds(
    FlowBatch,
    TEXT,
    NS,
    NS,
    TEXT,
    st.integers(0, 6)
    .flatmap(lambda rows: st.binary(min_size=rows * FLOW_DTYPE.itemsize, max_size=rows * FLOW_DTYPE.itemsize))
    .map(lambda raw: np.frombuffer(raw, FLOW_DTYPE)),
    st.builds(
        CaptureLoss,
        COUNT,
        COUNT,
        COUNT,
        st.lists(st.tuples(TEXT, COUNT), max_size=3).map(tuple),
        COUNT,
        st.lists(st.tuples(TEXT, COUNT), max_size=3).map(tuple),
        COUNT,
    ),
)


@st.composite
def interfaces(draw):
    ports = draw(st.integers(0, 4))

    def column(dtype, *shape):
        return npst.arrays(dtype, (ports, *shape))

    return InterfaceBatch(
        source=draw(TEXT),
        start_ns=draw(NS),
        end_ns=draw(NS),
        device=draw(ENTITY),
        interfaces=tuple(draw(st.lists(ENTITY, min_size=ports, max_size=ports))),
        duration_ns=draw(NS),
        deltas=draw(column(np.int64, len(INTERFACE_COUNTERS))),
        invalid=draw(column(np.uint8, len(INTERFACE_COUNTERS))),
        if_index=draw(column(np.int64)),
        if_type=draw(column(np.int64)),
        if_high_speed=draw(column(np.int64)),
        if_admin_status=draw(column(np.uint8)),
        if_oper_status=draw(column(np.uint8)),
        if_alias=tuple(draw(st.lists(TEXT, min_size=ports, max_size=ports))),
    )


devices = st.builds(DeviceRecord, TEXT, NS, NS, ENTITY, st.booleans(), st.none() | NS, st.none() | COUNT, COUNT, COUNT, GAUGES)
hosts = st.builds(HostRecord, TEXT, NS, NS, ENTITY, GAUGES)
fact = st.builds(
    Fact,
    ENTITY,
    st.sampled_from(CONDITIONS + OCCURRENCES),
    NS,
    REAL,
    st.dictionaries(TEXT, TEXT, max_size=2).map(MappingProxyType),
)
facts = st.builds(FactBatch, TEXT, NS, NS, st.lists(fact, max_size=4).map(tuple))
batches = st.one_of(flows, interfaces(), devices, hosts, facts)


def canonical(value):
    """A value that equals another only when every bit does; NaN equals NaN (SQLite keeps no NaN payload)."""
    match value:
        case np.ndarray():
            return value.dtype.str, value.shape, value.tobytes()
        case float():
            return value.hex()  # "nan" for every NaN
        case MappingProxyType():
            return sorted((key, canonical(each)) for key, each in value.items())
        case tuple() if type(value) is tuple:
            return tuple(map(canonical, value))
        case _ if hasattr(value, "__dataclass_fields__"):
            return type(value).__name__, tuple(canonical(getattr(value, field.name)) for field in fields(value))
        case _:
            return value


@given(st.lists(st.lists(batches, min_size=1, max_size=4), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_what_is_appended_is_read_back(transactions):
    """Any batches, in any transactions, with a restart before reading: the same bits in the same order."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            settings_ = StoreConfig(free_space_floor=0)
            store = Store(Path(directory), settings_, sensor="edge", clock=ManualClock())
            await store.open()
            for transaction in transactions:
                last = await store.append(transaction)
            await store.close()
            await store.open()
            found = await store.read_after(None, since_ns=-1, limit=1000)
            await store.close()
            appended = [batch for transaction in transactions for batch in transaction]
            assert [canonical(batch) for _, batch in found] == [canonical(batch) for batch in appended]
            assert found[-1][0] == last

    asyncio.run(run())


@given(
    st.integers(0, 50).flatmap(
        lambda rows: st.lists(
            st.sampled_from([np.uint8, np.int64, np.uint32, np.float32, np.float64]).flatmap(
                lambda dtype: st.sampled_from([(), (3,), (2, 2)]).flatmap(lambda inner: npst.arrays(dtype, (rows, *inner)))
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_columns_round_trip(arrays):
    """Any dtype and inner shape, NaN payloads included: columns are bytes."""
    columns = [(f"c{index}", array) for index, array in enumerate(arrays)]
    decoded = decode_columns(encode_columns(columns), len(arrays[0]), layout_of(columns))
    for name, array in columns:
        assert canonical(decoded[name]) == canonical(array)


@given(st.binary(max_size=200), st.integers(0, 5))
def test_foreign_bytes_are_refused(body, rows):
    """Bytes that are no columns raise ValueError, never anything else, and never take more memory than the layout allows."""
    columns = [("a", np.zeros(rows, np.int64)), ("b", np.zeros(rows, np.uint8))]
    sound = encode_columns(columns)
    if body == sound:
        return
    try:
        decode_columns(body, rows, layout_of(columns))
    except ValueError:
        return
    raise AssertionError("accepted")
