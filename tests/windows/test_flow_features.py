"""What the property tests cannot reach: numbers too large for floats, floods, ties, and memory that is used again."""

import numpy as np
import pytest
import window_reference
from window_records import Slice, panes, vector

from netmote.windows.config import WindowsConfig
from netmote.windows.flow_features import Scratch
from netmote.windows.sliding import Windows

HOST = "10.0.0.1"


def last_row(slices, count=12, entity=f"host:{HOST}"):
    windows = Windows(WindowsConfig(), sensor="s1")
    for batch in panes(slices, count):
        windows.add(batch)
    return vector([batch for batch in windows.advance() if batch.schema.name == "traffic"][-1], entity)


def test_a_vertical_scan():
    """A thousand ports of one server: most ports of a peer, entropy of ten bits, nobody answers."""
    scan = [Slice(at * 0.05, HOST, "10.0.0.2", port=at + 1, in_packets=0, in_octets=0, syn=1) for at in range(1_024)]
    row = last_row(scan)
    assert (row["max_ports_per_dst"], row["max_dsts_per_port"], row["uniq_dport"]) == (1_024, 1, 1_024)
    assert row["dport_entropy"] == pytest.approx(10.0, abs=1e-6)
    assert (row["noanswer_ratio"], row["syn_ps"]) == (1.0, 1_024 / 60)
    assert last_row(scan, entity="host:10.0.0.2")["max_ports_per_dst"] == 1_024


def test_a_horizontal_scan():
    """One port of a thousand servers."""
    row = last_row([Slice(at * 0.05, HOST, f"203.0.{at // 250}.{at % 250}", port=22, in_packets=0, rst=1) for at in range(1_000)])
    assert (row["max_ports_per_dst"], row["max_dsts_per_port"], row["uniq_dst"]) == (1, 1_000, 1_000)
    assert (row["reset_ratio"], row["noanswer_ratio"], row["peers_per_flow"]) == (1.0, 0.0, 1.0)


def test_counts_beyond_the_table_of_entropy_terms():
    """An address initiated to thousands of times: the entropy is right for counts of any size."""
    slices = [Slice(at * 0.01, HOST, f"203.0.113.{min(at % 4, 1)}") for at in range(5_000)]
    expected = window_reference.traffic(slices, HOST, 60.0)["dst_entropy"]
    assert expected == pytest.approx(0.811278, abs=1e-5)
    assert last_row(slices)["dst_entropy"] == pytest.approx(expected, abs=1e-6)


def test_octets_beyond_the_exact_floats():
    """Sums are whole numbers until the end: one octet beside 2**60 is not lost."""
    row = last_row(
        [Slice(1, HOST, "203.0.113.1", out_octets=2**60 + 1, in_octets=0), Slice(2, HOST, "203.0.113.1", out_octets=2**60 - 1)]
    )
    assert row["out_bytes_ps"] == 2**61 / 60


def test_scratch_follows_the_load():
    """Scratch grows to what is asked, is the same memory while that is steady, and lets go after a flood."""
    scratch = Scratch()
    first = scratch.take(0, 1_000)
    assert np.shares_memory(first, scratch.take(0, 900))
    assert not np.shares_memory(first, scratch.take(1, 900))
    assert scratch.take(0, 1_000_000).size == 1_000_000
    scratch.take(0, 100)
    assert scratch.nbytes < 100_000
