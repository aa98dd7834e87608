"""Messages of capture workers: what is sent arrives, however the bytes are cut, and nothing else is believed."""

import itertools
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.capture.packets import ClaimColumns
from netmote.daemon.worker_channel import (
    BrokenChannelError,
    Kind,
    MessageReader,
    Progress,
    decode_claims,
    decode_pane,
    decode_progress,
    encode_claims,
    encode_pane,
    encode_progress,
    framed,
    most_bytes,
    sum_of_losses,
)
from netmote.records.flow import FLOW_DTYPE, PANE_NS, CaptureLoss, FlowBatch

LOSS = CaptureLoss(10, 7, 1, (("arp", 1), ("truncated", 1)), 5, (("ring", 5),), 2)


def batch(rows: int = 3) -> FlowBatch:
    slices = np.frombuffer(np.random.default_rng(7).bytes(rows * FLOW_DTYPE.itemsize), FLOW_DTYPE)
    return FlowBatch("capture:x", 7 * PANE_NS, 8 * PANE_NS, "x", slices, LOSS)


@given(cuts=st.lists(st.integers(0, 4_000), max_size=8))
def test_messages_survive_any_cut(cuts: list[int]) -> None:
    """Three messages, delivered in pieces of any size, are the same three; a pane comes back bit by bit."""
    progress = Progress(-5, 1 << 40, 7, 1, is_up=False)
    stream = encode_pane(batch()) + encode_progress(progress) + framed(Kind.GONE, b"away")
    borders = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    reader, found = MessageReader(most_bytes(10)), []
    for begin, end in itertools.pairwise(borders):
        found += reader.feed(stream[begin:end])
    assert [kind for kind, _ in found] == [Kind.PANE, Kind.PROGRESS, Kind.GONE]
    pane = decode_pane(found[0][1], source="capture:x", interface="x")
    assert pane.slices.tobytes() == batch().slices.tobytes()
    assert (pane.start_ns, pane.end_ns, pane.loss) == (7 * PANE_NS, 8 * PANE_NS, LOSS)
    assert decode_progress(found[1][1]) == progress
    assert found[2][1] == b"away"


@given(count=st.integers(0, 300), left_out=st.integers(0, 2**32 - 1))
def test_claims_come_back_bit_by_bit(count: int, left_out: int) -> None:
    """Who claims which address, when and in which VLAN, and how many were left out; a message that was cut is none."""
    random = np.random.default_rng(count)
    claims = ClaimColumns(
        np.zeros(count, "i8"),
        random.integers(0, 2**62, count),
        random.integers(1, 7, count).astype("u1"),
        random.integers(0, 2**32, count).astype("u4"),
        random.integers(0, 2**48, count).astype("u8"),
        np.frombuffer(random.bytes(16 * count), "V16"),
    )
    ((kind, payload),) = MessageReader(1 << 20).feed(encode_claims(claims, left_out))
    found, told = decode_claims(payload)
    assert (kind, told) == (Kind.CLAIMS, left_out)
    for column in fields(ClaimColumns):
        assert getattr(found, column.name).tolist() == getattr(claims, column.name).tolist(), column.name
    for cut in (payload[:3], payload + b"x"):
        with pytest.raises(BrokenChannelError, match="claims"):
            decode_claims(cut)


def test_what_no_worker_sends_is_refused() -> None:
    """A length beyond the bound is refused before it is held; so are unknown kinds and payloads that are none."""
    with pytest.raises(BrokenChannelError, match="longest"):
        list(MessageReader(100).feed(framed(Kind.NOTE, bytes(101))))
    with pytest.raises(BrokenChannelError, match="kind"):
        list(MessageReader(100).feed(b"\xff\0\0\0\0"))
    with pytest.raises(BrokenChannelError, match="progress"):
        decode_progress(b"short")
    whole = encode_pane(batch())[5:]
    for payload in (b"", whole[:30], whole[:-1], whole[:16] + b"\xff\xff\xff\x7f" + whole[20:]):
        with pytest.raises(BrokenChannelError, match="pane"):
            decode_pane(payload, source="capture:x", interface="x")


def test_the_bound_holds_a_full_table() -> None:
    """A pane that tells every flow of the table, and as many that gave way, passes."""
    message = encode_pane(batch(2 * 1024))
    ((kind, _),) = MessageReader(most_bytes(1024)).feed(message)
    assert kind is Kind.PANE


def test_every_field_of_the_accounting_is_summed() -> None:
    """Also those that are added to it one day: twice the same is twice each number."""
    total = sum_of_losses([LOSS, LOSS, CaptureLoss()])
    for each in fields(CaptureLoss):
        once, twice = getattr(LOSS, each.name), getattr(total, each.name)
        assert once
        assert twice == (tuple((name, 2 * count) for name, count in once) if isinstance(once, tuple) else 2 * once)
