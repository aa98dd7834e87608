"""IPFIX on its way to nfcapd: an exporting process, and what nfdump should print of records beside what it prints."""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np

from netmote.clock import SystemClock
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import ExportTally, chunks_of
from netmote.flow_export.icmp_answers import ICMP6_ANSWER, ICMP_ANSWER
from netmote.flow_export.ipfix.config import IpfixConfig
from netmote.flow_export.ipfix.exporter import IpfixExporter
from netmote.flow_export.metering_totals import MeteringTotals


def process(port: int, **settings: object) -> ExportingProcess:
    config = IpfixConfig.model_validate({"type": "ipfix", "host": "127.0.0.1", "port": port, **settings})
    tally = ExportTally()
    exporter = IpfixExporter(config, clock=SystemClock(), tally=tally, metering={"eth0": MeteringTotals(3, 4)})
    return ExportingProcess(exporter, queue_limit=config.queue_size, tally=tally)


def _address(octets: bytes, version: int) -> IPv4Address | IPv6Address:
    """An IPv6 packet may have an IPv4-mapped address, so the version tells."""
    return IPv4Address(octets[12:]) if version == 4 else IPv6Address(octets)


def expected(records: np.ndarray, form: str) -> Counter:
    """What nfdump should print of these records: a line each way, or one with both."""
    lines: Counter = Counter()
    for record in records:
        ends = [_address(record[f"{side}_address"].tobytes(), int(record["ip_version"])) for side in ("source", "destination")]
        ports = [int(record["source_transport_port"]), int(record["destination_transport_port"])]
        protocol = int(record["protocol_identifier"])
        icmp = (int(record["icmp_type"]), int(record["icmp_code"]))
        answer = int((ICMP_ANSWER if record["ip_version"] == 4 else ICMP6_ANSWER)[icmp[0]])
        back_icmp = (answer if answer < 256 else icmp[0], icmp[1])
        times = (int(record["flow_start_ns"]) // 1_000_000, int(record["flow_end_ns"]) // 1_000_000)
        there, back = (
            (int(record[f"{side}_packets"]), int(record[f"{side}_octets"]), int(record[f"{side}_tcp_control_bits"]))
            for side in ("initiator", "responder")
        )
        is_icmp = protocol in (1, 58)
        common = (protocol, int(record["vlan_id"]), *times)
        ours = icmp if is_icmp else tuple(ports)
        theirs = back_icmp if is_icmp else tuple(ports[::-1])
        if form == "biflow":
            lines[(*ends, ours, *common, there, back[:2])] += 1
            continue
        if there[0]:
            lines[(*ends, ours, *common, there, (0, 0))] += 1
        if back[0]:
            lines[(*ends[::-1], theirs, *common, back, (0, 0))] += 1
    return lines


def collected(flows: list[dict]) -> Counter:
    """The same of what nfdump printed."""
    lines: Counter = Counter()
    for flow in flows:
        is_icmp = flow["proto"] in (1, 58)
        ports = (flow["icmp_type"], flow["icmp_code"]) if is_icmp else (flow.get("src_port", 0), flow.get("dst_port", 0))
        ends = tuple(ip_address(flow.get(f"{side}4_addr") or flow[f"{side}6_addr"]) for side in ("src", "dst"))
        counts = (flow["in_packets"], flow["in_bytes"], flow["flags"])
        back = (flow.get("out_packets", 0), flow.get("out_bytes", 0))
        lines[(*ends, ports, flow["proto"], flow.get("src_vlan", 0), flow["first"], flow["last"], counts, back)] += 1
    return lines


async def exported(work: ExportingProcess, records: np.ndarray) -> None:
    work.put(chunks_of("eth0", records))
    await work.drain(30.0)
