"""Flow records as EVE lines: Suricata's `flow` event, field for field and form for form.

Source: Suricata's output-json-flow.c, output-json.c and etc/schema.json, and the user guide's "EVE JSON Format". What Suricata knows
and a flow meter does not (application protocol, `alerted`, transactions) is left out, never made up.
"""

import json
import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.flow_export.community_id import community_ids
from netmote.flow_export.eve.states import flow_states, tcp_states
from netmote.flow_export.icmp_answers import ICMP6_ANSWER, ICMP_ANSWER, NO_ANSWER
from netmote.records.flow import FlowEndReason

_ICMP, _TCP, _UDP, _ICMP6, _SCTP = 1, 6, 17, 58, 132
# Suricata's words (util-proto-name.c, after IANA) for what is seen on networks; any other is its number in three digits, which Suricata
# writes where it has no word.
_PROTOCOLS = {
    0: "HOPOPT",
    _ICMP: "ICMP",
    2: "IGMP",
    4: "IP-in-IP",
    _TCP: "TCP",
    8: "EGP",
    9: "IGP",
    _UDP: "UDP",
    33: "DCCP",
    41: "IPv6",
    43: "IPv6-Route",
    44: "IPv6-Frag",
    46: "RSVP",
    47: "GRE",
    50: "ESP",
    51: "AH",
    _ICMP6: "IPv6-ICMP",
    59: "IPv6-NoNxt",
    60: "IPv6-Opts",
    88: "EIGRP",
    89: "OSPF",
    97: "ETHERIP",
    103: "PIM",
    108: "IPComp",
    112: "VRRP",
    113: "PGM",
    115: "L2TP",
    124: "IS-IS",
    _SCTP: "SCTP",
    135: "Mobility",
    136: "UDPLite",
    137: "MPLS-in-IP",
    139: "HIP",
    140: "Shim6",
}
_PROTOCOL_NAMES = tuple(_PROTOCOLS.get(number, f"{number:03d}") for number in range(256))

# A flow of Suricata ends by a timeout, its closed connections too; "forced" when it makes room, "shutdown" with the engine.
_REASONS = {
    FlowEndReason.CONTINUES: "unknown",
    FlowEndReason.IDLE_TIMEOUT: "timeout",
    FlowEndReason.ACTIVE_TIMEOUT: "timeout",
    FlowEndReason.END_OF_FLOW: "timeout",
    FlowEndReason.FORCED_END: "shutdown",
    FlowEndReason.LACK_OF_RESOURCES: "forced",
}
_FLAG_NAMES = (
    (0x02, "syn"),
    (0x01, "fin"),
    (0x04, "rst"),
    (0x08, "psh"),
    (0x10, "ack"),
    (0x20, "urg"),
    (0x40, "ecn"),
    (0x80, "cwr"),
)
_FLAGS = tuple("".join(f',"{name}":true' for bit, name in _FLAG_NAMES if flags & bit) for flags in range(256))


def eve_lines(records: NDArray[np.void], *, interface: str, now_ns: int | None = None, seed: int = 0) -> list[str]:
    """One JSON object for each record (FLOW_DTYPE), each with its newline.

    `now_ns` is the time of logging, UTC; None: that of each flow's end, so that a file always gives the same lines.
    `seed` is that of the Community ID.
    """
    if not len(records):
        return []
    starts, ends = _times(records["flow_start_ns"]), _times(records["flow_end_ns"])
    logged = ends if now_ns is None else [_times(np.array([now_ns]))[0]] * len(records)
    columns = (
        logged,
        ends,
        starts,
        (records["flow_end_ns"] // 1_000_000_000 - records["flow_start_ns"] // 1_000_000_000).tolist(),
        records["flow_id"].tolist(),
        _addresses(records, "source"),
        _addresses(records, "destination"),
        records["protocol_identifier"].tolist(),
        _endpoints(records),
        community_ids(records, seed=seed),
        records["initiator_packets"].tolist(),
        records["responder_packets"].tolist(),
        records["initiator_octets"].tolist(),
        records["responder_octets"].tolist(),
        flow_states(records),
        records["flow_end_reason"].tolist(),
        _tcp(records),
    )
    in_iface = f',"in_iface":{json.dumps(interface)}' if interface else ""
    return [
        f'{{"timestamp":"{at}","flow_id":{number}{in_iface},"event_type":"flow"{ends_at[0]}'
        f',"src_ip":"{source}"{ends_at[1]},"dest_ip":"{destination}"{ends_at[2]},"proto":"{_PROTOCOL_NAMES[protocol]}"{ends_at[3]}'
        f',"flow":{{"pkts_toserver":{packets},"pkts_toclient":{packets_back},"bytes_toserver":{octets},"bytes_toclient":{octets_back}'
        f',"start":"{start}","end":"{end}","age":{age},"state":"{state}","reason":"{_REASONS[FlowEndReason(reason)]}"}}'
        f',"community_id":"{community_id}"{tcp}}}\n'
        for (
            at,
            end,
            start,
            age,
            number,
            source,
            destination,
            protocol,
            ends_at,
            community_id,
            packets,
            packets_back,
            octets,
            octets_back,
            state,
            reason,
            tcp,
        ) in zip(*columns, strict=True)
    ]


def _times(nanoseconds: NDArray[Any]) -> list[str]:
    """Microseconds and offset, as CreateIsoTimeString writes them: 2026-01-02T03:04:05.678901+0000."""
    microseconds = (np.asarray(nanoseconds, "i8") // 1000).astype("datetime64[us]")
    return [f"{text}+0000" for text in np.datetime_as_string(microseconds, unit="us").tolist()]


def _addresses(records: NDArray[np.void], side: str) -> list[str]:
    """IPv4 in dotted decimals; IPv6 as eight groups of four digits, for Suricata shortens none."""
    packed = np.ascontiguousarray(records[f"{side}_address"]).tobytes()
    texts = []
    for start, version in zip(range(0, len(packed), 16), records["ip_version"].tolist(), strict=True):
        if version == 4:
            texts.append(socket.inet_ntoa(packed[start + 12 : start + 16]))
        else:
            texts.append(packed[start : start + 16].hex(":", 2))
    return texts


def _endpoints(records: NDArray[np.void]) -> list[tuple[str, str, str, str]]:
    """What stands after the event type, after each address and after the protocol: VLAN, ports, ICMP type and code."""
    found = []
    has_come = (records["responder_packets"] != 0).tolist()
    for vlan, customer_vlan, protocol, source_port, destination_port, icmp_type, icmp_code, is_answered in zip(
        records["vlan_id"].tolist(),
        records["dot1q_customer_vlan_id"].tolist(),
        records["protocol_identifier"].tolist(),
        records["source_transport_port"].tolist(),
        records["destination_transport_port"].tolist(),
        records["icmp_type"].tolist(),
        records["icmp_code"].tolist(),
        has_come,
        strict=True,
    ):
        tags = f"{vlan},{customer_vlan}" if customer_vlan else f"{vlan}" if vlan else ""
        tag = f',"vlan":[{tags}]' if tags else ""
        if protocol in (_TCP, _UDP, _SCTP):
            found.append((tag, f',"src_port":{source_port}', f',"dest_port":{destination_port}', ""))
        elif protocol in (_ICMP, _ICMP6):
            icmp = f',"icmp_type":{icmp_type},"icmp_code":{icmp_code}'
            answer = int((ICMP_ANSWER if protocol == _ICMP else ICMP6_ANSWER)[icmp_type])
            if is_answered and answer != NO_ANSWER:
                icmp += f',"response_icmp_type":{answer},"response_icmp_code":0'
            found.append((tag, "", "", icmp))
        else:
            found.append((tag, "", "", ""))
    return found


def _tcp(records: NDArray[np.void]) -> list[str]:
    initiator, responder = records["initiator_tcp_control_bits"], records["responder_tcp_control_bits"]
    return [
        f',"tcp":{{"tcp_flags":"{both:02x}","tcp_flags_ts":"{ours:02x}","tcp_flags_tc":"{theirs:02x}"{_FLAGS[both]},"state":"{state}"}}'
        if protocol == _TCP
        else ""
        for protocol, both, ours, theirs, state in zip(
            records["protocol_identifier"].tolist(),
            (initiator | responder).tolist(),
            initiator.tolist(),
            responder.tolist(),
            tcp_states(records),
            strict=True,
        )
    ]
