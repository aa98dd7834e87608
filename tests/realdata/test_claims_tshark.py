"""Who claims which address in the recordings: packet by packet against tshark's ARP, and what the neighbours make of it."""

import ipaddress
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from netmote.capture.packets import Claim
from netmote.capture.pcap_file import UnreadableCapture, read_capture
from netmote.metering.neighbours import Neighbours, hardware_text
from netmote.records.flow import address_text

pytestmark = pytest.mark.realdata
_LINKS = {"eth", "ethertype", "vlan", "ieee8021ad", "sll", "pkt_comment"}
_FIELDS = ["frame.protocols", "arp.opcode", "arp.hw.type", "arp.proto.type", "arp.hw.size", "arp.proto.size"]
_FIELDS += ["arp.src.hw_mac", "arp.src.proto_ipv4", "arp.dst.proto_ipv4"]
# Fuzzed: bytes of the addresses were changed at random, so that addresses seem to move.
_DISPUTED = {"tcpdump/arp-oobr.pcap"}


def captures(data: Path) -> list[Path]:
    return [path for path in sorted((data / "pcap").rglob("*")) if path.suffix in (".pcap", ".pcapng")]


def ours(path: Path) -> tuple[list[tuple[str, str, str]], int]:
    """(kind, address, hardware address) of the ARP claims, and how many packets are ARP."""
    found = []
    count = 0
    for packets in read_capture(path):
        count += packets.undecodable.get("arp", 0)
        claims = packets.claims
        for kind, address, hardware in zip(claims.kind.tolist(), claims.address, claims.hardware.tolist(), strict=True):
            if kind in (Claim.ARP_REQUEST, Claim.ARP_REPLY, Claim.GRATUITOUS_ARP):
                found.append((Claim(kind).reason, address_text(address.tobytes()), hardware_text(hardware)))
    return found, count


def theirs(path: Path) -> list[tuple[str, str, str]]:
    """The same as tshark reads it, with our rules of what claims nothing."""
    command = ["tshark", "-n", "-r", str(path), "-Y", "arp", "-T", "fields", "-E", "occurrence=f", "-E", "separator=|"]
    for name in _FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, errors="replace")
    found = []
    for line in done.stdout.splitlines():
        row = dict(zip(_FIELDS, line.split("|"), strict=True))
        before = row["frame.protocols"].split(":arp")[0].split(":")  # behind it tshark sees trailers
        if not set(before) <= _LINKS or row["arp.opcode"] not in ("1", "2"):
            continue
        sizes = (row["arp.hw.type"], int(row["arp.proto.type"] or "0", 0), row["arp.hw.size"], row["arp.proto.size"])
        sender, target, hardware = row["arp.src.proto_ipv4"], row["arp.dst.proto_ipv4"], row["arp.src.hw_mac"]
        if sizes != ("1", 0x0800, "6", "4") or not (sender and target and hardware):
            continue
        address = ipaddress.IPv4Address(sender)
        if sender.startswith("0.") or address.is_multicast or sender == "255.255.255.255":
            continue
        if hardware in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
            continue
        kind = "gratuitous_arp" if sender == target else "arp_request" if row["arp.opcode"] == "1" else "arp_reply"
        found.append((kind, sender, hardware))
    return found


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_arp_claims_agree_with_tshark(data: Path) -> None:
    """Every claim of every capture, in order, and no other."""
    compared, wrong = 0, []
    for path in captures(data):
        try:
            mine, count = ours(path)
        except UnreadableCapture:
            continue
        if not count:  # that ARP is nothing else there, test_captures_tshark compares
            continue
        expected = theirs(path)
        compared += len(mine)
        if mine != expected:
            wrong.append(
                f"{path.relative_to(data / 'pcap')}: {Counter(mine) - Counter(expected)} {Counter(expected) - Counter(mine)}"
            )
    print(f"{compared} claims compared")
    assert not wrong, "\n".join(wrong)
    assert compared > 1_000


def test_ordinary_recordings_hold_no_dispute(data: Path) -> None:
    """Of a thousand captures only the fuzzed one makes facts about addresses: each of the three rules is silent on real networks."""
    disputed, servers = set(), 0
    for path in captures(data):
        neighbours: dict[str, Neighbours] = {}
        try:
            for packets in read_capture(path):
                of = neighbours.setdefault(packets.interface, Neighbours(source=f"capture:{packets.interface}"))
                servers += int((packets.claims.kind == Claim.DHCP_SERVER).sum())
                if of.observe(packets.claims):
                    disputed.add(str(path.relative_to(data / "pcap")))
        except UnreadableCapture:
            continue
    assert disputed == _DISPUTED
    assert servers > 20
