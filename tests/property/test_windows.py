"""Properties of windows over generated slices: equal to a plain reference, and independent of how the slices came."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "windows"))

import window_reference
from window_records import SECOND, Slice, pane_batch, panes

from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows

# Few values, so that peers, ports and flows meet again; three of ours (one IPv6), three of others.
ADDRESSES = ("10.0.0.1", "10.0.0.2", "fd00::7", "93.184.216.34", "2001:db8::1", "198.51.100.9")
PANES = 18

slices = st.builds(
    Slice,
    start=st.integers(0, PANES * 5_000 - 1).map(lambda ms: ms / 1000),
    source=st.sampled_from(ADDRESSES),
    destination=st.sampled_from(ADDRESSES),
    port=st.sampled_from((22, 53, 80, 443, 8080, 50_000)),
    protocol=st.sampled_from((6, 17, 1, 58, 47)),
    out_octets=st.integers(0, 10**9),
    in_octets=st.integers(0, 10**9),
    out_packets=st.integers(0, 5),
    in_packets=st.integers(0, 5),
    syn=st.integers(0, 3),
    fin=st.integers(0, 2),
    rst=st.integers(0, 1),
    unreachable=st.integers(0, 1),
    queries=st.integers(0, 3),
    responses=st.integers(0, 3),
    failures=st.integers(0, 1),
    question_octets=st.integers(0, 60),
    question_millibits=st.integers(0, 4_000),
    flow_id=st.integers(0, 5),
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def emitted(batches, *, advance_each=False):
    windows = Windows(WindowsConfig(), sensor="s1")
    found = []
    for batch in batches:
        windows.add(batch)
        if advance_each:
            found += windows.advance()
    return found + windows.finish()


def hashes(batches, **how):
    return [batch.hash for batch in emitted(batches, **how)]


@quick
@given(st.lists(slices, max_size=40))
def test_equal_the_plain_reference(generated):
    """Every feature of every host and of the segment equals the formula written down slice by slice."""
    for batch in emitted(panes(generated, PANES), advance_each=True):
        if batch.schema.name != "traffic":
            continue
        end = (batch.end_ns - pane_batch(0, []).start_ns) / SECOND
        expected = {f"host:{name}" for name in window_reference.hosts(generated, end)} | {"interface:s1/eth0"}
        assert {str(entity) for entity in batch.entities} == expected
        for entity, row in zip(batch.entities, batch.values, strict=True):
            host = entity.name if entity.kind == "host" else None
            reference = window_reference.traffic(generated, host, end)
            assert dict(zip(batch.schema.names, row.tolist(), strict=True)) == pytest.approx(reference, rel=1e-9, abs=2e-6), (
                entity
            )


@quick
@given(st.lists(slices, max_size=40), st.randoms(use_true_random=False))
def test_order_and_batch_borders_change_no_bit(generated, random):
    """Slices shuffled, panes split, two interfaces interleaved differently, closing as it comes or at the end: the same hashes."""
    east = [one for at, one in enumerate(generated) if at % 2]
    west = [one for at, one in enumerate(generated) if not at % 2]
    plain = panes(east, PANES, interface="east") + panes(west, PANES, interface="west")
    shuffled = []
    for pane in range(PANES):
        parts = []
        for interface, all_panes in (("east", east), ("west", west)):
            own = [one for one in all_panes if one.pane == pane]
            random.shuffle(own)
            cut = random.randint(0, len(own))
            parts += [pane_batch(pane, part, interface=interface) for part in (own[:cut], own[cut:])]
        random.shuffle(parts)
        shuffled += parts
    assert hashes(plain) == hashes(shuffled)


@quick
@given(st.lists(slices, max_size=40))
def test_future_changes_no_past_window(generated):
    """A window's vectors depend on nothing that comes after it, and closing early or late gives the same bits."""
    batches = panes(generated, PANES)
    whole = hashes(batches)
    assert hashes(batches, advance_each=True) == whole
    half = hashes(batches[: PANES // 2])
    assert whole[: len(half) - 2] == half[:-2]  # the last window of a cut replay is the cut one


@quick
@given(st.lists(slices, min_size=1, max_size=40), st.integers(1, 4))
def test_memory_of_addresses_is_invisible(generated, limit):
    """Letting go of unused addresses between windows changes no bit."""
    batches = panes(generated, PANES)

    def run(compact_above):
        windows = Windows(WindowsConfig(), sensor="s1")
        found = []
        for batch in batches:
            if compact_above is not None:
                windows._traffic._compact_above = compact_above
            windows.add(batch)
            found += windows.advance()
        return [batch.hash for batch in found + windows.finish()]

    assert run(limit) == run(None)


def test_hash_seed_changes_no_bit():
    """Another PYTHONHASHSEED in a fresh interpreter gives the same hashes."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from window_records import Slice, panes\n"
        "from netmote.windows.config import WindowsConfig\n"
        "from netmote.windows.sliding import Windows\n"
        "windows = Windows(WindowsConfig(), sensor='s1')\n"
        "slices = [Slice(at * 0.7, f'10.0.{at % 5}.{at % 7}', f'203.0.113.{at % 11}', port=at % 13) for at in range(100)]\n"
        "for batch in panes(slices, 14): windows.add(batch)\n"
        "print([batch.hash for batch in windows.finish()])\n"
    )
    folder = str(Path(__file__).parents[1] / "windows")
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, folder], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(answers) == 1
    assert answers.pop().count("'") == 2 * 2 * 7  # seven windows of traffic and of the sensor


def test_values_are_finite():
    """No feature of an empty or a full pane is NaN or infinite: detectors refuse such vectors."""
    for batch in emitted(panes([Slice(0.0, "10.0.0.1", "10.0.0.1", out_octets=2**62)], 13)):
        assert np.isfinite(batch.values).all()
