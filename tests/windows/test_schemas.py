"""The shipped schemas: names, uniqueness, and a meaning that cannot change unnoticed."""

import pytest

from netmote.records.host import HOST_GAUGES
from netmote.windows.schemas import ALL, DEVICE, INTERFACE, SENSOR, TRAFFIC

TRAFFIC_NAMES = (
    "out_bytes_ps in_bytes_ps out_pkts_ps in_pkts_ps out_byte_share out_pkt_size in_pkt_size flows_out_ps flows_in_ps"
    " uniq_dst uniq_src uniq_dport dst_entropy dport_entropy max_ports_per_dst max_dsts_per_port new_peer_ratio peers_per_flow"
    " syn_ps noanswer_ratio reset_ratio established_ratio fin_ps unreach_ps tcp_share udp_share icmp_share other_share"
    " lowport_share dns_qps dns_fail_ratio dns_qname_len dns_qname_entropy iat_mean iat_cv beacon_score flow_dur_med"
)


def test_traffic_names_in_order():
    """Models and rules bind to exactly these names in this order."""
    assert " ".join(TRAFFIC.names) == TRAFFIC_NAMES


def test_sizes():
    """37 traffic features, 12 of an interface, 12 of a device, every gauge of the host and three of its packets."""
    assert [len(schema) for schema in (TRAFFIC, INTERFACE, DEVICE, SENSOR)] == [37, 12, 12, len(HOST_GAUGES) + 3]


@pytest.mark.parametrize("schema", ALL, ids=lambda schema: schema.name)
def test_is_well_formed(schema):
    """Names are unique, every feature has a unit and a formula, the window is a whole number of hops and the hop of panes."""
    assert len(set(schema.names)) == len(schema)
    assert all(feature.unit and feature.formula for feature in schema.features)
    assert schema.window_ns % schema.hop_ns == 0
    assert schema.hop_ns % 5_000_000_000 == 0


def test_hashes_change_only_with_the_version():
    """A changed name, unit or formula changes the hash, which models are bound to: raise the version and this list together."""
    assert {(schema.name, schema.version): schema.hash[:16] for schema in ALL} == {
        ("device", 1): "3096747e36387cdd",
        ("interface", 1): "33e9859b12d9c3d7",
        ("sensor", 1): "1b6c7e26415e57b5",
        ("traffic", 1): "02655fe8bb0bb035",
    }
