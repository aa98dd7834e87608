"""Messages, templates and statistics as tshark dissects them; bounds and sequence numbers as RFC 7011 has them."""

import asyncio
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from exported_flows import flow_records, many_flows
from flow_collectors import header_of, set_ids
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import ExportTally, chunks_of
from netmote.flow_export.ipfix.config import LEAST_MESSAGE_OCTETS, IpfixConfig
from netmote.flow_export.ipfix.domain import observation_domain
from netmote.flow_export.ipfix.exporter import IpfixExporter
from netmote.flow_export.ipfix.message import Body, DataSet, Session, pack
from netmote.flow_export.ipfix.templates import FlowTemplates
from netmote.flow_export.metering_totals import MeteringTotals


class Kept:
    """A transport that keeps what it is given."""

    def __init__(self, *, repeats_templates: bool) -> None:
        self.repeats_templates = repeats_templates
        self.messages: list[bytes] = []

    async def open(self) -> None: ...

    async def send(self, message: bytes, *, has_templates: bool) -> None:
        assert has_templates == (2 in set_ids(message))
        self.messages.append(message)

    def check(self) -> None: ...

    async def close(self) -> None: ...


def exporter(transport: Kept, clock: ManualClock, tally: ExportTally, **settings: object) -> IpfixExporter:
    config = IpfixConfig.model_validate({"type": "ipfix", "host": "collector.example", **settings})
    return IpfixExporter(config, clock=clock, tally=tally, metering={"eth0": MeteringTotals(3, 4)}, transport=transport)


def in_udp(messages: list[bytes]) -> list[Packet]:
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return [link / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=50_000, dport=4739) / Raw(each) for each in messages]


def dissected(
    frames: list[Packet], tmp_path: Path, *options: str, decode: Sequence[str] = ("-d", "udp.port==4739,cflow")
) -> list[list[str]]:
    """What tshark prints of these frames, after a look for anything malformed."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    wrpcap(str(tmp_path / "messages.pcap"), frames)
    command = ["tshark", "-n", "-r", str(tmp_path / "messages.pcap"), *decode]
    bad = subprocess.run(
        [*command, "-Y", '_ws.malformed || _ws.expert.severity >= "Warning"'],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert bad.stdout == ""
    told = subprocess.run([*command, *options], check=True, capture_output=True, text=True, timeout=60).stdout
    return [line.split("\t") for line in told.splitlines()]


def fields(*names: str) -> list[str]:
    return ["-T", "fields", *(each for name in names for each in ("-e", f"cflow.{name}"))]


@pytest.mark.parametrize("form", ["uniflow", "biflow"])
async def test_tshark_dissects_all_without_complaint(tmp_path: Path, form: str) -> None:
    """Templates, options and data of every kind of flow: nothing malformed, and the totals of packets and octets are ours."""
    records = flow_records()
    transport, tally = Kept(repeats_templates=True), ExportTally()
    work = ExportingProcess(exporter(transport, ManualClock(), tally, records=form), queue_limit=1000, tally=tally)
    work.put(chunks_of("eth0", records))
    await work.drain(1.0)
    rows = dissected(in_udp(transport.messages), tmp_path, *fields("packets", "octets", "od_id", "sequence"))
    packets = sum(int(value) for row in rows for value in row[0].split(",") if value)
    octets = sum(int(value) for row in rows for value in row[1].split(",") if value)
    assert packets == int((records["initiator_packets"] + records["responder_packets"]).sum())
    assert octets == int((records["initiator_octets"] + records["responder_octets"]).sum())
    assert {row[2].split(",")[0] for row in rows} == {str(observation_domain("eth0"))}
    assert [int(row[3]) for row in rows] == [header_of(message)[1] for message in transport.messages]


async def test_tshark_finds_the_messages_in_a_tcp_stream(tmp_path: Path) -> None:
    """Cut anywhere, as TCP does: the stream's messages are found again by their lengths, all of them, and nothing is malformed."""
    records = many_flows(300)
    transport, tally = Kept(repeats_templates=False), ExportTally()
    work = ExportingProcess(exporter(transport, ManualClock(), tally), queue_limit=1000, tally=tally)
    work.put(chunks_of("eth0", records))
    await work.drain(1.0)
    stream = b"".join(transport.messages)
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="192.0.2.1", dst="192.0.2.2")
    ports = {"sport": 50_000, "dport": 4739}
    frames = [link / TCP(**ports, flags="S", seq=999)]
    frames += [link / TCP(**ports, flags="A", seq=1_000 + at) / Raw(stream[at : at + 701]) for at in range(0, len(stream), 701)]
    command = ["-d", "tcp.port==4739,cflow"]
    rows = dissected(frames, tmp_path, *fields("packets", "sequence"), decode=command)
    packets = sum(int(value) for row in rows for value in row[0].split(",") if value)
    assert packets == int((records["initiator_packets"] + records["responder_packets"]).sum())
    found = [int(value) for row in rows if len(row) > 1 for value in row[1].split(",") if value]
    assert found == [header_of(message)[1] for message in transport.messages]


async def test_statistics_are_told(tmp_path: Path) -> None:
    """Options records: what was exported, ignored, dropped and not sent, and which interface the domain is."""
    clock, transport, tally = ManualClock(), Kept(repeats_templates=False), ExportTally()
    tally.lose(many_flows(3), "queue_full")
    made = exporter(transport, clock, tally, statistics_interval="30s")
    await made.open()
    for parcel in await made.prepare(chunks_of("eth0", many_flows(100))[0]):
        await made.send(parcel)
    before = len(transport.messages)
    await made.tend()
    assert len(transport.messages) == before
    clock.advance(30)
    await made.tend()
    assert len(transport.messages) == before + 1
    told = "\n".join(row[0] for row in dissected(in_udp(transport.messages), tmp_path, "-V"))
    lost = many_flows(3)
    expected = ["200", "3", "4", "3", str(int((lost["initiator_packets"] + lost["responder_packets"]).sum())), "eth0"]
    names = ("FlowsExp", "Ignored Packets", "Dropped Total Packets", "Not Sent Flows", "Not Sent Packets", "IfName")
    assert [told.rpartition(f"{name}: ")[2].partition("\n")[0] for name in names] == expected


async def test_templates_are_repeated_only_where_they_can_get_lost() -> None:
    """Over UDP after each interval, with what follows; over TCP once a connection."""
    for repeats, expected in ((True, 3), (False, 1)):
        clock, transport, tally = ManualClock(), Kept(repeats_templates=repeats), ExportTally()
        made = exporter(transport, clock, tally, template_refresh="60s", statistics_interval="1h")
        await made.open()
        for _ in range(5):
            await made.tend()
            clock.advance(30)
        assert sum(2 in set_ids(message) for message in transport.messages) == expected
        await made.open()
        await made.tend()
        assert 2 in set_ids(transport.messages[-2])
        assert header_of(transport.messages[-2])[1] == 0


async def test_a_message_that_did_not_leave_moves_no_sequence() -> None:
    """A message that is sent again, because the transport refused it, has the number that it had."""

    class Refusing(Kept):
        refusals = 0

        async def send(self, message: bytes, *, has_templates: bool) -> None:
            if not has_templates and self.refusals < 3:
                self.refusals += 1
                raise asyncio.CancelledError
            await super().send(message, has_templates=has_templates)

    transport, tally = Refusing(repeats_templates=False), ExportTally()
    made = exporter(transport, ManualClock(), tally)
    await made.open()
    (parcel,) = await made.prepare(chunks_of("eth0", many_flows(5))[0])
    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            await made.send(parcel)
    await made.send(parcel)
    assert [header_of(message)[1] for message in transport.messages] == [0, 0, 4]


def test_everything_fits_into_the_least_message() -> None:
    """The smallest message that may be configured has room for templates and for the longest record."""
    for form in ("uniflow", "biflow"):
        templates = FlowTemplates(form).templates
        assert sum(len(template.record) for template in templates) + 4 + 16 + 150 < LEAST_MESSAGE_OCTETS
        assert max(template.dtype.itemsize for template in templates) < LEAST_MESSAGE_OCTETS - 20
        assert len({template.template_id for template in templates}) == 4


def test_template_record_says_what_the_data_is() -> None:
    """Field lengths of a Template Record add up to its data records, reverse elements with their enterprise number."""
    for form in ("uniflow", "biflow"):
        for template in FlowTemplates(form).templates:
            number, count = struct.unpack("!HH", template.record[:4])
            place, total, reverse = 4, 0, 0
            for _ in range(count):
                element, length = struct.unpack("!HH", template.record[place : place + 4])
                place, total = place + 4, total + length
                if element & 0x8000:
                    assert struct.unpack("!I", template.record[place : place + 4]) == (29305,)
                    place, reverse = place + 4, reverse + 1
            assert (number, place, total) == (template.template_id, len(template.record), template.dtype.itemsize)
            assert reverse == (3 if form == "biflow" else 0)


@given(
    sets=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 200)), max_size=8),
    message_octets=st.integers(110, 2_000),
)
def test_packing_keeps_every_record(sets: list[tuple[int, int]], message_octets: int) -> None:
    """No message is longer than allowed, none is empty, and all records come out once and in order."""
    data = [
        DataSet(256 + number, size, bytes((number + place) % 256 for place in range(size * count)))
        for number, (size, count) in enumerate(sets)
    ]
    bodies = pack(data, message_octets=message_octets)
    found: dict[int, bytes] = {}
    session = Session()
    for body in bodies:
        message = session.message([body], observation_domain=9, export_time=0)
        session.sent([body], observation_domain=9)
        assert len(message) <= message_octets
        assert body.data_records
        place = 16
        for set_id in set_ids(message):
            length = int.from_bytes(message[place + 2 : place + 4])
            found[set_id] = found.get(set_id, b"") + message[place + 4 : place + length]
            place += length
    assert found == {each.template_id: each.octets for each in data if each.octets}
    assert sum(body.data_records for body in bodies) == sum(count for _, count in sets)


def test_a_record_that_cannot_fit_is_refused() -> None:
    """Rather than a message that is too long there is an error."""
    with pytest.raises(ValueError, match="does not fit"):
        pack([DataSet(256, 200, bytes(200))], message_octets=100)


def test_sequence_numbers_begin_anew_at_two_to_the_32() -> None:
    """The counter is modulo 2**32 and counts apart for each domain."""
    session = Session()
    session.sent([Body(b"", 2**32 - 1)], observation_domain=1)
    session.sent([Body(b"", 3)], observation_domain=1)
    assert header_of(session.message([], observation_domain=1, export_time=5)) == (5, 2, 1)
    assert header_of(session.message([], observation_domain=2, export_time=5)) == (5, 0, 2)


def test_flows_without_packets_are_no_records() -> None:
    """A flow of which only the end was seen has nothing to say; a direction without packets is no uniflow."""
    records = many_flows(3)
    records["initiator_packets"], records["responder_packets"] = [0, 1, 2], [0, 0, 5]
    counts = {form: sum(len(data) for _, data in FlowTemplates(form).encode(records)) for form in ("uniflow", "biflow")}
    assert counts == {"uniflow": 3, "biflow": 2}
    assert FlowTemplates("uniflow").encode(np.zeros(0, records.dtype)) == []
