"""The shipped rules on packets: built with scapy, written as pcap, read, metered and cut into windows by netmote itself."""

import base64
import random
import string
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import RawPcapWriter

from netmote.alerts.alert import Alert, AlertState
from netmote.alerts.book import AlertBook
from netmote.alerts.config import AlertsConfig
from netmote.capture.pcap_file import read_capture
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FlowBatch
from netmote.scoring.finding import Severity
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows
from netmote.windows.vector import VectorBatch

START = 1_700_000_000.0
SENSOR = "probe"
OURS, PEER, STRANGER, SERVER, RESOLVER = "10.1.0.2", "10.1.0.3", "198.51.100.7", "203.0.113.80", "10.1.0.1"
Timed = tuple[float, bytes]
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def tcp(source: str, sport: int, target: str, dport: int, flags: str, *, octets: int = 0) -> bytes:
    return bytes(LINK / IP(src=source, dst=target) / TCP(sport=sport, dport=dport, flags=flags) / Raw(b"x" * octets))


def conversation(
    at: float, client: str, sport: int, server: str, port: int, *, sends: int = 300, receives: int = 4000
) -> Iterator[Timed]:
    """An ordinary TCP connection: handshake, request, answer in segments, orderly end; 200 ms long."""
    yield at, tcp(client, sport, server, port, "S")
    yield at + 0.010, tcp(server, port, client, sport, "SA")
    yield at + 0.020, tcp(client, sport, server, port, "A")
    yield at + 0.021, tcp(client, sport, server, port, "PA", octets=sends)
    step = 0.1 / max(1, receives // 1400)
    for segment in range(max(1, receives // 1400)):
        yield at + 0.04 + segment * step, tcp(server, port, client, sport, "A", octets=min(1400, receives))
        yield at + 0.04 + (segment + 0.5) * step, tcp(client, sport, server, port, "A")
    yield at + 0.18, tcp(client, sport, server, port, "FA")
    yield at + 0.19, tcp(server, port, client, sport, "FA")
    yield at + 0.20, tcp(client, sport, server, port, "A")


def refused(at: float, client: str, sport: int, server: str, port: int) -> Iterator[Timed]:
    yield at, tcp(client, sport, server, port, "S")
    yield at + 0.001, tcp(server, port, client, sport, "RA")


def lookup(at: float, client: str, sport: int, name: str, *, fails: bool = False) -> Iterator[Timed]:
    question = DNSQR(qname=name)
    query = IP(src=client, dst=RESOLVER) / UDP(sport=sport, dport=53) / DNS(id=sport, qd=question)
    answer = (
        DNS(id=sport, qr=1, rcode=3, qd=question)
        if fails
        else DNS(id=sport, qr=1, qd=question, an=DNSRR(rrname=name, rdata=SERVER))
    )
    yield at, bytes(LINK / query)
    yield at + 0.005, bytes(LINK / IP(src=RESOLVER, dst=client) / UDP(sport=53, dport=sport) / answer)


def copies(packet: Packet, times: Iterable[float], *, sports: Sequence[int]) -> Iterator[Timed]:
    """The same packet again and again, its source port (bytes 34 and 35 of the frame) changed."""
    frame = bytearray(bytes(LINK / packet))
    for number, at in enumerate(times):
        frame[34:36] = struct.pack("!H", sports[number % len(sports)])
        yield at, bytes(frame)


def background(seconds: float, *, seed: int = 7) -> Iterator[Timed]:
    """An office of four hosts: browsing with look-ups, NTP, keep-alives, pings, SSDP, an SSH session, a file server, a meeting."""
    draw = random.Random(seed)
    for host in range(2, 6):
        client = f"10.1.0.{host}"
        at = draw.uniform(0, 5)
        sport = 40_000 + host * 1000
        while at < seconds - 2:
            # A page: a few names, connections to several servers, now and then one that is refused or reset.
            for _ in range(draw.randint(3, 12)):
                sport += 1
                server = f"203.0.113.{draw.randint(1, 250)}"
                yield from lookup(
                    at,
                    client,
                    sport,
                    f"{draw.choice(['www', 'cdn', 'static-assets', 'api'])}.site{draw.randint(1, 40)}.example.com",
                )
                yield from conversation(at + 0.02, client, sport, server, 443, receives=draw.randint(2_000, 12_000))
                if draw.random() < 0.1:
                    yield from refused(at + 0.5, client, sport + 20_000 - 1000, server, 8443)
                at += draw.uniform(0.02, 0.4)
            at += draw.uniform(3, 15)
        for second in range(0, int(seconds), 64):
            yield (
                second + host * 0.1,
                bytes(LINK / IP(src=client, dst="192.0.2.123") / UDP(sport=123, dport=123) / Raw(b"n" * 48)),
            )
            yield (
                second + host * 0.1 + 0.02,
                bytes(LINK / IP(src="192.0.2.123", dst=client) / UDP(sport=123, dport=123) / Raw(b"n" * 48)),
            )
        for second in range(0, int(seconds), 30):
            yield second + 0.4, tcp(client, 50_000 + host, "203.0.113.200", 5228, "PA", octets=40)
            yield second + 0.43, tcp("203.0.113.200", 5228, client, 50_000 + host, "A")
        for second in range(0, int(seconds), 20):
            yield (
                second + 0.7,
                bytes(LINK / IP(src=client, dst="239.255.255.250") / UDP(sport=51_000, dport=1900) / Raw(b"m" * 120)),
            )
    for second in range(int(seconds)):
        # An interactive SSH session, a ping each second, a printer that is off and tried every ten seconds.
        yield second + 0.2, tcp("10.1.0.2", 55_555, "10.1.0.9", 22, "PA", octets=60)
        yield second + 0.21, tcp("10.1.0.9", 22, "10.1.0.2", 55_555, "PA", octets=60)
        yield second + 0.5, bytes(LINK / IP(src="10.1.0.4", dst="10.1.0.1") / ICMP(type=8, id=7, seq=second) / Raw(b"p" * 56))
        yield second + 0.501, bytes(LINK / IP(src="10.1.0.1", dst="10.1.0.4") / ICMP(type=0, id=7, seq=second) / Raw(b"p" * 56))
        if second % 10 == 0:
            yield second + 0.9, tcp("10.1.0.3", 60_000 + second, "10.1.0.200", 9100, "S")
    # A meeting: 2 Mbit/s each way for the whole time, one flow.
    up = bytes(LINK / IP(src="10.1.0.5", dst="203.0.113.90") / UDP(sport=50_100, dport=3478) / Raw(b"v" * 1000))
    down = bytes(LINK / IP(src="203.0.113.90", dst="10.1.0.5") / UDP(sport=3478, dport=50_100) / Raw(b"v" * 1000))
    for number in range(int(seconds * 25)):
        yield number / 25, up
        yield number / 25 + 0.01, down


def capture(path: Path, packets: Iterable[Timed]) -> Path:
    """Write the packets in the order of time."""
    with path.open("wb") as stream:
        writer = RawPcapWriter(stream, linktype=1, nano=True)
        writer.write_header(None)
        for at, frame in sorted(packets, key=lambda timed: timed[0]):
            second = int(START + at)
            writer.write_packet(frame, sec=second, usec=int((START + at - second) * 1e9), caplen=len(frame), wirelen=len(frame))
    return path


def alerts_of(path: Path, *, dropped_share: float = 0.0) -> list[Alert]:
    """Every revision the shipped rules bring forth on a capture, of which the kernel says it dropped this share before."""
    meter = FlowMeter(
        source="capture:eth0",
        interface="eth0",
        max_flows=65_536,
        active_timeout_ns=1_800_000_000_000,
        idle_timeout_ns=30_000_000_000,
        when_full="evict",
    )
    windows = Windows(WindowsConfig(), sensor=SENSOR)
    rules, book = RuleSet.load(["builtin"]), AlertBook(AlertsConfig(), sensor=SENSOR)
    revisions: list[Alert] = []

    def judge(closed: Sequence[VectorBatch]) -> None:
        for window in closed:
            found = rules.evaluate(window, evidence=partial(windows.evidence, end_ns=window.end_ns))
            known = [replace(finding, evidence=windows.evidence(finding.entity, finding.end_ns)) for finding in found]
            revisions.extend(book.update(window.end_ns, known))

    def take(batches: Iterable[FlowBatch]) -> None:
        for batch in batches:
            dropped = round(batch.loss.received * dropped_share / (1 - dropped_share))
            windows.add(replace(batch, loss=replace(batch.loss, dropped=dropped)))
            judge(windows.advance())

    for packets in read_capture(path):
        take(meter.meter(packets))
    take(meter.flush())
    judge(windows.finish())
    return revisions


def fired(alerts: Iterable[Alert]) -> dict[tuple[str, str], float]:
    """Rule and entity of what fired, and seconds into the capture."""
    first: dict[tuple[str, str], float] = {}
    for alert in alerts:
        if alert.state is AlertState.FIRING:
            first.setdefault((alert.group, alert.entity.name), alert.fired_at_ns / 1e9 - START)
    return first


def scan(at: float, *, client: str = OURS, server: str = PEER, ports: int = 1000, seconds: float = 5.0) -> Iterator[Timed]:
    """As nmap -sS, which with its default of 1,000 ports takes 2 to 15 s."""
    for port in range(ports):
        yield from refused(at + port * seconds / ports, client, 45_000, server, port + 1)


def traceroute(at: float) -> Iterator[Timed]:
    for probe in range(90):
        yield (
            at + probe * 0.02,
            bytes(LINK / IP(src=OURS, dst=STRANGER, ttl=1 + probe // 3) / UDP(sport=50_000 + probe, dport=33_434 + probe)),
        )


def names(count: int, *, gap: float = 0.5) -> Iterator[Timed]:
    """What a tunnel writes into names: two labels of 56 base32 characters under one domain."""
    draw = random.Random(1)
    for number in range(count):
        labels = (base64.b32encode(draw.randbytes(35)).decode().lower() for _ in range(2))
        yield from lookup(10 + number * gap, OURS, 30_000 + number, ".".join(labels) + ".t.example.org")


def generated_names(count: int) -> Iterator[Timed]:
    draw = random.Random(2)
    for number in range(count):
        yield from lookup(
            10 + number * 0.3, OURS, 30_000 + number, "".join(draw.choices(string.ascii_lowercase, k=12)) + ".com", fails=True
        )


def half_open(count: int, per_second: float) -> Iterator[Timed]:
    """A flood that the server answers: sources are spoofed, nobody goes on."""
    attempt, answer = bytearray(tcp(STRANGER, 1, OURS, 80, "S")), bytearray(tcp(OURS, 80, STRANGER, 1, "SA"))
    for number in range(count):
        attempt[34:36] = answer[36:38] = struct.pack("!H", 1024 + number)
        yield 20 + number / per_second, bytes(attempt)
        yield 20.001 + number / per_second, bytes(answer)


def ping(at: float, target: str, *, octets: int = 56, answered: bool = True) -> Iterator[Timed]:
    yield at, bytes(LINK / IP(src=OURS, dst=target) / ICMP(type=8, id=3) / Raw(b"p" * octets))
    if answered:
        yield at + 0.01, bytes(LINK / IP(src=target, dst=OURS) / ICMP(type=0, id=3) / Raw(b"p" * octets))


def transfer(seconds: float, *, per_second: int) -> Iterator[Timed]:
    """An upload in full segments, one acknowledgement for ten."""
    full, acknowledgement = tcp(OURS, 42_000, STRANGER, 443, "A", octets=1400), tcp(STRANGER, 443, OURS, 42_000, "A")
    yield 5.0, tcp(OURS, 42_000, STRANGER, 443, "S")
    for number in range(int(seconds * per_second)):
        yield 6 + number / per_second, full
        if number % 10 == 0:
            yield 6.0001 + number / per_second, acknowledgement


def repeated(count: int, gap: float, once: Callable[[float, int], Iterable[Timed]]) -> Iterator[Timed]:
    for number in range(count):
        yield from once(10 + number * gap, number)


SPORTS = range(1024, 60_000)
# What happens, the rule that must name it and of whom, seconds from the start of the attack to the end of the window that must.
ATTACKS: dict[str, tuple[Callable[[], Iterable[Timed]], str, str, float]] = {
    "nmap -sS of a neighbour": (lambda: scan(30), "vertical_scan", OURS, 20),
    "slow nmap -sS": (lambda: scan(30, seconds=15), "vertical_scan", OURS, 20),
    "nmap -sS from outside": (lambda: scan(30, client=STRANGER, server=OURS), "scanned", OURS, 20),
    "strangers scan strangers": (lambda: scan(30, client=STRANGER, server=SERVER), "segment_vertical_scan", f"{SENSOR}/eth0", 20),
    "worm on port 23": (
        lambda: ((30 + n / 20, tcp(OURS, 45_000, f"203.0.113.{n}", 23, "S")) for n in range(200)),
        "horizontal_scan",
        OURS,
        20,
    ),
    "ping sweep": (
        lambda: (p for n in range(200) for p in ping(30 + n / 20, f"203.0.113.{n}", answered=False)),
        "ping_sweep",
        OURS,
        20,
    ),
    "SYN flood, unanswered": (
        lambda: copies(IP(src=STRANGER, dst=OURS) / TCP(dport=80, flags="S"), (20 + n / 500 for n in range(9000)), sports=SPORTS),
        "syn_flood",
        OURS,
        20,
    ),
    "SYN flood, answered": (lambda: half_open(4000, 500), "syn_flood", OURS, 20),
    "SYN flood by a host of ours": (
        lambda: copies(IP(src=OURS, dst=SERVER) / TCP(dport=80, flags="S"), (20 + n / 500 for n in range(9000)), sports=SPORTS),
        "syn_flood_source",
        OURS,
        20,
    ),
    "SYN flood among strangers": (
        lambda: copies(
            IP(src=STRANGER, dst=SERVER) / TCP(dport=80, flags="S"), (20 + n / 2000 for n in range(25_000)), sports=SPORTS
        ),
        "segment_syn_flood",
        f"{SENSOR}/eth0",
        20,
    ),
    "UDP flood": (
        lambda: copies(
            IP(src=STRANGER, dst=OURS) / UDP(dport=9) / Raw(b"x" * 20), (20 + n / 7000 for n in range(70_000)), sports=SPORTS
        ),
        "udp_flood",
        OURS,
        20,
    ),
    "ping -f": (
        lambda: copies(
            IP(src=STRANGER, dst=OURS) / ICMP(type=8, id=3) / Raw(b"x" * 56),
            (20 + n / 1500 for n in range(15_000)),
            sports=[0x0800],
        ),
        "icmp_flood",
        OURS,
        20,
    ),
    "guessing the passwords of a neighbour": (
        lambda: repeated(120, 0.5, lambda at, n: conversation(at, OURS, 41_000 + n, PEER, 22, sends=900, receives=2000)),
        "brute_force",
        OURS,
        30,
    ),
    "guessing our RDP password from outside": (
        lambda: repeated(120, 0.5, lambda at, n: conversation(at, STRANGER, 41_000 + n, OURS, 3389, sends=900, receives=2000)),
        "brute_force",
        OURS,
        30,
    ),
    "a dead service, called twice a second": (
        lambda: repeated(200, 0.45, lambda at, n: refused(at, OURS, 42_000 + n, PEER, 5432)),
        "failed_connections",
        OURS,
        90,
    ),
    "DNS tunnel": (lambda: names(120), "dns_tunnel", OURS, 30),
    "generated names": (lambda: generated_names(250), "dns_failures", OURS, 60),
    "an upload": (lambda: transfer(140, per_second=2000), "exfiltration", OURS, 120),
    "data in pings": (lambda: repeated(600, 0.1, lambda at, _: ping(at, STRANGER, octets=900)), "icmp_tunnel", OURS, 60),
    "a beacon": (
        lambda: repeated(40, 10.0, lambda at, n: conversation(at, OURS, 42_000 + n, STRANGER, 443)),
        "beaconing",
        OURS,
        240,
    ),
    "a beacon that nobody answers": (
        lambda: repeated(40, 10.0, lambda at, n: [(at, tcp(OURS, 42_000 + n, STRANGER, 443, "S"))]),
        "beaconing_unanswered",
        OURS,
        180,
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_named_in_time_and_is_one_alert(name, tmp_path):
    """Each attack is alerted by its name at the entity it concerns, soon enough, and by no other rule."""
    attack, rule, entity, within = ATTACKS[name]
    packets = sorted(attack(), key=lambda timed: timed[0])
    found = fired(alerts_of(capture(tmp_path / "attack.pcap", packets)))
    assert list(found) == [(rule, entity)]
    assert found[rule, entity] - packets[0][0] <= within


@pytest.fixture(scope="module")
def office() -> list[Timed]:
    return list(background(180))


@pytest.mark.parametrize("dropped_share", [0.0, 0.02, 0.1, 0.3, 0.5])
def test_ordinary_traffic_raises_nothing_even_with_packets_lost(office, dropped_share, tmp_path):
    """An office with browsing, names, NTP, keep-alives, a meeting: whatever share is lost on the way, no rule fires but that on loss."""
    draw = random.Random(3)
    kept = [timed for timed in office if draw.random() >= dropped_share]
    found = fired(alerts_of(capture(tmp_path / "office.pcap", kept), dropped_share=dropped_share))
    assert list(found) == ([("capture_loss", SENSOR)] if dropped_share else [])


def test_traceroute_is_no_port_scan(tmp_path):
    """Ninety ports of one address, none answered, are what UDP traceroute does."""
    assert fired(alerts_of(capture(tmp_path / "traceroute.pcap", traceroute(10)))) == {}


@pytest.mark.parametrize(
    "name", ["nmap -sS of a neighbour", "nmap -sS from outside", "worm on port 23", "guessing the passwords of a neighbour"]
)
def test_ordinary_traffic_beside_it_hides_no_attack(name, office, tmp_path):
    """The same host goes on browsing while it scans or guesses: the attack is still the one alert."""
    attack, rule, entity, within = ATTACKS[name]
    packets = list(attack())
    found = fired(alerts_of(capture(tmp_path / "mixed.pcap", [*office, *packets])))
    assert list(found) == [(rule, entity)]
    assert found[rule, entity] - packets[0][0] <= within


def test_a_scan_of_every_port_is_one_scan_and_no_flood(tmp_path):
    """All 65,535 ports within twenty seconds are 1,000 SYN a second, and still a scan; it resolves once, after it is over."""
    attack = copies_of_ports(30, 65_535, 20.0)
    quiet = repeated(50, 10.0, lambda at, _: ping(at, RESOLVER))
    alerts = alerts_of(capture(tmp_path / "all.pcap", [*attack, *quiet]))
    assert [(alert.group, alert.entity.name, alert.state) for alert in alerts if alert.revision in (1, alerts[-1].revision)] == [
        ("vertical_scan", OURS, AlertState.FIRING),
        ("vertical_scan", OURS, AlertState.RESOLVED),
    ]
    assert len({alert.alert_id for alert in alerts}) == 1


def copies_of_ports(at: float, ports: int, seconds: float) -> Iterator[Timed]:
    frame = bytearray(tcp(OURS, 45_000, PEER, 1, "S"))
    for port in range(1, ports + 1):
        frame[36:38] = struct.pack("!H", port)
        yield at + port * seconds / ports, bytes(frame)


def test_loss_makes_a_scan_milder_and_much_loss_silent(tmp_path):
    """Three per cent lost: the scan is alerted as warning instead of error. Twenty per cent lost: scans are not to be told."""
    path = capture(tmp_path / "scan.pcap", scan(30))
    few = [alert for alert in alerts_of(path, dropped_share=0.03) if alert.group != "capture_loss"]
    assert {(alert.group, alert.severity) for alert in few} == {("vertical_scan", Severity.WARNING)}
    assert few[0].loss_ratio == pytest.approx(0.03, abs=0.002)
    assert {alert.group for alert in alerts_of(path, dropped_share=0.2)} <= {"capture_loss"}


def test_a_flood_is_alerted_through_the_loss_it_causes(tmp_path):
    """A flood overruns the ring: half of it is lost, and it is still a flood, one severity milder."""
    alerts = alerts_of(capture(tmp_path / "flood.pcap", half_open(4000, 500)), dropped_share=0.5)
    assert ("syn_flood", Severity.ERROR) in {(alert.group, alert.severity) for alert in alerts}


def test_an_alert_says_what_drove_it(tmp_path):
    """The first contributor of a scan is its number of ports with unit and limit; the scanned peer stands in the evidence."""
    alert = alerts_of(capture(tmp_path / "scan.pcap", scan(30)))[0]
    assert alert.title == "10.1.0.2 scans ports: 1000 ports of one peer within 60 s"
    ports = alert.contributors[0]
    assert (ports.feature, ports.unit, ports.value, ports.threshold) == ("max_ports_per_dst", "{port}", 1000.0, 20.0)
    assert alert.technique == "T1046"
    assert (PEER, 1000) in alert.evidence.top_peers


def test_every_rule_over_traffic_is_shown_on_packets():
    """No shipped rule over traffic goes without a capture that makes it fire (those of segments that hosts explain have one where they do not)."""
    shown = {rule for _, rule, _, _ in ATTACKS.values()} | ON_VECTORS_ONLY
    assert {rule.id for rule in RuleSet.load(["builtin"]).rules if rule.over == "traffic"} == shown


# These need strangers by the hundred; test_shipped_rules.py shows them on vectors.
ON_VECTORS_ONLY = {"segment_horizontal_scan", "segment_icmp_flood"}


@pytest.mark.realdata
def test_recorded_dns_tunnel_and_ordinary_captures(data):
    """A recording of dns2tcp is named for what it is, and nothing else; recordings of ordinary protocols raise nothing."""
    recorded = data / "pcap"
    assert list(fired(alerts_of(recorded / "suricata-verify/dns/bug-1158/input.pcap"))) == [("dns_tunnel", "10.30.28.90")]
    ordinary = sorted(path for path in (recorded / "zeek/traces").rglob("*.pcap") if path.stat().st_size < 300_000)[::4]
    assert len(ordinary) > 20
    assert {path.name: found for path in ordinary if (found := fired(alerts_of(path)))} == {}
