"""Panes of several workers become one stream: complete, in order, on time, with ids that do not clash."""

from dataclasses import replace

import numpy as np
import pytest

from netmote.daemon.pane_merge import GRACE_SECONDS, PaneMerge
from netmote.records.flow import FLOW_DTYPE, PANE_NS, CaptureLoss, FlowBatch


def pane(number: int, *ids: int, loss: CaptureLoss | None = None) -> FlowBatch:
    slices = np.zeros(len(ids), FLOW_DTYPE)
    slices["flow_id"] = ids
    loss = loss or CaptureLoss(received=len(ids), metered=len(ids))
    return FlowBatch("capture:x", number * PANE_NS, (number + 1) * PANE_NS, "x", slices, loss)


def numbers(batches: list[FlowBatch]) -> list[int]:
    return [batch.start_ns // PANE_NS for batch in batches]


def ids(batch: FlowBatch) -> list[tuple[int, int, int]]:
    """(worker, life, number) of each slice."""
    return [(int(one) >> 60, int(one) >> 48 & 0xFFF, int(one) & (1 << 48) - 1) for one in batch.slices["flow_id"]]


def test_a_pane_is_complete_when_every_worker_closed_it() -> None:
    """The faster one is waited for no longer than needed; slices of both are in it, ordered, and told apart."""
    merge = PaneMerge(2)
    merge.add(1, 0, pane(7, 1, 2), 0.0)
    assert merge.ready(0.0) == []
    merge.add(0, 0, pane(7, 1), 0.1)
    (batch,) = merge.ready(0.1)
    assert ids(batch) == [(0, 0, 1), (1, 0, 1), (1, 0, 2)]
    assert batch.loss == CaptureLoss(received=3, metered=3)
    assert merge.emitted_until_ns == 8 * PANE_NS


def test_a_worker_without_packets_says_how_far_it_is() -> None:
    """A watermark is enough: it has no pane of its own."""
    merge = PaneMerge(2)
    merge.add(0, 0, pane(7, 1), 0.0)
    merge.advance(1, 8 * PANE_NS - 1)
    assert merge.ready(0.0) == []
    merge.advance(1, 8 * PANE_NS)
    assert numbers(merge.ready(0.0)) == [7]


def test_one_that_is_late_is_waited_for_and_then_handed_on_by_itself() -> None:
    """After the grace the pane goes without it; what it sends of it later is a batch of the same pane, once, and lost to nobody."""
    merge = PaneMerge(2)
    merge.add(0, 0, pane(7, 1), 10.0)
    assert merge.ready(10.0 + GRACE_SECONDS / 2) == []
    assert numbers(merge.ready(10.1 + GRACE_SECONDS)) == [7]
    merge.add(1, 3, pane(7, 5), 11.0)
    merge.add(1, 3, pane(8, 6), 11.0)
    (late,) = merge.ready(11.0)
    assert (numbers([late]), ids(late)) == ([7], [(1, 3, 5)])
    merge.add(0, 0, pane(8, 2), 11.1)
    (batch,) = merge.ready(11.1)
    assert ids(batch) == [(0, 0, 2), (1, 3, 6)]
    # An empty pane that comes late says nothing new.
    merge.add(0, 0, pane(8), 11.2)
    assert merge.ready(12.0) == []


def test_losses_of_all_are_added_up() -> None:
    """Every field of the accounting, and what was lost outside the workers, in the next pane and only there."""
    one = CaptureLoss(10, 7, 1, (("arp", 1), ("truncated", 1)), 5, (("ring", 5),), 2)
    two = CaptureLoss(20, 18, 0, (("arp", 2),), 3, (("ring", 3),), 1)
    merge = PaneMerge(2)
    merge.lose({"softnet": 4, "worker": 0})
    merge.add(0, 0, pane(7, loss=one), 0.0)
    merge.add(1, 0, pane(7, loss=two), 0.0)
    (batch,) = merge.ready(0.0)
    assert batch.loss == CaptureLoss(30, 25, 1, (("arp", 3), ("truncated", 1)), 12, (("ring", 8), ("softnet", 4)), 3)
    merge.lose({"interface": 2})
    assert merge.untold == 2
    merge.add(0, 0, pane(8), 0.0)
    (batch,) = merge.drain()
    assert batch.loss == CaptureLoss(dropped=2, dropped_by=(("interface", 2),))
    assert merge.untold == 0


def test_time_may_begin_anew_after_draining() -> None:
    """A clock set back: what was open is handed on, and earlier panes are no latecomers."""
    merge = PaneMerge(2)
    merge.add(0, 0, pane(1_000, 1), 0.0)
    assert numbers(merge.drain()) == [1_000]
    merge.add(0, 0, pane(3, 1), 0.0)
    assert merge.ready(0.0) == []
    merge.advance(1, 4 * PANE_NS)
    assert numbers(merge.ready(0.0)) == [3]


def test_what_is_held_is_bounded() -> None:
    """However far one runs ahead of the other, some hundred panes are held."""
    merge = PaneMerge(2)
    told = []
    for number in range(1_000):
        merge.add(0, 0, pane(number, number + 1), 0.0)
        told += merge.ready(0.0)
    assert len(told) >= 700
    assert numbers(told + merge.drain()) == list(range(1_000))


@pytest.mark.parametrize("workers", [0, 9])
def test_as_many_as_ids_can_tell_apart(workers: int) -> None:
    """Three bits of a flow id name the worker."""
    with pytest.raises(ValueError, match="workers"):
        PaneMerge(workers)


def test_the_same_pane_twice_from_one_worker() -> None:
    """A link that went down and up within a pane ends a meter and begins another: both parts are in the pane."""
    merge = PaneMerge(1)
    merge.add(0, 0, pane(7, 1), 0.0)
    merge.add(0, 0, replace(pane(7, 2)), 0.0)
    (batch,) = merge.ready(0.0)
    assert batch.loss.received == 2
