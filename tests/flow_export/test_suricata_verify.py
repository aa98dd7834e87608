"""Suricata's own expectations of its flow events, from the captures and checks of suricata-verify, against our lines."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from netmote.cli.flow_output import CaptureTotals
from netmote.flow_export.eve.encoding import eve_lines
from netmote.metering.config import MeteringConfig

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(240)]

# What both know. Not compared: `flow.reason`, which there is mostly the end of the file, and octets, which there are of whole frames.
COMPARED = {
    *("src_ip", "src_port", "dest_ip", "dest_port", "proto", "vlan", "vlan[0]", "community_id"),
    *("icmp_type", "icmp_code", "response_icmp_type", "response_icmp_code"),
    *("flow.pkts_toserver", "flow.pkts_toclient", "flow.state", "flow.age", "flow.start", "flow.end"),
    *("tcp.state", "tcp.tcp_flags", "tcp.tcp_flags_ts", "tcp.tcp_flags_tc"),
    *("tcp.syn", "tcp.fin", "tcp.rst", "tcp.psh", "tcp.ack", "tcp.urg", "tcp.ecn", "tcp.cwr"),
}
LEFT_OUT = {"event_type", "flow.reason", "flow.bytes_toserver", "flow.bytes_toclient"}
# Only Suricata knows these; where addresses say which flow is meant, the rest is compared all the same.
OF_CONTENT = {"app_proto", "app_proto_tc", "app_proto_ts", "app_proto_orig", "flow.alerted", "flow.action", "ip_v"}
SEEDS = {"community-id-ipv4": 7, "community-id-ipv6": 7, "community-id-sameip": 1, "nfs3-01": 1234}  # of their suricata.yaml
_TUNNEL = "Suricata has flows of what the tunnel carries too, we of the tunnel"
_CLOSED = "FINs sent again after the close: of the closed flow for Suricata, for us of another"
DIFFERENT = {
    **dict.fromkeys(("bug-4571-01", "bug-4571-03", "bug-4571-04", "bug-4571-06", "bug-7725-01", "bug-7725-04"), _TUNNEL),
    **dict.fromkeys(("bug-7725-02", "bug-7725-03"), _TUNNEL + ": here it expects none of the tunnel itself"),
    **dict.fromkeys(("decode-erspan-typeI-02", "decode-erspan-typeII-01", "geneve-decoder"), _TUNNEL),
    **dict.fromkeys(("vxlan-decoder-01", "vxlan-decoder-02", "vxlan-decoder-03", "vxlan-non-zero-reserved-fields"), _TUNNEL),
    **dict.fromkeys(("decode-nsh-type1", "decode-nsh-type2"), "we decode no Network Service Header"),
    "decode-teredo-01": f"{_TUNNEL}; {_CLOSED}",
    "bug-2646-01": _CLOSED,
    "compress_ipv6-01": "a setting of Suricata that shortens addresses",
    **dict.fromkeys(("detect-bypass-udp", "ssh-hassh"), "bypassed by a rule or a setting"),
    "dns-reversed-udp-1": "Suricata turns a flow that begins with an answer by looking into it",
    "eve-flow-vlan-02": "three tags; we keep two",
}


def value(event: Any, key: str) -> Any:
    """A member by its path, such as `flow.age` or `vlan[0]`."""
    for step in key.split("."):
        name, _, index = step.removesuffix("]").partition("[")
        event = event.get(name) if isinstance(event, dict) else None
        if index:
            event = event[int(index)] if isinstance(event, list) and len(event) > int(index) else None
    return event


def checks_of(folder: Path) -> list[dict[str, Any]]:
    """The checks of flow events that name nothing but what we know."""
    found = []
    for check in yaml.safe_load((folder / "test.yaml").read_text()).get("checks") or []:
        match = (check.get("filter") or {}).get("match") or {} if isinstance(check, dict) else {}
        known = COMPARED | LEFT_OUT | (OF_CONTENT if {"src_ip", "dest_ip"} <= set(match) else set())
        if match.get("event_type") == "flow" and set(match) <= known:
            wanted = {key: expected for key, expected in match.items() if key in COMPARED}
            if wanted:
                found.append({"count": check["filter"]["count"], "match": wanted})
    return found


def test_suricata_sees_the_same_flows(data: Path) -> None:
    """Packets, state, age, flags, ICMP, Community ID and VLAN as Suricata's maintainers expect them, and every difference has its reason."""
    compared, different = 0, set()
    metering = MeteringConfig.model_validate({"idle_timeout": "1h", "active_timeout": "1d"})
    for folder in sorted((data / "pcap" / "suricata-verify").iterdir()):
        captures = sorted(folder.glob("*.pcap*")) if folder.is_dir() else []
        checks = checks_of(folder) if len(captures) == 1 and (folder / "test.yaml").is_file() else []
        if not checks:
            continue
        seed = SEEDS.get(folder.name, 0)
        records = CaptureTotals(folder.name).read(captures[0], metering)
        events = [json.loads(line) for name, flows in records for line in eve_lines(flows, interface=name, seed=seed)]
        for check in checks:
            compared += 1
            count = sum(all(value(event, key) == expected for key, expected in check["match"].items()) for event in events)
            if count != check["count"]:
                different.add(folder.name)
    assert compared >= 80
    assert different == set(DIFFERENT)
