"""Flow by flow against the conn.log that Zeek's own test suite expects of its traces.

Packets and octets each way, number of connections, originator, duration to the microsecond, TCP flags of both sides and the
`conn_state` they imply. Where a log disagrees the reason stands in KNOWN, with how many connections disagree in what; anything else
fails, and so does an entry that has become untrue; docs/exactness.md must tell both. What the rules of the two have of their own is in `zeek_conn`.
"""

import csv
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from zeek_conn import Connection, Key, read_conn_log
from zeek_flows import MeteredTrace, differences

pytestmark = pytest.mark.realdata
PAGE = (Path(__file__).parents[2] / "docs/exactness.md").read_text(encoding="utf-8")

# Zeek did not meter the packets of the file, or we do not decode them: no packets to compare.
LINK = "a link layer we do not decode: the packets are counted as not_ip or unknown_link_type"
IP_TUNNEL = "Zeek logs the connections inside GRE or IP in IP and none for the tunnel; we meter the tunnel"
CHECKSUM = "Zeek passes over packets with a wrong checksum (tshark finds the same ones wrong); we meter what was on the wire"
FILTER = "the log is of a run with a packet filter"
FRAGMENTS = "Zeek counts datagrams put together; we count fragments, all but the first without ports"
NO_COUNTS = "the log leaves out packets and octets"
OTHER_TRACE = "the log is of the whole trace, of which the recording holds four packets"
SKIPPED = "Zeek stops counting once it knows a connection as GridFTP data (GridFTP::skip_data)"
NOT_COMPARABLE = {LINK, IP_TUNNEL, CHECKSUM, FILTER, FRAGMENTS, NO_COUNTS, OTHER_TRACE, SKIPPED}
# The same packets, another opinion.
MISORDERED = "the answer comes first in the file: Zeek turns the connection round and counts both packets for the client"
OFFLOADED = "a segment before its offload has total length 0: Zeek counts no octets, we count those on the wire"
HALF_SEEN = "Zeek gives up an attempt without an answer after 5 s (tcp_attempt_delay)"
SHORTER = "Zeek ends a DNS exchange after 10 s (dns_session_timeout), a half-closed connection without opening after seconds"


@dataclass(frozen=True, slots=True)
class Known:
    """Why a log disagrees, how many connections (by protocol and endpoints) do in what, and how many packets are elsewhere."""

    why: str
    packets_astray: int = 0
    packets: int = 0
    octets: int = 0
    connections: int = 0

    @property
    def differs(self) -> dict[str, int]:
        """Connections by what differs."""
        return {name: getattr(self, name) for name in ("packets", "octets", "connections") if getattr(self, name)}


KNOWN: dict[tuple[str, str], Known] = {
    ("cisco-fabric-path.pcap", "core.cisco-fabric-path"): Known(LINK, 64, packets=64),
    ("radiotap.pcap", "core.radiotap"): Known(LINK, 3, packets=2),
    ("vntag_vlan_sandwich_clean.pcap", "core.vntag-in-vlan"): Known(CHECKSUM, 1, packets=1),
    ("wlanmon.pcap", "core.wlanmon"): Known(LINK, 3, packets=2),
    ("erspanI.pcap", "core.erspanI"): Known(IP_TUNNEL, 10, packets=1),
    ("erspanII.pcap", "core.erspanII"): Known(IP_TUNNEL, 4, packets=1),
    ("erspanIII.pcap", "core.erspanIII"): Known(IP_TUNNEL, 2, packets=1),
    ("tunnels/gre-aruba-amsdu.pcap", "core.tunnels.gre-aruba-amsdu"): Known(IP_TUNNEL, 1, packets=1),
    ("tunnels/gre-pptp.pcap", "core.tunnels.gre-pptp"): Known(IP_TUNNEL, 2, packets=1),
    ("tunnels/gre-sample.pcap", "core.skip_analyzer"): Known(IP_TUNNEL, 80, packets=7),
    ("tunnels/gre-sample.pcap", "core.tunnels.gre"): Known(IP_TUNNEL, 40, packets=1),
    ("tunnels/gre-within-gre.pcap", "core.tunnels.gre-in-gre"): Known(IP_TUNNEL, 628, packets=1),
    ("auth_change_session_keys.pcap", "scripts.base.frameworks.logging.field-name-map2"): Known(CHECKSUM, 3, packets=1),
    ("chksums/localhost-bad-chksum.pcap", "core.checksums_ignore_nets"): Known(CHECKSUM, 6, packets=1),
    ("tunnels/vxlan-encapsulated-igmp-v2.pcap", "core.tunnels.vxlan-unknown-internal-packet"): Known(CHECKSUM, 3, packets=3),
    ("smtp.pcap", "scripts.base.frameworks.netcontrol.packetfilter"): Known(FILTER, 116, packets=6),
    ("wikipedia.pcap", "core.pcap.dynamic-filter"): Known(FILTER, 96, packets=19),
    ("wikipedia.pcap", "core.pcap.read-trace-with-filter"): Known(FILTER, 116, packets=33),
    ("tunnels/gtp/gtp1_gn_normal_incl_fragmentation.pcap", "core.tunnels.gtp.outer_ip_frag"): Known(FRAGMENTS, 40, packets=2),
    ("tunnels/gtp/gtp2_different_udp_port.pcap", "core.tunnels.gtp.different_dl_and_ul"): Known(
        FRAGMENTS, 42, packets=1, octets=1
    ),
    ("wikipedia.pcap", "scripts.base.frameworks.analyzer.request-analyzer"): Known(NO_COUNTS, 126, packets=34),
    ("modbus/modbus-eit.pcap", "scripts.base.protocols.modbus.events"): Known(OTHER_TRACE, 60231, packets=10),
    ("globus-url-copy.pcap", "scripts.base.protocols.ftp.gridftp"): Known(SKIPPED, 5, packets=1),
    ("ntp/misordered-ntp.pcap", "scripts.base.protocols.ntp.misordered-ntp"): Known(MISORDERED, 1, packets=1),
    ("ldap/missing_krbtgt_ldap_request.pcapng", "scripts.base.protocols.ldap.sasl-signed-clear-2"): Known(OFFLOADED, octets=1),
    ("ldap/missing_ldap_logs.pcapng", "scripts.base.protocols.ldap.sasl-signed-clear"): Known(OFFLOADED, octets=3),
    ("ssh/ssh.client-side-half-duplex.pcap", "scripts.base.protocols.ssh.half-duplex-client"): Known(HALF_SEEN, connections=5),
    ("tunnels/Teredo.pcap", "core.tunnels.teredo"): Known(SHORTER, connections=3),
}


@cache
def metered(trace: Path) -> MeteredTrace:
    return MeteredTrace(trace)


def compared(ours: MeteredTrace, log: Path) -> tuple[dict[str, int], int, int]:
    """Connections that differ, by what; packets that are elsewhere; connections of the log that were compared.

    Connections inside tunnels are left out: both of us meter the packets around them.
    """
    keys: dict[Key, tuple[list[Connection], list[Connection]]] = defaultdict(lambda: ([], []))
    for side, connections in enumerate((read_conn_log(log), ours.connections)):
        for connection in connections:
            if not connection.is_tunnelled:
                keys[connection.key][side].append(connection.as_sent())
    unlike: Counter[str] = Counter()
    astray = 0
    for zeek, mine in keys.values():
        what, packets = differences(zeek, mine)
        unlike.update(what)
        astray += packets
    return dict(unlike), astray, sum(len(zeek) for zeek, _ in keys.values())


def test_flows_agree_with_zeek(data: Path) -> None:
    """Every log agrees but for the reasons listed, and at most 0.01 % of the packets both have metered are counted elsewhere."""
    with (data / "pcap/zeek/INDEX.csv").open() as index:
        rows = [(row["trace"], row["conn_dir"]) for row in csv.DictReader(index)]
    wrong, agreed, connections, packets, astray = [], Counter[str](), 0, {}, {}
    for trace, name in rows:
        ours = metered(data / "pcap/zeek/traces" / trace)
        unlike, elsewhere, count = compared(ours, data / "pcap/zeek/conn" / name / "conn.log")
        known = KNOWN.get((trace, name), Known(""))
        if (unlike, elsewhere) != (known.differs, known.packets_astray):
            wrong.append(f"{trace} {name}: {unlike}, {elsewhere} packets; known: {known}")
        agreed[known.why] += 1
        if known.why not in NOT_COMPARABLE:
            connections += count
            packets[trace] = ours.metered  # a trace with several logs counts once
            astray[trace] = max(elsewhere, astray.get(trace, 0))
    share = sum(astray.values()) / sum(packets.values())
    figures = (
        f"{len(rows)} logs, {agreed['']} agree in everything",
        f"{len(packets)} comparable traces, {sum(packets.values()):,} packets, {connections} connections of the logs",
        f"packets counted elsewhere: {sum(astray.values())} ({share:.4%})",
    )
    print("\n".join(figures))
    for why, count in agreed.most_common():
        print(f"{count:3} {why or 'agree'}")
    assert not wrong, "\n".join(wrong)
    assert set(KNOWN) <= set(rows)
    assert len(rows) > 100
    assert sum(packets.values()) > 15_000
    assert share <= 0.0001
    untold = [
        told for told in (*figures, *(known.why for known in KNOWN.values()), *(trace for trace, _ in KNOWN)) if told not in PAGE
    ]
    assert not untold, f"docs/exactness.md does not say: {untold}"


def test_a_comparison_finds_what_differs(data: Path) -> None:
    """A packet or an octet too many, a side, a flag or a microsecond is seen: what agrees above does so because it is equal."""
    ours = metered(data / "pcap/zeek/traces/http/get.pcap").connections
    assert len(ours) == 1
    flow = ours[0]
    assert differences(ours, ours) == ([], 0)
    for changed, expected in (
        ({"packets": (flow.packets[0] + 2, flow.packets[1])}, (["packets"], 2)),
        ({"octets": (flow.octets[0], flow.octets[1] - 1)}, (["octets"], 0)),
        ({"duration_us": flow.duration_us + 2}, (["duration"], 0)),
        ({"flags": (flow.flags[0], frozenset({"SYN"}))}, (["flags"], 0)),
        ({"state": "S1"}, (["state"], 0)),
        ({"origin": flow.responder, "responder": flow.origin}, (["octets"], 0)),
        (
            {"packets": flow.packets[::-1], "octets": flow.octets[::-1], "origin": flow.responder, "responder": flow.origin},
            (["originator"], 0),
        ),
    ):
        assert differences(ours, [replace(flow, **changed)]) == expected
    assert differences(ours, [flow, replace(flow, packets=(0, 0), octets=(0, 0))]) == (["connections"], 0)
