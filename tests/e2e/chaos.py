"""`make chaos`: kill -9 of daemon and servers at random, and what must hold all the same.

    daemon process (real store and delivery) ---> collector, nats-server, a cluster of three, rsyslogd,
                                                        Alertmanager, each a process of its own

A seed decides who is killed when and for how long it stays away: mostly less than half a second, now and then seconds, and each
receiver once for an eighth of the run. Poison stands in the middle of batches, and the collector loses some of its answers. In
the end everything is left alone until nothing waits, and the ledger is compared with what each receiver has.

Ends with status 1 when something was lost, came twice after repetitions were dropped by id, is not in the ledger; when the
ledger's identity was broken at any check, poison went through or more than poison was quarantined; when Alertmanager does not hold
exactly what fires in the end, or nobody was notified of one of it; when a process ended by itself; or when there were fewer kills
than asked. The last line is the figures.
"""

import argparse
import asyncio
import collections
import json
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAKES = Path(__file__).parents[1] / "fakes"
sys.path.insert(0, str(FAKES))

from chaos_brokers import BROKERS  # noqa: E402
from chaos_receivers import RECEIVERS as KILLED  # noqa: E402
from chaos_receivers import Arrival, ChaosAlertmanager, ChaosReceiver  # noqa: E402
from server_process import ServerProcess  # noqa: E402

RECEIVERS = {**KILLED, **BROKERS}
WHOLE_SECONDS, WHOLE_KILLS = 400.0, 500
_DRAIN_SECONDS = 120.0
_POLL_SECONDS = 0.02
_ID_BYTES = 39  # of a line of the truth: a UUID, a slash, a revision below 10


@dataclass
class Victim:
    """A process that is killed and comes back."""

    name: str
    process: ServerProcess
    weight: float = 1.0
    away_until: float | None = None
    only_disconnects: bool = False
    is_frozen: bool = False


@dataclass
class Figures:
    """What came out."""

    seconds: float
    seed: int
    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    alerts: int = 0
    lost: int = 0
    duplicates: int = 0
    strangers: int = 0
    checks: int = 0
    broken: int = 0
    quarantined: int = 0
    active: int = 0
    notified: int = 0
    repeated: collections.Counter[str] = field(default_factory=collections.Counter)
    disconnects: collections.Counter[str] = field(default_factory=collections.Counter)
    lost_by_brokers: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        repeated = ", ".join(f"{name} {count}" for name, count in sorted(self.repeated.items()))
        brokers = ", ".join(f"{name} lost {count}" for name, count in sorted(self.lost_by_brokers.items()))
        return (
            f"chaos: {self.seconds:.0f} s, seed {self.seed}: {sum(self.kills.values())} kills ({kills}), {self.alerts} alert revisions,"
            f" lost {self.lost}, duplicates after dropping repetitions by id {self.duplicates} (repetitions dropped: {repeated or 'none'}),"
            f" poison quarantined {self.quarantined}, of {self.active} active alerts notified {self.notified}, identity held at {self.checks - self.broken} of {self.checks} checks,"
            f" under {sum(self.disconnects.values())} disconnects {brokers or 'nobody'}"
        )


class Chaos:
    """One run in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float,
        seed: int,
        rate: float,
        receivers: list[str],
        kills: int = 0,
        commits: int = 0,
    ) -> None:
        """At least so many `kills` and alert revisions committed: a busy machine may take up to four times `seconds`."""
        self._asked_kills, self._asked_commits = kills, commits
        self.figures = Figures(seconds, seed)
        self._folder, self._seconds, self._seed, self._rate = folder, seconds, seed, rate
        self._random = random.Random(seed)
        self._receivers: list[ChaosReceiver] = [RECEIVERS[name](folder, seed) for name in receivers]
        self._victims = [
            Victim(name, server, only_disconnects=each.only_disconnects, is_frozen=each.is_frozen)
            for each in self._receivers
            for name, server in each.servers.items()
        ]
        self._daemon = Victim("daemon", ServerProcess([], port=0, log=folder / "daemon.log"), weight=3.0)
        self._runs = 0
        self._truth_at_start = 0

    async def run(self) -> Figures:
        """All of it. Raises TimeoutError when it never comes to rest."""
        helpers = [helper for each in self._receivers for helper in each.helpers]
        try:
            for process in [*helpers, *(victim.process for victim in self._victims)]:
                process.start_process()
            for process in [*helpers, *(victim.process for victim in self._victims)]:
                await asyncio.to_thread(process.wait_ready)
            for receiver in self._receivers:
                await receiver.prepare()
            (self._folder / "sinks.json").write_text(json.dumps([each.sink for each in self._receivers]))
            self._start(self._daemon)
            self._rage([*self._victims, self._daemon])
            await self._settle()
            await self._compare()
        finally:
            helpers = [helper for each in self._receivers for helper in each.helpers]  # those that `prepare` began, too
            for process in [*(victim.process for victim in [*self._victims, self._daemon]), *helpers]:
                process.kill()
        return self.figures

    def _start(self, victim: Victim) -> None:
        if victim is self._daemon:
            self._runs += 1
            self._truth_at_start = self._truth_size()
            script = [sys.executable, str(FAKES / "chaos_daemon.py"), str(self._folder)]
            victim.process.command = [*script, "--run", str(self._runs), "--seed", str(self._seed), "--rate", str(self._rate)]
        if victim.is_frozen:
            victim.process.thaw()
        else:
            victim.process.start_process()
        victim.away_until = None

    def _rage(self, victims: list[Victim]) -> None:
        """Kill and start again until the time is over."""
        began = time.monotonic()
        long_outages = {receiver.name: self._random.uniform(0.1, 0.8) * self._seconds for receiver in self._receivers}
        next_kill = self._next_kill(began)
        while not self._is_enough((now := time.monotonic()) - began):
            for victim in victims:
                self._notice_end(victim)
                if victim.away_until is not None and victim.away_until <= now:
                    self._start(victim)
            for receiver in self._receivers:
                if now - began >= long_outages.get(receiver.name, float("inf")):
                    del long_outages[receiver.name]
                    for victim in (each for each in self._victims if each.process in receiver.servers.values()):
                        self._kill(victim, self._seconds / 8)
            if now >= next_kill:
                there = [victim for victim in victims if self._may_be_killed(victim)]
                chosen = self._random.choices(there, [victim.weight for victim in there])[0] if there else None
                if chosen is not None:
                    self._kill(
                        chosen, self._random.uniform(0, 0.5) if self._random.random() < 0.9 else self._random.uniform(1, 4)
                    )
                next_kill = self._next_kill(now)
            time.sleep(_POLL_SECONDS)

    def _is_enough(self, seconds: float) -> bool:
        has_all = sum(self.figures.kills.values()) >= self._asked_kills and self._truth_size() >= self._asked_commits * _ID_BYTES
        return seconds >= self._seconds * (1 if has_all else 4)

    def _may_be_killed(self, victim: Victim) -> bool:
        """Who is there. Every second run of the daemon is left alone until it has committed: a slow machine gets somewhere too."""
        is_spared = victim is self._daemon and self._runs % 2 == 0 and self._truth_size() == self._truth_at_start
        return victim.away_until is None and not is_spared

    def _truth_size(self) -> int:
        path = self._folder / "truth"
        return path.stat().st_size if path.exists() else 0

    def _next_kill(self, now: float) -> float:
        """Two thirds more often than asked: some fall on those who are away, and some break connections only."""
        return now + self._random.expovariate(WHOLE_KILLS / WHOLE_SECONDS * 5 / 3)

    def _kill(self, victim: Victim, away_seconds: float) -> None:
        if victim.away_until is None:
            if victim.is_frozen:
                victim.process.freeze()
            else:
                victim.process.kill()
            (self.figures.disconnects if victim.only_disconnects else self.figures.kills)[victim.name] += 1
            victim.away_until = time.monotonic() + away_seconds

    def _notice_end(self, victim: Victim) -> None:
        if victim.away_until is None and not victim.process.is_running:
            tail = victim.process.log.read_text(errors="replace")[-2_000:]
            self.figures.faults.append(f"{victim.name} ended by itself:\n{tail}")
            victim.away_until = time.monotonic()

    async def _settle(self) -> None:
        """Leave everything alone until nothing waits; the daemon begins anew, so that nobody waits for a long back-off."""
        for victim in self._victims:
            if victim.away_until is not None:
                self._start(victim)
        for victim in self._victims:
            await asyncio.to_thread(victim.process.wait_ready)
        (self._folder / "stop").touch()
        self._daemon.process.kill()
        self._start(self._daemon)
        async with asyncio.timeout(_DRAIN_SECONDS):
            while not (self._folder / "drained").exists():
                self._notice_end(self._daemon)
                if self._daemon.away_until is not None:
                    raise RuntimeError(self.figures.faults[-1])
                await asyncio.sleep(0.1)
        # What is told again and again has then been told once more with nothing else under way.
        await asyncio.sleep(1.5 * max((each.resend_seconds or 0.0 for each in self._receivers), default=0.0))
        self._daemon.process.kill()

    async def _compare(self) -> None:
        figures = self.figures
        checks = (self._folder / "checks").read_text().splitlines()
        figures.checks, figures.broken = len(checks), sum(line != "held" for line in checks)
        figures.faults += [f"the ledger's identity is broken: {line}" for line in checks if line != "held"][:5]
        if figures.checks < self._runs / 2:
            figures.faults.append(f"only {figures.checks} checks in {self._runs} starts of the daemon")
        ledger = Ledger(self._folder / "state" / "ledger.db")
        figures.alerts = len(ledger.ids)
        gone = set((self._folder / "truth").read_text().split()) - ledger.ids
        if gone:
            figures.faults.append(f"{len(gone)} revisions were committed and are not in the ledger")
        for receiver in self._receivers:
            if isinstance(receiver, ChaosAlertmanager):
                self._compare_state(receiver.name, await receiver.firing(), receiver.notified(), ledger)
            else:
                self._compare_receiver(receiver, await receiver.arrivals(), ledger)

    def _compare_state(self, name: str, firing: set[str], notified: set[str], ledger: "Ledger") -> None:
        """Of a receiver without history: it holds what is active, no more and no less, and somebody was told of each."""
        self.figures.active, self.figures.notified = len(ledger.active), len(ledger.active & notified)
        for count, what in (
            (len(ledger.active - firing), "active and not held"),
            (len(firing - ledger.active), "held and not active"),
            (len(ledger.active - notified), "active and nobody was notified"),
            (len(ledger.quarantined(name)), "quarantined"),
        ):
            if count:
                self.figures.faults.append(f"{name}: {count} {what}")

    def _compare_receiver(self, receiver: ChaosReceiver, arrivals: list[Arrival], ledger: "Ledger") -> None:
        figures, name = self.figures, receiver.name
        quarantined = ledger.quarantined(name)
        expected_poison = ledger.poison if receiver.refuses_poison else set()
        if quarantined != expected_poison:
            figures.faults.append(
                f"{name}: {len(quarantined - expected_poison)} quarantined that are no poison, {len(expected_poison - quarantined)} not"
            )
        figures.quarantined += len(quarantined)
        got = {arrival.event_id for arrival in arrivals}
        lost, strangers = ledger.ids - quarantined - got, got - ledger.ids
        once = set(arrivals)  # a repetition is the same in id, epoch and number
        duplicates = len(once) - len({(each.ledger_epoch, each.seq) for each in once}) + len(once) - len(got)
        repeated = len(arrivals) - len(once)
        if receiver.only_disconnects:
            figures.lost_by_brokers[name] = len(lost)
            lost = set()
        figures.lost += len(lost)
        figures.duplicates += duplicates
        figures.strangers += len(strangers)
        if repeated or receiver.dropped():
            figures.repeated[name] = repeated + receiver.dropped()
        for count, what in (
            (len(lost), "lost"),
            (duplicates, "came twice under another number or id"),
            (len(strangers), "are not in the ledger"),
            (len(got & quarantined), "arrived though they were quarantined"),
            (repeated if receiver.drops_repetitions else 0, "came twice though the receiver drops repetitions"),
        ):
            if count:
                figures.faults.append(f"{name}: {count} {what}")


class Ledger:
    """What the killed daemon's ledger says, read by SQL alone."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        rows = self._connection.execute(
            "SELECT alert_id || '/' || revision, instr(body, 'poison') FROM alert_revision"
        ).fetchall()
        self.ids: set[str] = {event_id for event_id, _ in rows}
        self.poison: set[str] = {event_id for event_id, is_poison in rows if is_poison}

        latest = self._connection.execute(
            "SELECT alert_id, state FROM alert_revision AS r"
            " WHERE revision = (SELECT max(revision) FROM alert_revision WHERE alert_id = r.alert_id)"
        ).fetchall()
        self.active: set[str] = {alert_id for alert_id, state in latest if state == "firing"}

    def quarantined(self, sink: str) -> set[str]:
        rows: Any = self._connection.execute(
            "SELECT alert_id || '/' || revision FROM quarantine JOIN alert_revision USING(seq) WHERE sink = ?", (sink,)
        )
        return {event_id for (event_id,) in rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=WHOLE_SECONDS)
    parser.add_argument(
        "--kills", type=int, help=f"at least so many; unset: {WHOLE_KILLS} for {WHOLE_SECONDS:.0f} s, and in proportion"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="alerts a second")
    parser.add_argument("--receivers", default=",".join(RECEIVERS))
    parser.add_argument("--folder", type=Path, help="kept; unset: a temporary one, removed")
    arguments = parser.parse_args()
    asked = arguments.kills if arguments.kills is not None else int(WHOLE_KILLS * arguments.seconds / WHOLE_SECONDS)
    with tempfile.TemporaryDirectory(prefix="netmote-chaos-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        chaos = Chaos(
            folder,
            seconds=arguments.seconds,
            seed=arguments.seed,
            rate=arguments.rate,
            receivers=arguments.receivers.split(","),
            kills=asked,
        )
        figures = asyncio.run(chaos.run())
    if sum(figures.kills.values()) < asked:
        figures.faults.append(f"{sum(figures.kills.values())} kills, fewer than the {asked} asked for")
    for fault in figures.faults:
        print(f"fault: {fault}")
    print(figures)
    return 1 if figures.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
