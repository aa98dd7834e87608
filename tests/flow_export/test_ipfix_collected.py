"""What nfcapd reads of what we export is what the records say: a real collector, over UDP and behind TCP."""

import asyncio
import socket
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from daemon_legs import until
from exported_flows import assembled, batches, flow_records, many_flows
from flow_collectors import Nfcapd, TcpCollector, header_of, set_ids
from ipfix_round_trip import collected, expected, exported, process

from netmote.errors import Retryable
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import chunks_of
from netmote.flow_export.ipfix.domain import observation_domain

FORMS = ("uniflow", "biflow")


@pytest.mark.parametrize("form", FORMS)
async def test_every_kind_of_flow_over_udp(tmp_path: Path, form: str) -> None:
    """TCP, UDP, SCTP, GRE and ICMP over IPv4 and IPv6, with and without VLAN: addresses, ports, counts, flags, times."""
    records = flow_records()
    nfcapd = Nfcapd(tmp_path / "flows").start()
    work = process(nfcapd.port, records=form)
    await exported(work, records)
    nfcapd.stop()
    assert collected(nfcapd.flows()) == expected(records, form)
    assert nfcapd.sequence_failures == 0
    assert (work.tally.flows, work.tally.lost) == (len(records), Counter())


@pytest.mark.parametrize("form", FORMS)
async def test_many_flows_over_udp_and_tcp(tmp_path: Path, form: str) -> None:
    """Five thousand flows arrive, each once, by datagrams and by stream; sums of packets and octets are equal."""
    records = many_flows(5_000)
    for transport in ("udp", "tcp"):
        nfcapd = Nfcapd(tmp_path / transport / "flows").start()
        collector = await TcpCollector(onward=nfcapd.port).start()
        work = process(nfcapd.port if transport == "udp" else collector.port, records=form, transport=transport)
        await exported(work, records)
        await collector.read_all()
        await collector.stop()
        nfcapd.stop()
        flows = nfcapd.flows()
        assert collected(flows) == expected(records, form)
        for name, field in (("packets", "packets"), ("octets", "bytes")):
            sent = int(records[f"initiator_{name}"].sum() + records[f"responder_{name}"].sum())
            assert sum(flow[f"in_{field}"] + flow.get(f"out_{field}", 0) for flow in flows) == sent
        assert nfcapd.sequence_failures == 0


async def test_exported_sums_equal_the_slices(tmp_path: Path) -> None:
    """Packets and octets at the collector are those of the panes that the meter made."""
    panes = batches()
    assert len(panes) > 5
    nfcapd = Nfcapd(tmp_path / "flows").start()
    await exported(process(nfcapd.port), assembled(panes))
    nfcapd.stop()
    flows = nfcapd.flows()
    for name, field in (("packets", "in_packets"), ("octets", "in_bytes")):
        metered = sum(int(pane.slices[f"{side}_{name}"].sum()) for pane in panes for side in ("initiator", "responder"))
        assert sum(flow[field] for flow in flows) == metered


async def test_collector_restarts_in_the_middle_of_tcp(tmp_path: Path) -> None:
    """The connection ends: what follows waits and arrives over the next, which begins with templates and sequence number 0."""
    records = many_flows(4_000)
    nfcapd = Nfcapd(tmp_path / "flows").start()
    collector = await TcpCollector(onward=nfcapd.port).start()
    work = process(collector.port, transport="tcp")
    runs = asyncio.create_task(_run_again(work, Random(1)))
    work.put(chunks_of("eth0", records[:2_000]))
    await until(lambda: work.tally.flows == 2_000)
    await collector.read_all()
    await collector.stop()
    work.put(chunks_of("eth0", records[2_000:]))
    await asyncio.sleep(0.5)
    assert work.queued == 2_000
    await collector.start()
    await until(lambda: work.tally.flows == 4_000)
    await collector.read_all()
    runs.cancel()
    await collector.stop()
    nfcapd.stop()
    assert len(collector.sessions) == 2
    for session in collector.sessions:
        assert set_ids(session[0]) == [2, 3]
        assert header_of(session[0])[1] == 0
    assert collected(nfcapd.flows()) == expected(records, "uniflow")
    assert not work.tally.lost


async def test_lost_templates_come_again_over_udp(tmp_path: Path) -> None:
    """A collector that begins after the exporter reads nothing until the next templates, and everything from there on."""
    records = many_flows(300)
    port = (nfcapd := Nfcapd(tmp_path / "flows")).port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as earlier:
        earlier.bind(("127.0.0.1", port))  # takes templates and flows to its grave
        work = process(port, template_refresh="1s")
        runs = asyncio.create_task(work.run())
        work.put(chunks_of("eth0", records[:100]))
        await until(lambda: work.tally.flows == 100)
    nfcapd.start()
    await asyncio.sleep(1.2)
    work.put(chunks_of("eth0", records[100:]))
    await until(lambda: work.tally.flows == 300)
    await asyncio.sleep(0.2)
    runs.cancel()
    nfcapd.stop()
    assert collected(nfcapd.flows()) == expected(records[100:], "uniflow")


async def test_a_dead_udp_collector_costs_templates_not_flows(tmp_path: Path) -> None:
    """Where the collector's host says that nobody listens, flows wait, and arrive when somebody does."""
    records = many_flows(1_500)
    nfcapd = Nfcapd(tmp_path / "flows")
    work = process(nfcapd.port)
    work.put(chunks_of("eth0", records))
    with pytest.raises(Retryable, match="refused"):
        await work.run()
    assert work.queued == 1_500
    nfcapd.start()
    await work.drain(10.0)
    nfcapd.stop()
    assert collected(nfcapd.flows()) == expected(records, "uniflow")


async def test_observation_domains_count_apart() -> None:
    """Each interface is a domain with templates and a sequence of its own; sequence numbers are the data records before."""
    collector = await TcpCollector().start()
    work = process(collector.port, transport="tcp")
    for interface in ("eth0", "eth1", "eth0"):
        work.put(chunks_of(interface, many_flows(100)))
    await work.drain(5.0)
    await collector.read_all()
    await collector.stop()
    counted: Counter = Counter()
    for message in collector.messages:
        _, sequence, domain = header_of(message)
        assert sequence == counted[domain]
        counted[domain] += _data_records(message)
        assert len(message) <= 1_400
    # 200 flows both ways and four statistics; 100 flows and four.
    assert counted == {observation_domain("eth0"): 404, observation_domain("eth1"): 204}


def _data_records(message: bytes) -> int:
    sizes = {256: 61, 264: 28, 265: 20, 266: 28, 267: 9}
    total, place = 0, 16
    while place < len(message):
        set_id, length = int.from_bytes(message[place : place + 2]), int.from_bytes(message[place + 2 : place + 4])
        total += (length - 4) // sizes[set_id] if set_id in sizes else 0
        place += length
    return total


async def _run_again(work: ExportingProcess, random: Random) -> None:
    while True:
        try:
            await work.run()
        except Retryable:
            await asyncio.sleep(0.05 + random.random() / 20)
