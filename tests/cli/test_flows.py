"""`netmote flows`: records and totals of captures in each format, errors in one sentence."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from capture_files import SECOND, enhanced, interface, pcap, section
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.records.flow import FLOW_DTYPE

START = 1_700_000_000 * SECOND
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FRAMES = [
    bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80, flags="S")),
    bytes(LINK / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=1000, flags="SA")),
    bytes(LINK / ARP(pdst="10.0.0.9")),
    bytes(LINK / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=5, dport=6)),
    bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80, flags="R")),
]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "few.pcap"
    path.write_bytes(pcap([(START + number * 3 * SECOND, frame) for number, frame in enumerate(FRAMES)]))
    return path


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, ["flows", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_csv_has_the_names_of_the_record_and_a_row_for_each_flow(capture: Path) -> None:
    """Slices of several panes are one row; addresses are text; what was not decoded stands on standard error."""
    result = run(capture)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    names = FLOW_DTYPE.names or ()
    assert tuple(rows[0])[: len(names)] == names
    assert (rows[0]["tcp_state"], rows[0]["initiator_octet_mean"], rows[0]["responder_interarrival_mean_us"]) == (
        "RSTO",
        "40.0",
        "",
    )
    by_port = {row["destination_transport_port"]: row for row in rows}
    assert len(rows) == 2
    assert (by_port["80"]["source_address"], by_port["80"]["initiator_packets"], by_port["80"]["responder_packets"]) == (
        "10.0.0.1",
        "2",
        "1",
    )
    assert by_port["80"]["flow_end_reason"] == "end_of_flow"
    assert by_port["80"]["flow_start_ns"] == str(START)
    assert by_port["6"]["source_address"] == "2001:db8::1"
    assert "1 could not be decoded (arp 1)" in result.stderr


def test_json_lines_and_parquet_say_the_same(capture: Path, tmp_path: Path) -> None:
    """Every value of every record."""
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = [json.loads(line) for line in run(capture, "--format", "jsonl").stdout.splitlines()]
    run(capture, "--format", "parquet", "--output", tmp_path / "flows.parquet")
    assert parquet.read_table(tmp_path / "flows.parquet").to_pylist() == lines


def test_eve_lines_are_the_same_flows(capture: Path, tmp_path: Path) -> None:
    """A line for each record in Suricata's form, with the interface where the file names one; the same at every call."""
    records = [json.loads(line) for line in run(capture, "--format", "jsonl").stdout.splitlines()]
    events = [json.loads(line) for line in run(capture, "--format", "eve").stdout.splitlines()]
    assert [event["flow_id"] for event in events] == [record["flow_id"] for record in records]
    assert {event["flow"]["pkts_toserver"] for event in events} == {record["initiator_packets"] for record in records}
    assert all(event["community_id"].startswith("1:") and "in_iface" not in event for event in events)
    assert run(capture, "--format", "eve").stdout == run(capture, "--format", "eve").stdout
    named = tmp_path / "two.pcapng"
    named.write_bytes(section() + interface(name="eth7") + enhanced(START // 1000, FRAMES[0]))
    assert json.loads(run(named, "--format", "eve").stdout)["in_iface"] == "eth7"


def test_ipfix_file_is_read_by_tshark(capture: Path, tmp_path: Path) -> None:
    """An IPFIX file (RFC 5655) holds both directions of every flow; tshark reads it without complaint."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    file = tmp_path / "flows.ipfix"
    run(capture, "--format", "ipfix", "--output", file)
    fields = ["cflow.srcport", "cflow.packets"]
    command = [
        "tshark",
        "-r",
        str(file),
        "-Y",
        "cflow.srcport",
        "-T",
        "fields",
        *(each for name in fields for each in ("-e", name)),
    ]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    # Of each flow the responder's packets, then the initiator's.
    assert [line.split("\t")[:2] for line in told.splitlines()] == [["1000,5", "1,2,0,1"]]
    damaged = subprocess.run(
        ["tshark", "-r", str(file), "-Y", '_ws.malformed || _ws.expert.severity >= "Warning"'],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert damaged.stdout == b""
    assert "needs a place" in str(run(capture, "--format", "ipfix", code=1).exception)


def test_summary_meters_as_fully(capture: Path) -> None:
    """The same flows, octets and reasons, as one object."""
    (line,) = run(capture, "--summary", "--json").stdout.splitlines()
    totals = json.loads(line)
    assert totals["received"] == 5 == totals["metered"] + totals["refused"] + sum(totals["undecodable"].values())
    assert (totals["flows"], totals["undecodable"], totals["damage"]) == (2, {"arp": 1}, "")
    assert totals["octets"] == 40 * 3 + 48
    assert (totals["flow_start_ns"], totals["flow_end_ns"]) == (START, START + 12 * SECOND)
    assert "5 packets; 2 flows; 168 B; 1 could not be decoded (arp 1)" in run(capture, "--summary").stdout


def test_interfaces_are_metered_apart(tmp_path: Path) -> None:
    """The same five-tuple on two interfaces is two flows."""
    data = section() + interface(name="wan", resolution=9) + interface(name="lan", resolution=9)
    data += enhanced(START, FRAMES[0]) + enhanced(START, FRAMES[0], number=1)
    (tmp_path / "two.pcapng").write_bytes(data)
    totals = json.loads(run(tmp_path / "two.pcapng", "--summary", "--json").stdout)
    assert (totals["flows"], totals["interfaces"]) == (2, ["wan", "lan"])


def test_damage_and_refusal_are_told(capture: Path, tmp_path: Path) -> None:
    """A cut file is read as far as it goes; one that is no capture is named, the others are still read, and the status is 1."""
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-3])
    other = tmp_path / "notes.txt"
    other.write_text("these are notes")
    result = run(other, cut, "--summary", code=1)
    assert "notes.txt: no capture file" in result.stderr
    assert "the file ends inside a record" in result.stdout
    assert "cut_off 1" in result.stdout


def test_parquet_needs_a_place(capture: Path) -> None:
    """One sentence, no traceback."""
    result = CliRunner().invoke(app, ["flows", str(capture), "--format", "parquet"])
    assert "--output FILE" in str(result.exception)


def test_only_wanted_packets_are_metered(capture: Path) -> None:
    """What an expression does not want is in no total; `vlan`, which live capture cannot be asked, is refused with the reason."""
    totals = json.loads(run(capture, "--summary", "--json", "--filter", "not arp").stdout)
    assert (totals["received"], totals["flows"], totals["left_out"]) == (4, 2, 1)
    assert "4 packets; 2 flows; 168 B; 1 left out by the filter" in run(capture, "--summary", "--filter", "not arp").stdout
    assert "outer VLAN tag" in run(capture, "--summary", "--filter", "vlan 5", code=1).stderr
