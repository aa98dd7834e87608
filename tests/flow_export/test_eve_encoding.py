"""EVE lines: Suricata's names and forms, and the values of the records."""

import json
from ipaddress import ip_address
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from exported_flows import flow_records, many_flows
from hypothesis import given
from hypothesis import strategies as st

from netmote.flow_export.community_id import community_ids
from netmote.flow_export.eve.encoding import eve_lines
from netmote.records.flow import FLOW_DTYPE, address_text

SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "eve_flow_schema.json").read_text()))


def events(records: np.ndarray, **options) -> list[dict]:
    lines = eve_lines(records, **{"interface": "eth0", **options})
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    found = [json.loads(line) for line in lines]
    for event in found:
        SCHEMA.validate(event)
    return found


def test_every_line_says_what_its_record_says() -> None:
    """Addresses, ports, counts, flags, times, Community ID: equal to the record; the schema knows every member."""
    records = flow_records()
    found = events(records)
    assert len(found) == len(records)
    for event, record, community_id in zip(found, records, community_ids(records), strict=True):
        flow = event["flow"]
        assert event["flow_id"] == record["flow_id"]
        assert event["in_iface"] == "eth0"
        assert event["community_id"] == community_id
        assert event.get("vlan", []) == [tag for tag in (record["vlan_id"], record["dot1q_customer_vlan_id"]) if tag]
        for name, side in (("src", "source"), ("dest", "destination")):
            assert ip_address(event[f"{name}_ip"]) == ip_address(address_text(record[f"{side}_address"].tobytes()))
            if record["protocol_identifier"] in (6, 17, 132):
                assert event[f"{name}_port"] == record[f"{side}_transport_port"]
            else:
                assert f"{name}_port" not in event
        for name, side in (("toserver", "initiator"), ("toclient", "responder")):
            assert flow[f"pkts_{name}"] == record[f"{side}_packets"]
            assert flow[f"bytes_{name}"] == record[f"{side}_octets"]
        if record["protocol_identifier"] == 6:
            ours, theirs = int(record["initiator_tcp_control_bits"]), int(record["responder_tcp_control_bits"])
            tcp = event["tcp"]
            assert (tcp["tcp_flags"], tcp["tcp_flags_ts"], tcp["tcp_flags_tc"]) == tuple(
                f"{bits:02x}" for bits in (ours | theirs, ours, theirs)
            )
            assert {name for name in tcp if tcp[name] is True} == {
                name
                for bit, name in enumerate(("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"))
                if (ours | theirs) >> bit & 1
            }
        else:
            assert "tcp" not in event
        for name, field in (("start", "flow_start_ns"), ("end", "flow_end_ns")):
            assert np.datetime64(flow[name].removesuffix("+0000")).astype("datetime64[us]").astype(int) == record[field] // 1000
        assert flow["age"] == record["flow_end_ns"] // 10**9 - record["flow_start_ns"] // 10**9


def test_forms_are_those_of_suricata() -> None:
    """IPv6 unshortened, microseconds with offset, protocol words, ICMP with the answer's type."""
    found = {(event["proto"], ":" in event["src_ip"]): event for event in events(flow_records())}
    assert found["IPv6-ICMP", True]["src_ip"] in (
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "fe80:0000:0000:0000:0000:0000:0000:0001",
    )
    assert {proto for proto, _ in found} == {"TCP", "UDP", "SCTP", "ICMP", "IPv6-ICMP", "GRE"}
    echo = next(event for event in events(flow_records()) if event.get("icmp_type") == 8)
    assert (echo["icmp_code"], echo["response_icmp_type"], echo["response_icmp_code"]) == (0, 0, 0)
    unreachable = next(event for event in events(flow_records()) if event.get("icmp_type") == 3)
    assert "response_icmp_type" not in unreachable
    record = many_flows(1)
    record["protocol_identifier"] = 89
    assert events(record)[0]["proto"] == "OSPF"
    record["protocol_identifier"] = 253
    assert events(record)[0]["proto"] == "253"


def test_time_of_logging() -> None:
    """Live it is the clock's; of a file it is the flow's end, so that the same file gives the same lines."""
    records = many_flows(2)
    assert {event["timestamp"] for event in events(records, now_ns=1_700_000_000_123_456_789)} == {
        "2023-11-14T22:13:20.123456+0000"
    }
    assert [event["timestamp"] for event in events(records)] == [event["flow"]["end"] for event in events(records)]


def test_a_name_cannot_break_a_line() -> None:
    """An interface may have any name (netlink allows quotes); without one the member is left out."""
    assert events(many_flows(1), interface='a"b\\\n')[0]["in_iface"] == 'a"b\\\n'
    assert "in_iface" not in events(many_flows(1), interface="")[0]
    assert eve_lines(many_flows(0), interface="x") == []


CASES = [
    # initiator's flags, responder's, packets back, end reason -> flow state, TCP state, reason
    (0x02, 0x00, 0, 1, "new", "syn_sent", "timeout"),
    (0x02, 0x12, 1, 1, "new", "syn_recv", "timeout"),
    (0x1A, 0x1A, 9, 1, "established", "established", "timeout"),
    (0x1A, 0x1A, 9, 2, "established", "established", "timeout"),
    (0x18, 0x10, 9, 1, "established", "established", "timeout"),
    (0x1B, 0x1A, 9, 1, "established", "close_wait", "timeout"),
    (0x1A, 0x1B, 9, 1, "established", "fin_wait1", "timeout"),
    (0x1B, 0x1B, 9, 3, "closed", "closed", "timeout"),
    (0x02, 0x14, 1, 3, "closed", "closed", "timeout"),
    (0x1A, 0x1A, 9, 4, "established", "established", "shutdown"),
    (0x1A, 0x1A, 9, 5, "established", "established", "forced"),
    (0x18, 0x00, 0, 1, "new", "none", "timeout"),
]


@pytest.mark.parametrize(("ours", "theirs", "back", "end", "state", "tcp_state", "reason"), CASES)
def test_states(*, ours: int, theirs: int, back: int, end: int, state: str, tcp_state: str, reason: str) -> None:
    """New, established and closed as Suricata has them; the reason of the end in its words."""
    record = many_flows(1)
    record["initiator_tcp_control_bits"], record["responder_tcp_control_bits"] = ours, theirs
    record["responder_packets"], record["flow_end_reason"] = back, end
    (event,) = events(record)
    assert (event["flow"]["state"], event["tcp"]["state"], event["flow"]["reason"]) == (state, tcp_state, reason)


def test_states_without_connections() -> None:
    """UDP is new until both sides have sent."""
    record = many_flows(2)
    record["protocol_identifier"], record["responder_packets"] = 17, [0, 3]
    assert [event["flow"]["state"] for event in events(record)] == ["new", "established"]


@given(st.binary(min_size=FLOW_DTYPE.itemsize, max_size=FLOW_DTYPE.itemsize), st.sampled_from([4, 6]), st.integers(0, 5))
def test_any_record_makes_a_valid_line(octets: bytes, version: int, end: int) -> None:
    """Whatever stands in a record, its line is one JSON object that the schema knows."""
    record = np.frombuffer(octets, FLOW_DTYPE).copy()
    record["ip_version"], record["flow_end_reason"] = version, end
    record["flow_start_ns"] = abs(int(record["flow_start_ns"][0])) % 10**18
    record["flow_end_ns"] = record["flow_start_ns"] + abs(int(record["flow_end_ns"][0])) % 10**18
    assert len(events(record)) == 1
