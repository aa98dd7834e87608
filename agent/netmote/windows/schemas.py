"""The four schemas that ship: traffic, interface, device, sensor. Rules and models bind to these names, in this order.

Owns names, units and formulas; refuses arithmetic (that stands in the `*_features` modules). W is the length of the window
in seconds. A changed formula is a new version: a model trained on the old one must not be fed by the new one.
"""

from netmote.records.host import HOST_GAUGES
from netmote.windows.schema import Feature, FeatureSchema

WINDOW_NS = 60_000_000_000
HOP_NS = 10_000_000_000

# Per host address of ours and per capture interface. "out" = the entity initiates; for a capture interface (the segment view)
# every initiator is "out". A slice is one flow within one pane of 5 s; a slice without packets is no slice.
TRAFFIC = FeatureSchema(
    name="traffic",
    version=1,
    window_ns=WINDOW_NS,
    hop_ns=HOP_NS,
    features=(
        Feature("out_bytes_ps", "By/s", "octets sent / W"),
        Feature("in_bytes_ps", "By/s", "octets received / W"),
        Feature("out_pkts_ps", "{packet}/s", "packets sent / W"),
        Feature("in_pkts_ps", "{packet}/s", "packets received / W"),
        Feature("out_byte_share", "1", "octets sent / octets; 0 without octets"),
        Feature("out_pkt_size", "By", "octets sent / packets sent; 0 without packets"),
        Feature("in_pkt_size", "By", "octets received / packets received; 0 without packets"),
        Feature("flows_out_ps", "{slice}/s", "flow slices the entity initiated / W"),
        Feature("flows_in_ps", "{slice}/s", "flow slices initiated towards the entity / W"),
        Feature("uniq_dst", "{address}", "distinct addresses the entity initiated to"),
        Feature("uniq_src", "{address}", "distinct addresses that initiated to the entity"),
        Feature("uniq_dport", "{port}", "distinct TCP and UDP ports the entity initiated to"),
        Feature("dst_entropy", "bit", "entropy of the addresses initiated to, over slices"),
        Feature("dport_entropy", "bit", "entropy of the ports initiated to, over slices"),
        Feature("max_ports_per_dst", "{port}", "most distinct responder ports shared with one peer, either direction"),
        Feature("max_dsts_per_port", "{address}", "most distinct addresses initiated to on one port"),
        Feature("new_peer_ratio", "1", "peers first seen within the window / peers"),
        Feature("peers_per_flow", "1", "distinct peers / slices"),
        Feature("syn_ps", "{packet}/s", "TCP packets with SYN and without ACK / W"),
        Feature("noanswer_ratio", "1", "slices without responder packets and without RST / slices"),
        Feature("reset_ratio", "1", "slices with RST / slices"),
        Feature("established_ratio", "1", "slices with responder packets and without RST / slices"),
        Feature("fin_ps", "{packet}/s", "TCP packets with FIN / W"),
        Feature("unreach_ps", "{packet}/s", "ICMP unreachable packets / W"),
        Feature("tcp_share", "1", "TCP packets / packets"),
        Feature("udp_share", "1", "UDP packets / packets"),
        Feature("icmp_share", "1", "ICMP and ICMPv6 packets / packets"),
        Feature("other_share", "1", "packets of other protocols / packets"),
        Feature("lowport_share", "1", "initiated slices to TCP and UDP ports below 1024 / initiated slices"),
        Feature("dns_qps", "{query}/s", "DNS queries / W"),
        Feature("dns_fail_ratio", "1", "DNS responses with an error code / DNS responses; 0 without responses"),
        Feature("dns_qname_len", "{character}", "mean length of the question names; 0 without queries"),
        Feature("dns_qname_entropy", "bit", "mean entropy of the characters of a question name; 0 without queries"),
        Feature("iat_mean", "s", "mean gap between the starts of initiated slices; W with fewer than three"),
        Feature("iat_cv", "1", "standard deviation / mean of these gaps; 0 with fewer than three starts"),
        Feature(
            "beacon_score",
            "1",
            "greatest over (address, port) initiated to of (1 - MAD / median of the gaps of its last 64 contacts) * min(1, gaps / 10);"
            " at least six contacts, median gap at least 2 s, last contact at most three median gaps ago;"
            " ports 53, 67, 123, 5353 exempt; a contact is a slice after more than 1 s of quiet",
        ),
        Feature("flow_dur_med", "s", "median duration of initiated slices; 0 without"),
    ),
)

# Per port of a polled device. A rate is the sum of differences over the sum of their durations, each interval weighted by its
# share that lies within the window. A feature is present when every counter it needs was valid in some interval.
INTERFACE = FeatureSchema(
    name="interface",
    version=1,
    window_ns=WINDOW_NS,
    hop_ns=HOP_NS,
    features=(
        Feature("in_octets_per_second", "By/s", "ifHCInOctets"),
        Feature("out_octets_per_second", "By/s", "ifHCOutOctets"),
        Feature("in_packets_per_second", "{packet}/s", "unicast, multicast and broadcast packets received"),
        Feature("out_packets_per_second", "{packet}/s", "unicast, multicast and broadcast packets sent"),
        Feature("non_unicast_packets_per_second", "{packet}/s", "multicast and broadcast packets, received and sent"),
        Feature("in_discards_per_second", "{packet}/s", "ifInDiscards"),
        Feature("out_discards_per_second", "{packet}/s", "ifOutDiscards"),
        Feature("errors_per_second", "{packet}/s", "ifInErrors and ifOutErrors"),
        Feature(
            "carrier_transitions_per_second",
            "{transition}/s",
            "changes of carrier; not present where the device has no such counter",
        ),
        Feature("in_packet_size", "By", "octets received / packets received; not present without packets"),
        Feature("out_packet_size", "By", "octets sent / packets sent; not present without packets"),
        Feature(
            "utilization_ratio",
            "1",
            "8 * the greater of in and out octets per second / (ifHighSpeed * 1e6); not present without a speed",
        ),
    ),
)

# Per polled device.
DEVICE = FeatureSchema(
    name="device",
    version=1,
    window_ns=WINDOW_NS,
    hop_ns=HOP_NS,
    features=(
        Feature("reachable_ratio", "1", "poll cycles answered / poll cycles"),
        Feature("round_trip_seconds", "s", "mean time to the first answer; not present without an answer"),
        Feature("timeout_ratio", "1", "requests without an answer / requests; not present without requests"),
        Feature("sys_up_time_seconds", "s", "sysUpTime of the last answered cycle"),
        Feature("ports_up", "{port}", "ports with ifOperStatus up at the last poll"),
        Feature("ports_down", "{port}", "ports with ifAdminStatus up and ifOperStatus down or lowerLayerDown at the last poll"),
        Feature("in_octets_per_second", "By/s", "sum over the ports that have it"),
        Feature("out_octets_per_second", "By/s", "sum over the ports that have it"),
        Feature("errors_per_second", "{packet}/s", "sum over the ports that have it"),
        Feature("discards_per_second", "{packet}/s", "in and out, sum over the ports that have it"),
        Feature("utilization_ratio", "1", "the busiest port"),
        Feature("invalid_ratio", "1", "counter differences that could not be trusted / differences of counters the device has"),
    ),
)

_SENSOR_UNITS = {
    "load_1m": "1",
    "disk_read_bytes_per_second": "By/s",
    "disk_written_bytes_per_second": "By/s",
    "processes": "{process}",
    "tcp_connections": "{connection}",
    "process_resident_bytes": "By",
}

# The sensor's own machine.
SENSOR = FeatureSchema(
    name="sensor",
    version=1,
    window_ns=WINDOW_NS,
    hop_ns=HOP_NS,
    features=(
        *(Feature(name, _SENSOR_UNITS.get(name, "1"), "mean over the window, readings weighted by time") for name in HOST_GAUGES),
        Feature(
            "packet_loss_ratio",
            "1",
            "packets dropped or refused / packets offered, all capture interfaces; not present without packets",
        ),
        Feature("undecodable_ratio", "1", "packets that could not be decoded / packets received; not present without packets"),
        Feature("packets_per_second", "{packet}/s", "packets received on all capture interfaces / seconds observed"),
    ),
)

ALL = (DEVICE, INTERFACE, SENSOR, TRAFFIC)
