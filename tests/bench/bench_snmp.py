"""SNMP polling: processor time a varbind, native against pysnmp and net-snmp's snmpbulkwalk on the same agents, in the same run.

    decode      one answer of 56 varbinds, octets to values, against pyasn1
    exchange    GETBULK after GETBULK with what it takes to send, receive and match; gufo_snmp (Rust) where it is installed
    poll        what the daemon does with a device: scalars, walk, columns of a switch with 48 ports; ten devices at a time
    10,000      what a cycle of so many would cost, extrapolated from 100 that are polled: reading, rates and facts; memory likewise
    500 agents  every fifth silent, noisy, looping, lossy or lying: how late the healthy ones are polled

Agents are those of tests/fakes/snmp_agent_farm.py, in a process of their own on another processor. Ratios are of processor time (user and
system) of whoever asks, per varbind that arrived.
"""

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from pyasn1.codec.ber import decoder
from pysnmp.proto.api import v2c
from snmp_agent_farm import address, switch

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.snmp import mib
from netmote.snmp.backends import Backends
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig, TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.history import DeviceHistory
from netmote.snmp.native.community_channel import CommunityChannel
from netmote.snmp.native.pdu import GET_BULK_REQUEST, build_request, read_response
from netmote.snmp.native.varbinds import encode_varbinds
from netmote.snmp.oid import encode_oid
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.reading import DeviceReader
from netmote.snmp.session import Reply, SnmpSession, Varbind

PORT = 20_161
PORTS = 48
DECODE_LIMIT_US = 1.2
LATENESS_LIMIT = 0.1  # of the interval
DEAD_LIMIT_MS = 5.0
COLUMNS = [mib.COLUMN[name] for name in ("ifHCInOctets", "ifHCOutOctets", "ifHCInUcastPkts", "ifHCOutUcastPkts")]


def main() -> int:
    """Run all; returns how many limits were broken."""
    os.sched_setaffinity(0, {0})
    logging.disable()  # of devices on probation
    broken = decode()
    with farm(100):
        broken += asyncio.run(compare())
        broken += asyncio.run(ten_thousand())
    broken += asyncio.run(isolation())
    return broken + asyncio.run(troubled())


def report(name: str, ours: float, peers: dict[str, float], unit: str = "us a varbind") -> None:
    ratios = ", ".join(f"{peer} {cost:.2f} ({cost / ours:.1f}x)" for peer, cost in peers.items())
    print(f"  {name:10s} native {ours:.2f} {unit}; {ratios}", flush=True)


@contextlib.contextmanager
def farm(count: int, bad: str = "", share: float = 0.2) -> Iterator[None]:
    """Agents in a process of their own."""
    script = Path(__file__).parents[1] / "fakes" / "snmp_agent_farm.py"
    command = [sys.executable, str(script), str(count), str(PORT), str(PORTS), bad, str(share)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0) | {os.cpu_count() - 1})})
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def seconds_of(repeat: Callable[[], object], times: int) -> float:
    """The least of five."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            repeat()
        best = min(best, (time.process_time() - began) / times)
    return best


def decode() -> int:
    """One answer to values, with the channel's checks, against pyasn1 with pysnmp's schema."""
    table = switch(PORTS)
    rows = [
        Varbind(encode_oid(oid), *value)
        for oid, value in sorted(table.objects.items())
        if encode_oid(oid).startswith(tuple(COLUMNS))
    ][:56]
    channel, request_id = CommunityChannel("2c", "public"), 0x0123_4567
    template = build_request(GET_BULK_REQUEST, [])
    head, _ = template.head, template.tail
    body = head[2:] + request_id.to_bytes(4, "big") + b"\x02\x01\x00" * 2 + encode_varbinds(rows)
    datagram = channel.seal(b"\xa2\x82" + len(body).to_bytes(2, "big") + body, request_id)
    assert read_response(channel.open(datagram).pdu).varbinds == rows
    ours = seconds_of(lambda: read_response(channel.open(datagram).pdu), 2_000) / len(rows) * 1e6
    theirs = seconds_of(lambda: decoder.decode(datagram, asn1Spec=v2c.Message()), 20) / len(rows) * 1e6
    report("decode", ours, {"pyasn1": theirs})
    return int(ours > DECODE_LIMIT_US)


@dataclass
class Counting:
    """A session that counts what arrives; used once, beside the measurement."""

    inner: SnmpSession
    varbinds: int = 0
    exchanges: int = 0
    backend: str = ""
    fallback_reason: str = ""

    async def get(self, oids: list[bytes]) -> Reply:
        return self._count(await self.inner.get(oids))

    async def bulk(self, non_repeaters: list[bytes], columns: list[bytes], max_repetitions: int) -> Reply:
        return self._count(await self.inner.bulk(non_repeaters, columns, max_repetitions))

    async def close(self) -> None:
        await self.inner.close()

    def _count(self, reply: Reply) -> Reply:
        self.varbinds += len(reply.varbinds)
        self.exchanges += 1
        return reply


async def compare() -> int:
    """The same 100 agents, one after the other: native, pysnmp, snmpbulkwalk."""
    clock = SystemClock()
    exchange, poll, exchanges = {}, {}, 0
    for name, devices, cycles in (("native", 100, 5), ("pysnmp", 20, 1)):
        backends = Backends(clock=clock, random=Random(1))
        targets = [
            TargetConfig(name=f"d{number}", address=address(number), port=PORT, backend=name, timeout=5.0)
            for number in range(devices)
        ]
        sessions = [await backends.open(target, Community()) for target in targets]
        window = SendWindow(50)
        exchange[name] = (
            await _cpu(
                lambda sessions=sessions, window=window: [
                    window.send(lambda session=session: session.bulk([], COLUMNS, 14)) for session in sessions
                ],
                cycles * 4,
            )
            / len(sessions)
            / (14 * len(COLUMNS))
        )
        readers = [DeviceReader(clock=clock, max_repetitions=20) for _ in sessions]
        counting = Counting(sessions[0])
        reader = DeviceReader(clock=clock, max_repetitions=20)
        await reader.read(counting)
        counting.varbinds = counting.exchanges = 0
        await reader.read(counting)
        exchanges = counting.exchanges
        paced = [PacedSession(session, window, retries=1) for session in sessions]
        pairs = list(zip(readers, paced, strict=True))
        await asyncio.gather(*(reader.read(session) for reader, session in pairs))  # learns the layout
        tens = [pairs[begin : begin + 10] for begin in range(0, len(pairs), 10)]
        spent = [await _cpu(lambda ten=ten: [reader.read(session) for reader, session in ten], cycles) for ten in tens]
        poll[name] = statistics.median(spent) / 10 / counting.varbinds
        if name == "native":
            native_ms = poll[name] * counting.varbinds / 1e3
        await backends.close()
    poll["snmpbulkwalk"] = exchange["snmpbulkwalk"] = _snmpbulkwalk(10)
    exchange |= await _gufo(100)
    for label, costs in (("exchange", exchange), ("poll", poll)):
        ours = costs.pop("native")
        report(label, ours, costs)
    per_cycle = native_ms * 10
    print(
        f"  a poll of {PORTS} ports takes {native_ms:.2f} ms in {exchanges} exchanges:"
        f" 10,000 such devices {per_cycle:.1f} s a cycle, {1_000 / native_ms * 10 * 0.25:.0f} of them every 10 s a quarter of a core"
    )
    return 0


async def ten_thousand() -> int:
    """Polls of 100 devices, each with its history, in the state they are in all day: names learnt, rows where they were.

    Their counters stand still, so that answers keep their form; a poll in which a value grows by an octet costs as much as before that.
    """
    count, cycles = 100, 10
    clock, window = SystemClock(), SendWindow(50)
    backends = Backends(clock=clock, random=Random(1))
    devices = []
    for number in range(count):
        target = TargetConfig(name=f"d{number}", address=address(number), port=PORT, backend="native", timeout=5.0)
        session = PacedSession(await backends.open(target, Community()), window, retries=1)
        devices.append((session, DeviceReader(clock=clock, max_repetitions=20), DeviceHistory(target.name)))

    async def poll(session: PacedSession, reader: DeviceReader, history: DeviceHistory) -> None:
        history.observe(await reader.read(session))

    async def cycle(some: list[tuple[PacedSession, DeviceReader, DeviceHistory]]) -> float:
        began = time.process_time()
        for begin in range(0, len(some), 10):
            await asyncio.gather(*(poll(*device) for device in some[begin : begin + 10]))
        return (time.process_time() - began) / len(some)

    half = count // 2
    for _ in range(3):
        await cycle(devices[:half])
    before = _rss_mb()  # what the first devices brought with them is the program's, and what they share
    first = await cycle(devices[half:])
    for _ in range(2):
        await cycle(devices[half:])
    memory = (_rss_mb() - before) / (count - half)
    steady = min([await cycle(devices) for _ in range(cycles)])
    await backends.close()
    print(
        f"  10,000     {steady * 1e4:.1f} s of one core a cycle (goal 1.0 s), extrapolated from {count} devices x"
        f" {steady * 1e6:.0f} us; the first cycle {first * 1e4:.1f} s; {memory * 1e4:.0f} MB besides the program",
        flush=True,
    )
    return 0


async def _cpu(batch: Callable[[], list[Awaitable[object]]], times: int) -> float:
    """Microseconds of processor time a batch takes, median."""
    spent = []
    for _ in range(max(times, 3)):
        began = time.process_time()
        await asyncio.gather(*batch())
        spent.append((time.process_time() - began) * 1e6)
    return statistics.median(spent)


async def _gufo(devices: int) -> dict[str, float]:
    """Microseconds a varbind of gufo_snmp, which has no GETBULK of several columns: it walks them one by one, 50 rows a request."""
    try:
        from gufo.snmp.aio import SnmpSession as GufoSession
    except ImportError:
        print("  gufo_snmp is not installed: no peer of that name")
        return {}
    columns = ["1.3.6.1.2.1.31.1.1.1.6", "1.3.6.1.2.1.31.1.1.1.7", "1.3.6.1.2.1.31.1.1.1.10", "1.3.6.1.2.1.31.1.1.1.11"]

    async def walk(number: int) -> int:
        count = 0
        async with GufoSession(address(number), PORT, community="public", timeout=5.0, max_repetitions=50) as session:
            for column in columns:
                async for _ in session.getbulk(column):
                    count += 1
        return count

    spent = []
    for _ in range(3):
        began = time.process_time()
        found = sum(await asyncio.gather(*map(walk, range(devices))))
        spent.append((time.process_time() - began) / found * 1e6)
    return {"gufo_snmp": statistics.median(spent)}


def _snmpbulkwalk(devices: int) -> float:
    """Microseconds a varbind of net-snmp's client, a process a table, as scripts use it."""
    program = shutil.which("snmpbulkwalk")
    if program is None:
        return float("nan")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = 0
    for number in range(devices):
        for table in ("1.3.6.1.2.1.2.2", "1.3.6.1.2.1.31.1.1"):
            command = [program, "-v2c", "-cpublic", "-Cr25", "-OnQ", f"{address(number)}:{PORT}", table]
            lines += subprocess.run(command, capture_output=True, check=True, env={"MIBS": ""}).stdout.count(b"\n")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / lines * 1e6


async def isolation() -> int:
    """100 dead devices beside 100 live ones: how much longer a poll of a live one takes; the better of two, for others work here too."""
    pairs = [(await _live_poll_ms(dead=0), await _live_poll_ms(dead=100)) for _ in range(2)]
    alone, beside = min(pairs, key=lambda pair: pair[1] - pair[0])
    print(
        f"  isolation  100 live polled in {alone:.1f} ms, beside 100 dead in {beside:.1f} ms (limit +{DEAD_LIMIT_MS:g} ms)",
        flush=True,
    )
    return int(beside - alone > DEAD_LIMIT_MS)


async def _live_poll_ms(*, dead: int) -> float:
    """Median duration of a poll of 100 live devices, every second one of all being dead when there are any."""
    emitted: list[Batch] = []
    with farm(100 + dead, "silent" if dead else "", 0.5):
        await _collect(range(100 + dead), emitted, interval=2.0, seconds=9.0)
    polls = [batch.end_ns - batch.start_ns for batch in emitted if isinstance(batch, DeviceRecord) and batch.is_reachable]
    return statistics.median(polls) / 1e6


async def troubled() -> int:
    """500 agents, every fifth bad in one of five ways; lateness of the healthy is from one poll to the next, less the interval."""
    interval, count = 5.0, 500
    emitted: list[Batch] = []
    with farm(count, "mixed"):
        began = time.process_time()
        await _collect(range(count), emitted, interval=interval, seconds=25.0)
        spent = time.process_time() - began
    starts: dict[str, list[int]] = {}
    for batch in emitted:
        if isinstance(batch, DeviceRecord):
            starts.setdefault(batch.source, []).append(batch.start_ns)
    healthy = {f"snmp:d{number}" for number in range(count) if number % 5 != 4}
    late = sorted(
        abs(after - before - round(interval * 1e9)) / 1e9
        for source in healthy
        for before, after in zip(starts[source][1:], starts[source][2:], strict=False)
    )
    p99 = late[int(len(late) * 0.99)]
    print(
        f"  500 agents p99 lateness of the healthy {p99 * 1e3:.0f} ms, {p99 / interval:.1%} of the interval (limit {LATENESS_LIMIT:.0%});"
        f" {len(late)} polls, {spent / 25:.1%} of a core, RSS {_rss_mb():.0f} MB"
    )
    return int(p99 > LATENESS_LIMIT * interval)


async def _collect(devices: range, emitted: list[Batch], *, interval: float, seconds: float) -> None:
    config = SnmpConfig.model_validate(
        {
            "interval": f"{interval:g}s",
            "targets": [
                {"name": f"d{number}", "address": address(number), "port": PORT, "timeout": "500ms", "retries": 1}
                for number in devices
            ],
        }
    )
    collector = SnmpCollector(config, clock=SystemClock(), random=Random(1), emit=emitted.append)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await collector.run()


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
