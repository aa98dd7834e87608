"""Our flows of a trace, told as Zeek tells connections, and how two tellings differ.

Zeek's timeouts are used, so that flows end where connections do; every record is checked against the packets between its start and
its end.
"""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zeek_conn import TCP, UDP, Connection, Endpoint, Key, flags_of, last_of_zeek

from netmote.capture.packets import PacketColumns
from netmote.capture.pcap_file import CaptureFile
from netmote.capture.tunnels import Tunnel
from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FlowBatch, address_text
from netmote.records.flow_statistics import tcp_state

SECOND = 1_000_000_000
# Zeek's tcp_inactivity_timeout and udp_inactivity_timeout (base/init-bare.zeek). It has no active timeout.
IDLE_SECONDS = {True: 300, False: 60}
Sight = tuple[int, Endpoint, int]  # time in ns, sender, TCP control bits


def meter(*, idle_seconds: int) -> FlowMeter:
    return FlowMeter(
        source="capture:x",
        interface="x",
        max_flows=1024,
        active_timeout_ns=10**7 * SECOND,
        idle_timeout_ns=idle_seconds * SECOND,
        when_full="refuse",
    )


class MeteredTrace:
    """What we make of a trace: connections as Zeek would write them down, and each packet's place for the check of times."""

    def __init__(self, trace: Path, *, tunnels: tuple[Tunnel, ...] = ()) -> None:
        self.sights: dict[Key, list[Sight]] = defaultdict(list)
        self.metered = 0
        self._meters: dict[tuple[str, bool], tuple[FlowMeter, FlowAssembly]] = {}
        records: list[NDArray[np.void]] = []
        with CaptureFile(trace, tunnels=tunnels) as blocks:
            for packets in blocks:
                self._see(packets)
                for is_tcp, idle in IDLE_SECONDS.items():
                    at = (packets.interface, is_tcp)
                    self._meters.setdefault(at, (meter(idle_seconds=idle), FlowAssembly()))
                    found, assembly = self._meters[at]
                    records += self._whole(assembly, found.meter(packets), is_tcp=is_tcp)
        for (_, is_tcp), (found, assembly) in self._meters.items():
            records += self._whole(assembly, found.flush(), is_tcp=is_tcp)
            self.metered += found.accounting.metered if is_tcp else 0
            assert found.accounting.refused == 0
        self.connections = [self._connection(record) for part in records for record in part]

    @staticmethod
    def _whole(assembly: FlowAssembly, batches: list[FlowBatch], *, is_tcp: bool) -> list[NDArray[np.void]]:
        ended = [assembly.add(batch.slices) for batch in batches]
        return [part[(part["protocol_identifier"] == TCP) == is_tcp] for part in ended]

    def _see(self, packets: PacketColumns) -> None:
        source, destination = packets.source_address, packets.destination_address
        for row in range(len(packets)):
            protocol = int(packets.protocol_identifier[row])
            has_ports = protocol in (TCP, UDP)
            sender = (address_text(source[row].tobytes()), int(packets.source_port[row]) * has_ports)
            receiver = (address_text(destination[row].tobytes()), int(packets.destination_port[row]) * has_ports)
            low, high = sorted((sender, receiver))
            self.sights[protocol, low, high].append((int(packets.timestamp_ns[row]), sender, int(packets.tcp_control_bits[row])))

    def _connection(self, record: np.void) -> Connection:
        protocol = int(record["protocol_identifier"])
        has_ports = protocol in (TCP, UDP)
        origin = (address_text(record["source_address"].tobytes()), int(record["source_transport_port"]) * has_ports)
        responder = (address_text(record["destination_address"].tobytes()), int(record["destination_transport_port"]) * has_ports)
        start, end = int(record["flow_start_ns"]), int(record["flow_end_ns"])
        low, high = sorted((origin, responder))
        seen = [sight for sight in self.sights[protocol, low, high] if start <= sight[0] <= end]
        packets = int(record["initiator_packets"]), int(record["responder_packets"])
        assert len(seen) == sum(packets), "the first and the last packet are those the record names"
        if protocol != TCP:
            return Connection(protocol, origin, responder, packets, _octets(record), (end - start) // 1000)
        bits = (int(record["initiator_tcp_control_bits"]), int(record["responder_tcp_control_bits"]))
        flags = flags_of(bits[0]), flags_of(bits[1])
        duration = (last_of_zeek(seen) - start) // 1000
        state = str(tcp_state(record.reshape(1))[0]) if "SYN" in flags[0] else ""
        return Connection(protocol, origin, responder, packets, _octets(record), duration, flags, state)


def _octets(record: np.void) -> tuple[int, int]:
    return int(record["initiator_octets"]), int(record["responder_octets"])


def sent(connections: list[Connection], what: str) -> Counter[Endpoint]:
    """Packets or octets by who sent them; who sent none is left out."""
    total: Counter[Endpoint] = Counter()
    for connection in connections:
        for sender, count in zip((connection.origin, connection.responder), getattr(connection, what), strict=True):
            total[sender] += count
    return +total


def differences(zeek: list[Connection], ours: list[Connection]) -> tuple[list[str], int]:
    """What differs between the connections of one key, and how many packets are not where the other has them."""
    expected, found = sent(zeek, "packets"), sent(ours, "packets")
    astray = max((expected - found).total(), (found - expected).total())
    if astray:
        return ["packets"], astray
    if sent(zeek, "octets") != sent(ours, "octets"):
        return ["octets"], 0
    if len(zeek) != len(ours):
        return ["connections"], 0

    def order(connection: Connection) -> tuple[object, ...]:
        return connection.origin, connection.packets, connection.octets

    pairs = list(zip(sorted(zeek, key=order), sorted(ours, key=order), strict=True))
    if any(order(theirs) != order(mine) for theirs, mine in pairs):
        return ["originator"], 0
    unlike = []
    if any(abs(theirs.duration_us - mine.duration_us) > 1 for theirs, mine in pairs):
        unlike.append("duration")
    unlike += [name for name in ("flags", "state") if any(getattr(theirs, name) != getattr(mine, name) for theirs, mine in pairs)]
    return unlike, 0
