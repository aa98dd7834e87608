"""Windows over recorded traffic: every vector finite, the reference met, and the same bits however the packets were read."""

from ipaddress import IPv6Address
from math import ceil

import numpy as np
import pytest
import window_reference
from window_records import ORIGIN, SECOND, Slice

from netmote.capture.pcap_file import UnreadableCapture, read_capture
from netmote.metering.flow_meter import FlowMeter
from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows

pytestmark = pytest.mark.realdata


def flow_batches(path, chunk_bytes=1 << 20):
    meter = FlowMeter(
        source="capture:replay",
        interface="replay",
        max_flows=65_536,
        active_timeout_ns=300 * SECOND,
        idle_timeout_ns=30 * SECOND,
        when_full="evict",
    )
    batches = [batch for packets in read_capture(path, chunk_bytes=chunk_bytes) for batch in meter.meter(packets)]
    return batches + meter.flush()


def run(batches, *, advance_each=True):
    windows = Windows(WindowsConfig(), sensor="s1")
    found = []
    for batch in batches:
        windows.add(batch)
        found += windows.advance() if advance_each else []
    return found + windows.finish()


def as_slices(batches):
    """The slices in the plain form of the reference, in seconds after the origin."""

    def text(address):
        parsed = IPv6Address(bytes(address))
        return str(parsed.ipv4_mapped or parsed)

    return [
        Slice(
            start=(int(row["flow_start_ns"]) - ORIGIN) / SECOND,
            source=text(row["source_address"]),
            destination=text(row["destination_address"]),
            source_port=int(row["source_transport_port"]),
            port=int(row["destination_transport_port"]),
            protocol=int(row["protocol_identifier"]),
            duration=(int(row["flow_end_ns"]) - int(row["flow_start_ns"])) / SECOND,
            out_octets=int(row["initiator_octets"]),
            in_octets=int(row["responder_octets"]),
            out_packets=int(row["initiator_packets"]),
            in_packets=int(row["responder_packets"]),
            syn=int(row["tcp_syn_count"]),
            fin=int(row["tcp_fin_count"]),
            rst=int(row["tcp_rst_count"]),
            unreachable=int(row["icmp_unreachable_count"]),
            queries=int(row["dns_query_count"]),
            responses=int(row["dns_response_count"]),
            failures=int(row["dns_failure_count"]),
            question_octets=int(row["dns_question_octets"]),
            question_millibits=int(row["dns_question_entropy_millibits"]),
        )
        for batch in batches
        for row in batch.slices
    ]


def captures(data, folder, limit):
    """The largest captures of a folder below 2 MB, so that a run stays short."""
    paths = [
        path
        for path in sorted((data / "pcap" / folder).rglob("*"))
        if path.is_file() and path.suffix in (".pcap", ".pcapng", ".trace")
    ]
    return sorted((path for path in paths if path.stat().st_size < 2_000_000), key=lambda path: -path.stat().st_size)[:limit]


def test_recorded_traffic_gives_finite_vectors_and_equal_bits(data):
    """Whatever a capture holds: finite values, canonical order, and equal hashes read whole, in scraps, or closed at the end."""
    windows_seen = 0
    for folder in ("zeek", "suricata-verify"):
        for path in captures(data, folder, 3):
            try:
                batches = flow_batches(path)
            except UnreadableCapture:
                continue
            found = run(batches)
            for batch in found:
                assert np.isfinite(batch.values).all(), path
                assert list(batch.entities) == sorted(batch.entities), path
            hashes = [batch.hash for batch in found]
            assert hashes == [batch.hash for batch in run(flow_batches(path, chunk_bytes=4_096))], path
            assert hashes == [batch.hash for batch in run(batches, advance_each=False)], path
            windows_seen += len(found)
    assert windows_seen > 30


def test_recorded_traffic_meets_the_plain_reference(data):
    """On real slices every feature of every host and of the segment equals the formula written down slice by slice."""
    compared = 0
    for path in captures(data, "zeek", 60):
        batches = flow_batches(path)
        slices = as_slices(batches)
        if not 50 < len(slices) < 3_000 or any(one.start < -1e9 for one in slices):
            continue
        for batch in run(batches):
            end = (batch.end_ns - ORIGIN) / SECOND
            if batch.schema.name != "traffic" or ceil(end) % 30:
                continue
            for entity, row in zip(batch.entities[:5] + batch.entities[-1:], [*batch.values[:5], batch.values[-1]], strict=True):
                reference = window_reference.traffic(slices, entity.name if entity.kind == "host" else None, end)
                # Seconds as floats a decade from the origin hold no more than 0.1 us.
                assert dict(zip(batch.schema.names, row.tolist(), strict=True)) == pytest.approx(reference, rel=1e-6, abs=2e-6), (
                    path,
                    entity,
                )
                compared += 1
        if compared > 120:
            break
    assert compared > 30
