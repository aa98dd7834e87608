"""Which recordings show ordinary traffic, which show attacks, and why the others are neither. Every file gets a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

Use = Literal["benign", "content-attack", "excluded"]
_CAPTURES = (".pcap", ".pcapng", ".cap", ".trace")


@dataclass(frozen=True, slots=True)
class Selection:
    """One capture file, relative to the data folder, and what it is used for."""

    path: str
    use: Use
    reason: str


# First match decides. Patterns are of paths relative to the data folder.
_RULES: tuple[tuple[str, Use, str], ...] = (
    ("pcap/zeek/traces/*crash*", "excluded", "crafted to crash a decoder"),
    ("pcap/zeek/traces/snmp/snmp-oid-*", "excluded", "crafted to crash a decoder"),
    ("pcap/zeek/traces/*crafted*", "excluded", "crafted by hand"),
    ("pcap/zeek/traces/*fake*", "excluded", "crafted by hand"),
    ("pcap/zeek/traces/*truncated*", "excluded", "cut packets"),
    ("pcap/zeek/traces/*half-duplex*", "excluded", "half of a conversation"),
    ("pcap/zeek/traces/*miss*", "excluded", "packets left out on purpose"),
    ("pcap/zeek/traces/*misordered*", "excluded", "packets reordered on purpose"),
    ("pcap/zeek/traces/*bad-chksum*", "excluded", "damaged on purpose"),
    ("pcap/zeek/traces/*invalid*", "excluded", "a protocol violated on purpose"),
    ("pcap/zeek/traces/*bubble*", "excluded", "an anomaly of Teredo"),
    ("pcap/zeek/traces/tcp/retransmit-timeout*", "excluded", "a network fault"),
    ("pcap/zeek/traces/ldap/ctu-sme-*", "excluded", "from a recording of an attack"),
    ("pcap/zeek/traces/http/http-single-conn-22*", "excluded", "a protocol on a foreign port, as in an attack"),
    ("pcap/zeek/traces/*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/alert-*", "content-attack", "made to raise an alert by content"),
    ("pcap/suricata-verify/detect-*", "content-attack", "made to raise an alert by content"),
    ("pcap/suricata-verify/util-*", "content-attack", "made to raise an alert by content"),
    ("pcap/suricata-verify/base64-*", "content-attack", "made to raise an alert by content"),
    ("pcap/suricata-verify/uricontent*", "content-attack", "made to raise an alert by content"),
    ("pcap/suricata-verify/entropy*", "content-attack", "made to raise an alert by content"),
    ("pcap/suricata-verify/smb2-06*", "content-attack", "remote administration as an intruder does it"),
    ("pcap/suricata-verify/bug-*", "excluded", "made to reproduce a defect"),
    ("pcap/suricata-verify/issue-*", "excluded", "made to reproduce a defect"),
    ("pcap/suricata-verify/*leak*", "excluded", "made to reproduce a defect"),
    ("pcap/suricata-verify/*midstream*", "excluded", "the beginning cut off on purpose"),
    ("pcap/suricata-verify/*junk*", "excluded", "malformed on purpose"),
    ("pcap/suricata-verify/*bailout*", "excluded", "malformed on purpose"),
    ("pcap/suricata-verify/exception-*", "excluded", "malformed on purpose"),
    ("pcap/suricata-verify/drop-*", "excluded", "made to be dropped"),
    ("pcap/suricata-verify/ips-*", "excluded", "made to be dropped"),
    ("pcap/suricata-verify/firewall*", "excluded", "made to be dropped"),
    ("pcap/suricata-verify/stream-*", "excluded", "reassembly made difficult on purpose"),
    ("pcap/suricata-verify/tcp-*", "excluded", "reassembly made difficult on purpose"),
    ("pcap/suricata-verify/community-id-*", "benign", "recorded to show flows at work"),
    ("pcap/suricata-verify/mac-eve-*", "benign", "recorded to show hosts at work"),
    ("pcap/suricata-verify/dhcp-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/dns*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/ftp*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/http*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/imap-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/irc*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/mqtt-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/nfs3-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/pgsql*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/pop3-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/rdp-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/sip-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/smb*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/smtp-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/ssh-*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/dcerpc*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/dnp3*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/vxlan-decoder-0*", "benign", "recorded to show a protocol at work"),
    ("pcap/suricata-verify/*", "excluded", "made for one decoder or keyword; not known to be ordinary"),
    ("pcap/tcpdump/*", "excluded", "malformed and odd packets, for decoders"),
)


def select(root: Path) -> tuple[Selection, ...]:
    """Every capture below `root`/pcap with its use, sorted by path."""
    return tuple(_selections(root))


def _selections(root: Path) -> Iterator[Selection]:
    for path in sorted((root / "pcap").rglob("*")):
        if path.is_file() and path.suffix in _CAPTURES:
            name = path.relative_to(root).as_posix()
            use, reason = next(((use, why) for pattern, use, why in _RULES if fnmatch(name, pattern)), ("excluded", "unknown"))
            yield Selection(name, use, reason)
