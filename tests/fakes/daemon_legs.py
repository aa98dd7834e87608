"""The legs of a daemon around a real store, each made on demand; what was opened is closed."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from manual_clock import ManualClock
from observed_records import ORIGIN

from netmote.alerts.alert import Committed
from netmote.analysis.analysis import Analysis
from netmote.analysis.config import AnalysisConfig
from netmote.daemon.analyse import Analyse
from netmote.daemon.analysis_view import AnalysisView
from netmote.daemon.discards import Discards
from netmote.daemon.ingest import Ingest, Observed
from netmote.daemon.learned import LearnedFile
from netmote.daemon.supervisor import Supervised
from netmote.records.batch import Batch
from netmote.scoring.detector import Detector
from netmote.scoring.rules.rule_set import RuleSet
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics


class NoDelay(Random):
    """Draws the shortest back-off there is."""

    def uniform(self, a: float, b: float) -> float:
        return a


class Legs:
    """Makes legs that share one state directory, clock, health and metrics."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.clock = ManualClock(ORIGIN)
        self.health = Health(self.clock)
        self.metrics = Metrics()
        self.discards = Discards(self.metrics)
        self.committed: list[Committed] = []
        self.views: list[AnalysisView] = []
        self.stores: list[Store] = []
        self.analyses: list[Analyse] = []

    async def store(self, kind: type[Store] = Store, **config: object) -> Store:
        settings = StoreConfig.model_validate({"free_space_floor": 0, **config})
        store = kind(self.state_dir, settings, sensor="s1", clock=self.clock)
        self.stores.append(store)
        await store.open()
        return store

    def analysis(self, kind: type[Analysis] = Analysis, detectors: Sequence[Detector] = ()) -> Analysis:
        return kind(AnalysisConfig(), sensor="s1", rules=RuleSet.load(["builtin"]), detectors=detectors)

    def analyse(
        self, store: Store, analysis: Analysis | None = None, *, limit: int = 256, learned: LearnedFile | None = None
    ) -> Analyse:
        analyse = Analyse(
            analysis or self.analysis(),
            store,
            learned=learned or LearnedFile(self.state_dir / "learned.bin"),
            lateness_ns=2_000_000_000,
            committed=self.committed.extend,
            looked=self.views.append,
            ingest_is_empty=lambda: True,
            limit=limit,
            clock=self.clock,
            health=self.health,
            metrics=self.metrics,
            discards=self.discards,
        )
        self.analyses.append(analyse)
        return analyse

    def ingest(self, store: Store, hand_on: Callable[[Observed], None], *, limit: int = 100) -> Ingest:
        return Ingest(
            store, hand_on, limit=limit, clock=self.clock, health=self.health, metrics=self.metrics, discards=self.discards
        )

    def supervised(self, name: str, run: Callable, **settings: object) -> Supervised:
        return Supervised(name, run, health=self.health, metrics=self.metrics, clock=self.clock, random=NoDelay(), **settings)

    def reason(self, component: str) -> str | None:
        return next((each.text for each in self.health.reasons if each.component == component), None)

    async def give(self, store: Store, analyse: Analyse, batches: Sequence[Batch]) -> None:
        """What ingest does with each batch: stored, then handed on; time goes with it."""
        for batch in batches:
            self.clock.advance(max(0.0, (batch.end_ns - self.clock.now_ns()) / 1e9))
            analyse.put(Observed(await store.append([batch]), (batch,)))

    async def close(self) -> None:
        for analyse in self.analyses:
            analyse.close()
        for store in self.stores:
            await store.close()


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until it is true; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)
