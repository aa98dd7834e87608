"""How fast the backlog of a long outage leaves, by sink, and in how much memory.

    python tests/bench/bench_drain.py [alerts] [sink ...]

One real ledger holds the backlog; the real delivery of it to each real server runs in a process of its own, one sink after the other,
with the batch size that is the default. Memory is what that process grows by: it must not know how long the backlog is. Servers are on
this machine and share its processors. Alertmanager has no backlog, standard output and the journal no server.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakes"))
from pydantic import TypeAdapter
from report import Row, print_table, say
from sink_alerts import committed_alert

from netmote.clock import SystemClock
from netmote.daemon.components import build_sink
from netmote.daemon.config import SinkConfig
from netmote.daemon.deliver import Deliver
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics

ALERTS = 100_000
_A_COMMIT = 500
_GROWTH_MB = 32.0
_CONFIG = StoreConfig(ledger_size=4 * 10**9, free_space_floor=0)

# What the configuration of a sink needs to find its started harness of the contract suite.
_WHERE: dict[str, Any] = {
    "webhook": lambda receiver: {"url": receiver.collector.url},
    "nats": lambda receiver: {"servers": [receiver.server.url]},
    "relp": lambda receiver: {"server": f"127.0.0.1:{receiver.server.port}", "encryption": "none"},
    "syslog": lambda receiver: {"server": f"127.0.0.1:{receiver.server.port}", "encryption": "none"},
    "mqtt": lambda receiver: {"server": f"127.0.0.1:{receiver.broker.port}", "encryption": "none"},
    "kafka": lambda receiver: {"servers": [receiver.cluster.server], "encryption": "none"},
    "otlp": lambda receiver: {"url": receiver.server.url},
    "file": lambda receiver: {"path": str(receiver.path)},
}


async def fill(state: Path, alerts: int) -> None:
    """The ledger of a sensor whose upstreams were away for long."""
    store = Store(state, _CONFIG, sensor="bench", clock=SystemClock())
    await store.open(with_telemetry=False)
    for sink in _WHERE:
        await store.register_sink(sink)
    for start in range(0, alerts, _A_COMMIT):
        await store.commit([committed_alert(n).alert for n in range(start, min(start + _A_COMMIT, alerts))], None)
    await store.close()


async def drain(state: Path, config: str) -> None:
    """In a process of its own: deliver until nothing waits, and print what it took."""
    sink_config: SinkConfig = TypeAdapter(SinkConfig).validate_json(config)
    clock = SystemClock()
    store = Store(state, _CONFIG, sensor="bench", clock=clock)
    await store.open(with_telemetry=False)
    deliver = Deliver(
        build_sink(sink_config), store, batch_limit=sink_config.batch_size, clock=clock, random=Random(1), health=Health(clock),
        metrics=Metrics(),
    )  # fmt: skip
    (waiting,) = [books.queued for books in await store.outbox() if books.sink == sink_config.name]
    began, cpu, before = time.perf_counter(), time.process_time(), _kilobytes("VmRSS")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(deliver.run())
        while deliver.delivered < waiting:  # noqa: ASYNC110 - delivery has no event for its end
            await asyncio.sleep(0.01)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        running.cancel()
    await store.close()
    grown = (_kilobytes("VmHWM") - before) / 1024
    print(json.dumps({"alerts": waiting, "seconds": seconds, "cpu": cpu, "grown": grown, "error": deliver.last_error}))


def _kilobytes(what: str) -> int:
    """Of this process, as proc_pid_status(5) has it; ru_maxrss would also remember the process that started this one."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{what}:")]
    return int(line.split()[1])


async def measure(name: str, state: Path, folder: Path) -> list[Row]:
    """Start the server, drain to it, and see that it has everything."""
    from sink_receivers import RECEIVERS

    receiver = RECEIVERS[name](folder, timeout=10.0)
    await receiver.start()
    try:
        config = json.dumps({"type": name, **_WHERE[name](receiver)})
        command = [sys.executable, __file__, "--drain", str(state), config]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        if process.returncode:
            return [Row(f"{name}: alerts that left", 0, at_least=1, beside=f"ended with {process.returncode}")]
        found = json.loads(output)
        arrived = len(await receiver.received())
    finally:
        await receiver.sink.close()
        await receiver.stop()
    alerts = found["alerts"]
    return [
        Row(f"{name}: alerts a second", alerts / found["seconds"], beside=f"{found['cpu'] / alerts * 1e6:.0f} µs CPU each"),
        Row(f"{name}: memory the backlog costs", found["grown"], "MB", at_most=_GROWTH_MB),
        Row(f"{name}: of {alerts:,} alerts arrived", arrived, at_least=alerts),
    ]


async def main(alerts: int, names: list[str]) -> int:
    rows = []
    with tempfile.TemporaryDirectory(prefix="netmote-drain-") as temporary:
        state = Path(temporary) / "state"
        state.mkdir()
        say(f"a ledger of {alerts:,} alerts ...")
        await fill(state, alerts)
        size = sum(path.stat().st_size for path in state.iterdir())
        rows.append(Row("bytes of the ledger an alert", size / alerts))
        for name in names or _WHERE:
            say(f"{name} ...")
            folder = Path(temporary) / name
            folder.mkdir()
            try:
                rows += await measure(name, state, folder)
            except BaseException as error:
                # pytest.skip of a server that is not installed, which is no Exception
                if type(error).__name__ != "Skipped":
                    raise
                say(f"{name}: {error}")
    print_table(rows)
    return int(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drain"]:
        asyncio.run(drain(Path(sys.argv[2]), sys.argv[3]))
    else:
        numbers = [int(each) for each in sys.argv[1:] if each.isdigit()]
        with contextlib.suppress(KeyboardInterrupt):
            chosen = [each for each in sys.argv[1:] if not each.isdigit()]
            raise SystemExit(asyncio.run(main(numbers[0] if numbers else ALERTS, chosen)))
