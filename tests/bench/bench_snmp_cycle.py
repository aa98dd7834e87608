"""A cycle of thousands of switches, as the daemon polls them: the whole collector on agents in C, and what others need for the same counters.

    python bench_snmp_cycle.py [DEVICES [v3|2c]]

Each device has 48 ports of 13 counters, two states and a discontinuity time, and is polled every ten seconds; every counter of four octets
and more moves, and answers are of sixteen kinds. Measured is processor time of this process from the first device that is due to the last
record emitted, rates and facts included, the store not; when all devices were polled once (which costs more, and is told beside it). The
start of the daemon is as `netmote.daemon.memory` makes it. Agents have a processor of their own.

Peers read the same columns of the same agents: aiosnmp and gufo_snmp where they are installed (PEERS may name the directory of an environment
that has them), Debian's prometheus-snmp-exporter and snmpbulkwalk, and pysnmp behind netmote's own seam.
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
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from report import Row, machine, print_table, say
from snmp_agent_farm import address
from snmp_agents import USER, agents, build

from netmote.clock import SystemClock
from netmote.daemon import memory
from netmote.records.batch import Batch
from netmote.snmp import mib
from netmote.snmp.backends import Backends
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig, TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.reading import STEADY_COLUMNS

PORT, PORTS, INTERVAL = 20_161, 48, 10.0
MEASURED = 2 * INTERVAL  # seconds
VALUES = PORTS * len(STEADY_COLUMNS)
GOALS = {"2c": 1.0, "3": 5.5}  # seconds of one core a cycle of 10,000
RATIOS = {"pysnmp": 150.0, "gufo_snmp": 3.0, "snmp_exporter": 8.0}
PEER_DEVICES = 50
COUNTER_OIDS = [
    ".".join(("1.3.6.1.2.1", table, str(column)))
    for table, columns in (("31.1.1.1", range(6, 14)), ("2.2.1", (7, 8, 13, 14, 15, 19, 20)))
    for column in columns
]

_WALKS = """
import asyncio, resource, sys
kind, port, devices, oids = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4].split(",")
async def gufo(host):
    from gufo.snmp.aio import SnmpSession
    count = 0
    async with SnmpSession(host, port, community="public", timeout=5.0, max_repetitions=48) as session:
        for oid in oids:
            async for _ in session.getbulk(oid):
                count += 1
    return count
async def aiosnmp(host):
    from aiosnmp import Snmp
    count = 0
    async with Snmp(host=host, port=port, community="public", timeout=5, max_repetitions=48) as session:
        for oid in oids:
            count += len(await session.bulk_walk(oid))
    return count
async def run():
    walk = {"gufo_snmp": gufo, "aiosnmp": aiosnmp}[kind]
    await walk(devices[0])
    def used():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime
    before = used()
    found = 0
    for begin in range(0, len(devices), 10):
        found += sum(await asyncio.gather(*map(walk, devices[begin : begin + 10])))
    print((used() - before) / found * 1e6)
asyncio.run(run())
"""


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _config(devices: int, version: str) -> SnmpConfig:
    os.environ["NM_BENCH_AUTH"], os.environ["NM_BENCH_PRIV"] = USER.auth_password, USER.priv_password
    user = {"security_name": USER.security_name, "auth_protocol": "sha", "auth_password": "env:NM_BENCH_AUTH"}
    user |= {"priv_protocol": "aes128", "priv_password": "env:NM_BENCH_PRIV"}
    secured = {"version": "3", "user": user} if version == "3" else {}
    targets = [
        {"name": f"d{number}", "address": address(number), "port": PORT, "timeout": "5s", **secured} for number in range(devices)
    ]
    return SnmpConfig.model_validate({"interval": "10s", "max_in_flight": 500, "max_gauges": 0, "targets": targets})


async def cycle(devices: int, version: str) -> tuple[float, float, float, int]:
    """Seconds of processor time a cycle, the same of the first polls, megabytes in the end, and polls that got no answer."""
    emitted: Counter[str] = Counter()
    clock = SystemClock()
    before = _used()
    config = _config(devices, version)
    parsed = _used() - before

    def emit(batch: Batch) -> None:
        emitted[type(batch).__name__] += 1

    collector = SnmpCollector(config, clock=clock, random=Random(1), emit=emit)
    running = asyncio.ensure_future(collector.run())
    aboard, patience = 0, clock.monotonic() + 60.0 + devices / 20
    while aboard < devices and clock.monotonic() < patience:
        await asyncio.sleep(1.0)
        aboard = collector.steady_devices
        if running.done():
            await running
    first = _used() - before - parsed
    say(f"{aboard:,} of {devices:,} devices learnt, {first:.1f} s of processor time so far")
    memory.settle()
    await asyncio.sleep(INTERVAL)  # forms of answers are learnt in the first poll on the train
    emitted.clear()
    began, used = clock.monotonic(), _used()
    await asyncio.sleep(MEASURED)
    elapsed, used = clock.monotonic() - began, _used() - used
    polls = emitted["DeviceRecord"]
    lost = sum(sum(status.polls.values()) - status.polls.get("answered", 0) for status in collector.status())
    say(f"{dict(emitted)} in {elapsed:.1f} s, {used:.2f} s of processor time; ignored {dict(collector.ignored())}")
    running.cancel()
    await asyncio.wait([running])
    return used / polls * devices, first, _rss_mb(), lost


async def _pysnmp(devices: int) -> float:
    """Microseconds a value of netmote's back end over pysnmp, asked as the train asks."""
    backends = Backends(clock=SystemClock(), random=Random(1))
    targets = [TargetConfig(name=f"d{n}", address=address(n), port=PORT, backend="pysnmp", timeout=5.0) for n in range(devices)]
    sessions = [await backends.open(target, Community()) for target in targets]
    await sessions[0].get([mib.SYS_UP_TIME])
    spent = []
    for session in sessions:
        before = _used()
        reply = await session.bulk([mib.SYS_UP_TIME[:-1]], STEADY_COLUMNS, 3)
        spent.append((_used() - before) / len(reply.varbinds) * 1e6)
    await backends.close()
    return statistics.median(spent)


def _other(kind: str) -> float | None:
    """Microseconds a value of a library in an environment of its own; None where it is not installed."""
    python = str(Path(os.environ["PEERS"]) / "bin" / "python") if "PEERS" in os.environ else sys.executable
    hosts, oids = ",".join(map(address, range(PEER_DEVICES))), ",".join(COUNTER_OIDS)
    ran = subprocess.run([python, "-c", _WALKS, kind, str(PORT), hosts, oids], check=False, capture_output=True, text=True)
    if ran.returncode:
        say(f"{kind} is left out: {ran.stderr.strip().splitlines()[-1] if ran.stderr else 'it failed'}")
        return None
    return float(ran.stdout)


def _snmpbulkwalk() -> float | None:
    """Microseconds a value of net-snmp's client, a process a table."""
    program = shutil.which("snmpbulkwalk")
    if program is None:
        say("snmpbulkwalk is left out: it is not installed")
        return None
    before, lines = resource.getrusage(resource.RUSAGE_CHILDREN), 0
    for number in range(10):
        for table in ("1.3.6.1.2.1.2.2", "1.3.6.1.2.1.31.1.1"):
            command = [program, "-v2c", "-cpublic", "-Cr48", "-OnQ", f"{address(number)}:{PORT}", table]
            lines += subprocess.run(command, capture_output=True, check=True, env={"MIBS": ""}).stdout.count(b"\n")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / lines * 1e6


def _exporter() -> float | None:
    """Microseconds a value of Debian's prometheus-snmp-exporter, each device scraped over HTTP as Prometheus does."""
    program = os.environ.get("SNMP_EXPORTER") or shutil.which("prometheus-snmp-exporter")
    if program is None:
        say("prometheus-snmp-exporter is left out: it is not installed (Debian has it), and SNMP_EXPORTER names none")
        return None
    metrics = "\n".join(
        f"    - {{name: c{place}, oid: {oid}, type: counter, help: a counter, indexes: [{{labelname: ifIndex, type: gauge}}]}}"
        for place, oid in enumerate(COUNTER_OIDS)
    )
    walks = "\n".join(f"    - {oid}" for oid in COUNTER_OIDS)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "snmp.yml")
        path.write_text(
            f"bench:\n  version: 2\n  auth: {{community: public}}\n  max_repetitions: 48\n  walk:\n{walks}\n  metrics:\n{metrics}\n"
        )
        command = [program, f"--config.file={path}", "--web.listen-address=127.0.0.1:20117", "--log.level=error"]
        with subprocess.Popen(command) as process:
            try:
                for _ in range(50):
                    time.sleep(0.1)
                    with contextlib.suppress(OSError):
                        urllib.request.urlopen("http://127.0.0.1:20117/metrics", timeout=1).close()
                        break
                before, values = _cpu_of(process.pid), 0
                for number in range(PEER_DEVICES):
                    url = f"http://127.0.0.1:20117/snmp?module=bench&target={address(number)}:{PORT}"
                    with urllib.request.urlopen(url, timeout=20) as answer:
                        values += sum(line.startswith(b"c") for line in answer)
                if not values:
                    say("prometheus-snmp-exporter is left out: it gave no value")
                    return None
                return (_cpu_of(process.pid) - before) / values * 1e6
            finally:
                process.terminate()


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run all and print the table; 1 when a goal is missed."""
    memory.bound_heaps()
    logging.basicConfig(level=logging.CRITICAL)
    devices = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    versions = sys.argv[2:] or ["2c", "3"]
    print(machine())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        program = build(Path(directory))
        if len(versions) < len(GOALS):  # each is a process of its own, so that neither carries the other's memory
            version = versions[0]
            with agents(program, devices, PORT, PORTS):
                os.sched_setaffinity(0, {0})
                spent, first, megabytes, lost = asyncio.run(cycle(devices, version))
                whole = spent / devices * 10_000
                name = "v3 authPriv" if version == "3" else "v2c"
                of = f"of {devices:,} measured" if devices != 10_000 else "measured"
                rows = [
                    Row(
                        f"{name}: 10,000 devices x 48 ports, a cycle, rates included",
                        whole,
                        "s",
                        at_most=GOALS[version],
                        beside=of,
                    ),
                    Row(f"{name}: a value", spent / devices / VALUES * 1e6, "us"),
                    Row(f"{name}: until {devices:,} devices were known", first, "s"),
                    Row(f"{name}: RSS with {devices:,} devices", megabytes, "MB", at_most=400.0 if devices == 10_000 else None),
                    Row(f"{name}: polls that were lost or late", lost),
                ]
                if version == "2c":
                    rows += _peers(spent / devices / VALUES * 1e6)
            print_table(rows)
            return int(any(row.is_met is False for row in rows))
    return sum(subprocess.run([sys.executable, __file__, str(devices), each], check=False).returncode for each in versions)


def _peers(ours: float) -> list[Row]:
    costs: dict[str, float | None] = {
        "gufo_snmp": _other("gufo_snmp"),
        "aiosnmp": _other("aiosnmp"),
        "snmpbulkwalk": _snmpbulkwalk(),
        "snmp_exporter": _exporter(),
        "pysnmp": asyncio.run(_pysnmp(20)),
    }
    return [
        Row(f"ratio to {peer}, a value", cost / ours, at_least=RATIOS.get(peer), beside=f"{cost:.2f} us")
        for peer, cost in costs.items()
        if cost is not None
    ]


if __name__ == "__main__":
    sys.exit(main())
