"""Packet by packet against tshark with tunnels opened: the innermost IP packet we can reach is the one tshark shows there.

Which of tshark's IP layers that is follows from the layers between them; what stands between is in TUNNEL. A fragment is not opened.
"""

import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from netmote.capture.pcap_file import UnreadableCapture, read_capture
from netmote.records.flow import address_text

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

ALL = ("gre", "ipip", "vxlan", "geneve", "gtpu")
_LINKS = {"eth", "ethertype", "vlan", "mpls", "llc", "ieee8021ad"}
# What may stand between two IP layers, extension headers and links left out.
TUNNEL = {
    (): "ipip",
    ("gre",): "gre",
    ("gre", "ppp"): "gre",
    ("gre", "erspan"): "gre",
    ("udp", "vxlan"): "vxlan",
    ("udp", "geneve"): "geneve",
    ("udp", "gtp"): "gtpu",
}
_EXTENSIONS = {"ipv6.hopopts", "ipv6.routing", "ipv6.fraghdr", "ipv6.dstopts", "ah"}
_FIELDS = [
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ip.len",
    "ip.flags.mf",
    "ip.frag_offset",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.plen",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
]
# (file, what differs): why. Every other disagreement is a failure.
_BIG_TCP = "the outer lengths are 0, in a segment of more than 65,535 octets (Linux BIG TCP): this tshark looks into no UDP there"
KNOWN: dict[tuple[str, str], str] = {
    ("tcpdump/bigtcp-ipv4-geneve-ipv4.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv4-geneve-ipv6.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv6-geneve-ipv4.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv6-geneve-ipv6.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv4-vxlan-ipv4.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv4-vxlan-ipv6.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv6-vxlan-ipv4.pcap", "ends"): _BIG_TCP,
    ("tcpdump/bigtcp-ipv6-vxlan-ipv6.pcap", "ends"): _BIG_TCP,
}


def dissected(path: Path) -> list[dict[str, list[str]]]:
    """Every occurrence of each field, in the order of the layers; fragments not put together."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", "-E", "separator=|"]
    for preference in ("ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"):
        command += ["-o", f"{preference}:FALSE"]
    command += ["-o", "ip.tso_support:TRUE"]
    for name in _FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, errors="replace")
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return [{name: cell.split(",") if cell else [] for name, cell in zip(_FIELDS, row, strict=True)} for row in rows]


def innermost(row: dict[str, list[str]]) -> tuple[dict, int] | None:
    """What tshark says of the IP layer that we should come to, and how many tunnels that is in; None without an IP layer."""
    layers = row["frame.protocols"][0].split(":") if row["frame.protocols"] else []
    layers = [layer for layer in layers if layer not in _EXTENSIONS]
    places = [place for place, layer in enumerate(layers) if layer in ("ip", "ipv6")]
    if not places:
        return None
    seen: Counter[str] = Counter()
    reached = depth = 0
    for number, place in enumerate(places):
        if number:
            between = tuple(layer for layer in layers[places[number - 1] + 1 : place] if layer not in _LINKS)
            if between not in TUNNEL or is_fragment(row, layers[places[number - 1]], seen) or depth == 4:
                break
            depth += 1
        seen[layers[place]] += 1
        reached = place
    layer, number = layers[reached], seen[layers[reached]] - 1
    behind = layers[reached + 1] if reached + 1 < len(layers) else ""
    transports = [each for each in layers[:reached] if each == behind]
    ports = (0, 0)
    if behind in ("tcp", "udp") and len(row[f"{behind}.srcport"]) > len(transports):
        ports = (int(row[f"{behind}.srcport"][len(transports)]), int(row[f"{behind}.dstport"][len(transports)]))
    if len(row[f"{layer}.src"]) <= number:
        return None
    total = int(row["ip.len"][number]) if layer == "ip" else int(row["ipv6.plen"][number]) + 40
    ends = (same_text(row[f"{layer}.src"][number]), same_text(row[f"{layer}.dst"][number]))
    return {"ends": ends, "total": total, "ports": ports if behind in ("tcp", "udp") else None}, depth


def is_fragment(row: dict[str, list[str]], layer: str, seen: Counter[str]) -> bool:
    if layer == "ipv6":
        return "ipv6.fraghdr" in row["frame.protocols"][0]
    number = seen["ip"] - 1
    return row["ip.flags.mf"][number] == "1" or row["ip.frag_offset"][number] != "0"


def same_text(text: str) -> str:
    return address_text(socket.inet_pton(socket.AF_INET6, text)) if ":" in text else text


def ours(path: Path) -> list[dict | None]:
    """In file order; None for what is not decoded."""
    found: list[dict | None] = []
    for packets in read_capture(path, tunnels=ALL):
        place = packets.undecodable_position.tolist()
        source, destination = packets.source_address, packets.destination_address
        for row in range(len(packets) + 1):
            while place and place[0] == row:
                place.pop(0)
                found.append(None)
            if row < len(packets):
                found.append(
                    {
                        "ends": (address_text(source[row].tobytes()), address_text(destination[row].tobytes())),
                        "total": int(packets.ip_total_length[row]),
                        "ports": (int(packets.source_port[row]), int(packets.destination_port[row])),
                    }
                )
    return found


def test_packets_inside_agree_with_tshark(data: Path) -> None:
    """Addresses, length and ports of the innermost packet of every packet of the captures that hold tunnels."""
    unknown, opened, compared, files = Counter(), Counter(), 0, 0
    seen = set()
    for path in sorted((data / "pcap").rglob("*")):
        if path.suffix not in (".pcap", ".pcapng"):
            continue
        name = str(path.relative_to(data / "pcap"))
        try:
            mine = ours(path)
        except UnreadableCapture:
            continue
        with_outer = [None if each is None else each["ends"] for each in mine]
        plain = [
            ends
            for packets in read_capture(path)
            for ends in zip(map(bytes, packets.source_address), map(bytes, packets.destination_address), strict=True)
        ]
        if [each for each in with_outer if each] == [tuple(map(address_text, ends)) for ends in plain]:
            continue  # nothing in it is opened
        files += 1
        for position, (row, own) in enumerate(zip(dissected(path), mine, strict=False)):
            theirs = innermost(row)
            if theirs is None or own is None:
                continue
            want, depth = theirs
            compared += 1
            opened[depth] += 1
            for what, value in want.items():
                if value is not None and own[what] != value:
                    seen.add((name, what))
                    if (name, what) not in KNOWN:
                        unknown[name, what, position + 1, str(own[what]), str(value)] += 1
                    break
    print(f"{compared} packets of {files} captures with tunnels compared, {compared - opened[0]} of them inside one or more")
    assert compared - opened[0] > 1_000
    assert not unknown, "\n".join(map(str, unknown))
    assert seen == set(KNOWN)
