"""A folder of recordings like the real one, small enough to train on in seconds: packets made by hand, a labelled conn.log."""

import struct
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np

START = 1_700_000_000.0


def _checksumless_ip(protocol: int, source: str, destination: str, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return head + IPv4Address(source).packed + IPv4Address(destination).packed + payload


def udp(source: str, destination: str, sport: int, dport: int, size: int) -> bytes:
    """An Ethernet frame with a UDP datagram of `size` octets of data."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + size, 0) + bytes(size)
    return b"\x02" * 12 + b"\x08\x00" + _checksumless_ip(17, source, destination, datagram)


def tcp(source: str, destination: str, sport: int, dport: int, flags: int, *, size: int = 0) -> bytes:
    """An Ethernet frame with a TCP segment."""
    segment = struct.pack("!HHIIBBHHH", sport, dport, 0, 0, 0x50, flags, 1024, 0, 0) + bytes(size)
    return b"\x02" * 12 + b"\x08\x00" + _checksumless_ip(6, source, destination, segment)


def write_pcap(path: Path, packets: list[tuple[float, bytes]]) -> None:
    """Classic pcap, microseconds, Ethernet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    for time, frame in sorted(packets, key=lambda packet: packet[0]):
        body += struct.pack("<IIII", int(time), round(time % 1 * 1e6), len(frame), len(frame)) + frame
    path.write_bytes(body)


def conversation(random: np.random.Generator, *, seconds: float) -> list[tuple[float, bytes]]:
    """A client that asks one server now and then."""
    packets, time = [], START
    while time < START + seconds:
        sport = int(random.integers(40_000, 60_000))
        for flags, is_answer, size in (
            (0x02, False, 0),
            (0x12, True, 0),
            (0x18, False, 200),
            (0x18, True, 900),
            (0x11, False, 0),
        ):
            source, destination, ports = ("10.0.0.2", "10.0.0.9", (sport, 443))
            if is_answer:
                source, destination, ports = destination, source, ports[::-1]
            packets.append((time, tcp(source, destination, *ports, flags, size=size)))
            time += 0.01
        packets.append((time, udp("10.0.0.2", "10.0.0.53", sport, 53, 30)))
        time += float(random.exponential(6.0))
    return packets


def scan(*, seconds: float) -> list[tuple[float, bytes]]:
    """A client that tries ten ports a second."""
    return [
        (START + index / 10, tcp("10.0.0.2", "10.0.0.9", 50_000, index % 1_000 + 1, 0x02)) for index in range(int(seconds * 10))
    ]


FIELDS = [
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "local_orig",
    "local_resp",
    "missed_bytes",
    "history",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
]


def conn_row(time: float, label: str = "Benign", detail: str = "-", **columns: object) -> str:
    """One line of a labelled conn.log as Stratosphere writes them."""
    row: dict[str, object] = dict.fromkeys(FIELDS, "-")
    row |= {
        "ts": f"{time:.6f}", "uid": "C1", "id.orig_h": "192.168.1.5", "id.orig_p": 40_000, "id.resp_h": "192.0.2.1", "id.resp_p": 80,
        "proto": "tcp", "duration": "2.5", "conn_state": "SF", "history": "ShADadFf", "orig_pkts": 6, "orig_ip_bytes": 600,
        "resp_pkts": 5, "resp_ip_bytes": 5_000,
    }  # fmt: skip
    row |= {name.replace("__", "."): value for name, value in columns.items()}
    return "\t".join(str(row[name]) for name in FIELDS) + f"\t-   {label}   {detail}"


def write_conn_log(path: Path, rows: list[str]) -> None:
    """A conn.log with its head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "#separator \\x09\n#fields\t" + "\t".join(FIELDS) + "\ttunnel_parents   label   detailed-label\n"
    path.write_text(head + "".join(row + "\n" for row in rows) + "#close\n")


def write_recordings(root: Path, *, captures: int = 16) -> Path:
    """Ordinary captures, one content attack, one that is left out, and six hours of a flow log with an attack in them."""
    random = np.random.default_rng(1)
    for index in range(captures):
        write_pcap(root / "pcap" / "zeek" / "traces" / f"talk-{index}.pcap", conversation(random, seconds=90.0))
    write_pcap(root / "pcap" / "zeek" / "traces" / "crash.pcap", conversation(random, seconds=5.0))
    write_pcap(root / "pcap" / "suricata-verify" / "alert-x" / "input.pcap", conversation(random, seconds=30.0))
    (root / "pcap" / "zeek" / "traces" / "junk.pcap").write_bytes(b"no capture at all")
    write_pcap(root / "pcap" / "zeek" / "traces" / "silent.pcap", [])
    rows = [conn_row(START + 30.0 * index, resp_ip_bytes=int(random.integers(100, 9_000))) for index in range(660)]
    rows += [
        conn_row(START + 20_000.0 + index / 5, "Malicious", "DDoS", id__resp_p=index % 900 + 1, history="S", conn_state="S0", orig_pkts=1,
                 orig_ip_bytes=40, resp_pkts=0, resp_ip_bytes=0, duration="-")
        for index in range(600)
    ]  # fmt: skip
    write_conn_log(root / "flows" / "iot23" / "conn.log.labeled", rows)
    return root
