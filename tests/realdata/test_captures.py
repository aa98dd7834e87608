"""Every capture of the recordings: read without an exception, and every packet accounted for."""

from pathlib import Path

import pytest

from netmote.capture.pcap_file import CaptureFile, UnreadableCapture
from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter

pytestmark = pytest.mark.realdata
SECOND = 1_000_000_000
_NO_CAPTURE = (".log", ".md", ".csv", ".txt", ".yaml", ".json", ".rules", ".dat")


def meter() -> FlowMeter:
    return FlowMeter(
        source="capture:x",
        interface="x",
        max_flows=2048,
        active_timeout_ns=300 * SECOND,
        idle_timeout_ns=30 * SECOND,
        when_full="evict",
    )


def test_every_capture_is_read_and_every_packet_accounted_for(data: Path) -> None:
    """`received = metered + refused + undecodable` after every block; the slices hold exactly the metered packets and octets."""
    read, packets_read = 0, 0
    for path in sorted((data / "pcap").rglob("*")):
        if not path.is_file():
            continue
        found, assembly = meter(), FlowAssembly()
        batches, received, octets = [], 0, 0
        try:
            with CaptureFile(path) as blocks:
                for packets in blocks:
                    batches += found.meter(packets, dropped=packets.dropped)
                    received += packets.received
                    octets += int(packets.ip_total_length.sum())
                    account = found.accounting
                    assert received == account.received == account.metered + account.refused + sum(account.undecodable.values())
        except UnreadableCapture:
            assert not path.name.endswith((".pcap", ".pcapng", ".trace", ".cap")), path
            continue
        batches += found.flush()
        flows = [assembly.add(batch.slices) for batch in batches]
        metered = sum(int(part["initiator_packets"].sum()) + int(part["responder_packets"].sum()) for part in flows)
        assert metered == found.accounting.metered, path
        if not found.accounting.refused:
            assert octets == sum(int(part["initiator_octets"].sum()) + int(part["responder_octets"].sum()) for part in flows), (
                path
            )
        assert sum(batch.loss.received for batch in batches) == received, path
        assert len(assembly) == 0
        assert all(batch.end_ns - batch.start_ns == 5 * SECOND for batch in batches)
        assert [batch.start_ns for batch in batches] == sorted({batch.start_ns for batch in batches}), path
        read += 1
        packets_read += received
    assert read > 1000
    assert packets_read > 30_000
