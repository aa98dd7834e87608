"""A Zeek log as slices: packets, octets and flags add up to the log, attacks can be told and taken out."""

from pathlib import Path

import numpy as np
import pytest
from tiny_recordings import START, conn_row, write_conn_log

from netmote.records.flow import PANE_NS, address_text
from netmote.training.conn_log import read_conn_log


def _read(tmp_path: Path, *rows: str):
    write_conn_log(tmp_path / "conn.log", list(rows))
    return read_conn_log(tmp_path / "conn.log")


def test_a_long_connection_is_spread_and_adds_up(tmp_path: Path) -> None:
    """A minute of TCP: a slice in each pane, SYN in the first, FIN in the last, totals as in the log."""
    log = _read(tmp_path, conn_row(START, duration="61.0", orig_pkts=31, orig_ip_bytes=3_001, resp_pkts=40, resp_ip_bytes=50_000))
    slices = log.slices
    assert len(slices) == 13
    for field, total in (
        ("initiator_packets", 31),
        ("initiator_octets", 3_001),
        ("responder_packets", 40),
        ("responder_octets", 50_000),
    ):
        assert slices[field].sum() == total
    assert slices["tcp_syn_count"].tolist() == [1] + [0] * 12
    assert slices["tcp_fin_count"].tolist() == [0] * 12 + [2]
    assert np.array_equal(np.unique(log.panes), log.panes)
    assert ((slices["flow_end_ns"] - slices["flow_start_ns"]) < PANE_NS).all()
    assert address_text(slices["source_address"][0].tobytes()) == "192.168.1.5"


def test_unanswered_attempts_are_all_syns(tmp_path: Path) -> None:
    """History S with three packets: three SYNs, no answer; RST of the responder is counted with its flag."""
    attempts = {"history": "S", "orig_pkts": 3, "resp_pkts": 0, "resp_ip_bytes": 0, "duration": "-"}
    assert _read(tmp_path, conn_row(START, **attempts)).slices["tcp_syn_count"].tolist() == [3]
    refused = _read(tmp_path, conn_row(START, history="Sr", duration="-", orig_pkts=1, resp_pkts=1)).slices
    assert refused["tcp_rst_count"].tolist() == [1]
    assert refused["responder_tcp_control_bits"].tolist() == [0x04]
    assert _read(tmp_path, conn_row(START, history="DdA", duration="-")).slices["tcp_syn_count"].tolist() == [0]


def test_udp_icmp_and_ipv6(tmp_path: Path) -> None:
    """DNS over UDP counts a query and its answer; ICMP unreachable is counted; IPv6 keeps its address."""
    log = _read(
        tmp_path,
        conn_row(START, proto="udp", id__resp_p=53, history="Dd", orig_pkts=1, resp_pkts=1, duration="-"),
        conn_row(START, proto="icmp", id__orig_p=3, id__resp_p=1, history="-", orig_pkts=1, resp_pkts=0, duration="-"),
        conn_row(
            START, proto="udp", id__orig_h="fe80::1", id__resp_h="ff02::1", history="D", orig_pkts=1, resp_pkts=0, duration="-"
        ),
    )
    dns, icmp, six = log.slices
    assert (dns["dns_query_count"], dns["dns_response_count"], dns["protocol_identifier"]) == (1, 1, 17)
    assert (icmp["icmp_unreachable_count"], icmp["icmp_type"], icmp["source_transport_port"]) == (1, 3, 0)
    assert (six["ip_version"], address_text(six["source_address"].tobytes())) == (6, "fe80::1")


def test_attacks_are_told_and_taken_out(tmp_path: Path) -> None:
    """A window's label is its commonest attack; a session of hours is told apart; `benign` has none of them."""
    log = _read(
        tmp_path,
        conn_row(START),
        conn_row(START + 100, "Malicious", "DDoS"),
        conn_row(START + 101, "Malicious", "DDoS"),
        conn_row(START + 102, "Malicious", "C&C"),
        conn_row(START + 200, "Malicious", "C&C", duration="4000", orig_pkts=100),
    )

    def label(begin: float, end: float) -> str:
        return log.label_of(round((START + begin) * 1e9), round((START + end) * 1e9))

    assert label(-10, 60) == ""
    assert label(90, 150) == "DDoS"
    assert label(190, 300) == "C&C kept alive"
    assert set(log.benign().labels.tolist()) == {""}
    assert len(log.benign().slices) == 1


def test_batches_cover_every_pane(tmp_path: Path) -> None:
    """One batch a pane from the first to the last, empty ones between, every slice in its own pane."""
    log = _read(tmp_path, conn_row(START, duration="-"), conn_row(START + 60, duration="-"))
    batches = list(log.batches(interface="x"))
    assert [batch.start_ns for batch in batches] == list(range(int(log.panes[0]), int(log.panes[-1]) + PANE_NS, PANE_NS))
    assert [len(batch.slices) for batch in batches] == [1, *[0] * (len(batches) - 2), 1]


def test_a_damaged_log_is_an_error(tmp_path: Path) -> None:
    """A line with a column too few is not guessed at."""
    with pytest.raises(ValueError):
        _read(tmp_path, "1.0\tC1")
