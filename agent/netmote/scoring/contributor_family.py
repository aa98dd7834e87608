"""Which features tell the same story: an alert of a model is one per entity and family, not one per feature."""

# Names are those of the shipped schemas; a feature not listed is a family of its own.
_FAMILIES: dict[str, tuple[str, ...]] = {
    "volume": (
        "out_bytes_ps", "in_bytes_ps", "out_pkts_ps", "in_pkts_ps", "out_byte_share", "out_pkt_size", "in_pkt_size",
        "in_octets_per_second", "out_octets_per_second", "in_packets_per_second", "out_packets_per_second",
        "non_unicast_packets_per_second", "in_packet_size", "out_packet_size", "utilization_ratio",
    ),
    "losses": (
        "in_discards_per_second", "out_discards_per_second", "errors_per_second", "discards_per_second",
        "carrier_transitions_per_second",
    ),
    "connections": ("flows_out_ps", "flows_in_ps", "peers_per_flow", "flow_dur_med", "established_ratio"),
    "peers": ("uniq_dst", "uniq_src", "dst_entropy", "max_dsts_per_port", "new_peer_ratio"),
    "ports": ("uniq_dport", "dport_entropy", "max_ports_per_dst", "lowport_share"),
    "failures": ("syn_ps", "noanswer_ratio", "reset_ratio", "fin_ps", "unreach_ps"),
    "protocols": ("tcp_share", "udp_share", "icmp_share", "other_share"),
    "dns": ("dns_qps", "dns_fail_ratio", "dns_qname_len", "dns_qname_entropy"),
    "timing": ("iat_mean", "iat_cv", "beacon_score"),
}  # fmt: skip
_FAMILY_OF = {feature: family for family, features in _FAMILIES.items() for feature in features}


def family_of(feature: str) -> str:
    """The family of a feature; its own name where it has none."""
    return _FAMILY_OF.get(feature, feature)
