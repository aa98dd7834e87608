"""The daemon of the chaos run: the real store and the real delivery to real sinks, and alerts made up at random.

    python tests/fakes/chaos_daemon.py FOLDER --run N --seed N --rate R

Reads FOLDER/sinks.json (the list of the configuration), keeps its state in FOLDER/state, and appends to two files what must
hold whatever kills it:
    truth   the event id of each revision, once `commit` returned
    checks  `held`, or what is broken, of the ledger's identity: when it was opened, and four times a second
Once FOLDER/stop is there it makes no more alerts, and writes FOLDER/drained when nothing waits for any sink.
"""

import argparse
import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter
from sample_alert import sample_alert

from netmote.alerts.alert import Alert, AlertState
from netmote.clock import SystemClock
from netmote.daemon.components import build_sink
from netmote.daemon.config import SinkConfig
from netmote.daemon.deliver import Deliver
from netmote.scoring.finding import Severity
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics

CHECK_SECONDS = 0.25
POISON = "x" * 900
_ALERTS_PER_RUN = 100_000
_REVISIONS = 3
_OPEN = 50


class Alerts:
    """Alerts of all severities, each announced in up to three revisions, a few of them poisonous. None is like another.

    Some fifty fire at once, those of the run before among them: what is not poison ends.
    """

    def __init__(self, run: int, seed: int, active: Sequence[Alert]) -> None:
        self._random = random.Random(f"{seed}/{run}")
        self._number = run * _ALERTS_PER_RUN
        self._open = [alert for alert in active if "poison" not in alert.title]

    def some(self) -> list[Alert]:
        """A few revisions, as one commit takes them."""
        return [self._next() for _ in range(self._random.randint(1, 8))]

    def _next(self) -> Alert:
        is_crowded = len(self._open) > _OPEN
        if is_crowded or (self._open and self._random.random() < 0.5):
            alert = self._open.pop(0 if is_crowded else self._random.randrange(len(self._open)))
            is_last = is_crowded or alert.revision + 1 == _REVISIONS
            alert = replace(
                alert,
                revision=alert.revision + 1,
                state=AlertState.RESOLVED if is_last else AlertState.FIRING,
                resolved_at_ns=alert.last_seen_ns + 1 if is_last else None,
            )
        else:
            self._number += 1
            alert = replace(sample_alert(self._number), severity=Severity(self._random.randint(0, 7)), title=self._title())
        if alert.state is AlertState.FIRING and "poison" not in alert.title:
            self._open.append(alert)
        return alert

    def _title(self) -> str:
        draw = self._random.random()
        if draw < 0.002:
            return f"poison-batch {POISON}"
        return f"poison-row {POISON}" if draw < 0.01 else "192.0.2.7 tried 480 ports of one host"


class Log:
    """A file of lines that outlives a kill."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def write(self, *lines: str) -> None:
        os.write(self._descriptor, "".join(f"{line}\n" for line in lines).encode())


async def check(store: Store, checks: Log) -> bool:
    """Note whether the ledger's identity holds for every sink. Returns whether nothing waits."""
    books = await store.outbox()
    broken = [
        str(each)
        for each in books
        if not each.holds or each.created != each.delivered + each.queued + each.quarantined + each.expired
    ]
    checks.write(*(broken or ["held"]))
    return not any(each.queued for each in books)


async def produce(store: Store, folder: Path, alerts: Alerts, rate: float, delivers: list[Deliver]) -> None:
    truth = Log(folder / "truth")
    pace = random.Random(0)
    while not (folder / "stop").exists():
        made = alerts.some()
        await store.commit(made, None)
        truth.write(*(alert.event_id for alert in made))
        for deliver in delivers:
            deliver.wake()
        await asyncio.sleep(pace.expovariate(rate / 4.5))  # a commit has 4.5 on average


async def watch(store: Store, folder: Path, checks: Log) -> None:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        is_drained = await check(store, checks)
        if is_drained and (folder / "stop").exists():
            (folder / "drained").touch()


async def main(folder: Path, run: int, seed: int, rate: float) -> None:
    clock, checks = SystemClock(), Log(folder / "checks")
    config = StoreConfig(free_space_floor=0, ledger_size=2 * 10**9)
    store = Store(folder / "state", config, sensor="chaos", clock=clock)
    await store.open(with_telemetry=False)
    await check(store, checks)
    configs = TypeAdapter(tuple[SinkConfig, ...]).validate_json((folder / "sinks.json").read_text())
    health, metrics, draws = Health(clock), Metrics(), random.Random(seed + run)
    delivers = [
        Deliver(build_sink(each), store, batch_limit=each.batch_size, clock=clock, random=draws, health=health, metrics=metrics)
        for each in configs
    ]
    for deliver in delivers:
        await store.register_sink(deliver.sink.name)
    active = await store.active_alerts()
    async with asyncio.TaskGroup() as tasks:
        for deliver in delivers:
            tasks.create_task(deliver.run())
        tasks.create_task(watch(store, folder, checks))
        tasks.create_task(produce(store, folder, Alerts(run, seed, active), rate, delivers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="alerts a second")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.folder, arguments.run, arguments.seed, arguments.rate))
