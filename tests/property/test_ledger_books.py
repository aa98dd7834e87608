"""A model of the ledger beside the real one: under any order of work and restarts they agree, and the books balance."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from manual_clock import ManualClock
from store_samples import alert

from netmote.alerts.alert import AlertState
from netmote.scoring.finding import Severity
from netmote.store.config import StoreConfig
from netmote.store.store import Checkpoint, Store

SINKS = ("a", "b")
CONFIG = StoreConfig(free_space_floor=0, alert_age=86400.0)


class Ledger(RuleBasedStateMachine):
    """The model: rows by number, what was settled and what was refused per sink."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.rows: dict[tuple[int, int], int] = {}  # (alert, revision) -> seq
        self.severity: dict[int, int] = {}  # of each seq
        self.silenced: set[int] = set()
        self.accepted: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.refused: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.checkpoint = None
        self.last_seq = 0

    def run(self, work):
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self):
        self.store = Store(Path(self.directory.name), CONFIG, sensor="edge", clock=self.clock)
        self.run(self.store.open())
        for sink in SINKS:
            self.run(self.store.register_sink(sink))

    @rule(
        identities=st.lists(
            st.tuples(st.integers(1, 5), st.integers(1, 3), st.booleans(), st.sampled_from([2, 4, 6])), max_size=4
        ),
        has_checkpoint=st.booleans(),
    )
    def commit(self, identities, has_checkpoint):
        checkpoint = Checkpoint(None, len(self.rows), b"x" * len(identities)) if has_checkpoint else None
        states = {1: AlertState.FIRING, 2: AlertState.FIRING, 3: AlertState.RESOLVED}
        alerts = [
            alert(number, revision, state=states[revision], is_silenced=is_silenced, severity=Severity(severity))
            for number, revision, is_silenced, severity in identities
        ]
        committed = self.run(self.store.commit(alerts, checkpoint))
        for (number, revision, is_silenced, severity), row in zip(identities, committed, strict=True):
            if (number, revision) not in self.rows:
                self.last_seq += 1
                self.rows[number, revision] = self.last_seq
                self.severity[self.last_seq] = severity
                if is_silenced:
                    self.silenced.add(self.last_seq)
            assert row.seq == self.rows[number, revision]
        if has_checkpoint:
            self.checkpoint = checkpoint

    def waiting(self, sink):
        """What waits, in the order in which it goes out: the gravest first, each behind the earlier revisions of its alert."""
        done = self.silenced | self.accepted[sink] | self.refused[sink]
        waiting = {key: seq for key, seq in self.rows.items() if seq not in done}
        order: dict[int, None] = {}
        for (number, revision), seq in sorted(waiting.items(), key=lambda item: (self.severity[item[1]], item[1])):
            for earlier in range(1, revision):
                before = waiting.get((number, earlier))
                if before is not None and self.severity[before] > self.severity[seq]:
                    order[before] = None
            order[seq] = None
        return list(order)

    @rule(sink=st.sampled_from(SINKS), limit=st.integers(1, 4), refuse=st.integers(0, 2))
    def deliver(self, sink, limit, refuse):
        rows = [row.seq for row in self.run(self.store.pending(sink, limit=limit))]
        assert rows == self.waiting(sink)[:limit]
        if rows:
            refused = rows[:refuse]
            for seq in refused:
                self.run(self.store.quarantine(sink, seq, "refused"))
                self.refused[sink].add(seq)
            self.run(self.store.acknowledge(sink, rows[refuse:]))
            self.accepted[sink].update(rows[refuse:])

    @rule()
    def restart(self):
        self.run(self.store.close())
        self.store = Store(Path(self.directory.name), CONFIG, sensor="edge", clock=self.clock)
        self.run(self.store.open())
        for sink in SINKS:
            self.run(self.store.register_sink(sink))

    @rule(days=st.sampled_from([-500, 500]))
    def step_the_clock(self, days):
        self.clock.step(days * 86400)
        self.run(self.store.maintain())

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def agrees(self):
        latest = {}
        for (number, revision), seq in self.rows.items():
            if revision >= latest.get(number, (0, 0))[0]:
                latest[number] = (revision, seq)
        recent = [row.seq for row in self.run(self.store.recent_alerts(100))]
        assert recent == sorted((seq for _, seq in latest.values()), reverse=True)
        assert len(self.run(self.store.active_alerts())) == sum(revision < 3 for revision, _ in latest.values())
        assert self.run(self.store.checkpoint()) == self.checkpoint
        for books in self.run(self.store.outbox()):
            assert books.holds
            assert books.queued == len(self.waiting(books.sink))
            assert books.created == len(self.rows) - len(self.silenced)
            assert books.quarantined == len(self.refused[books.sink])
            assert books.expired == 0

    def teardown(self):
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.loop.close()
        self.directory.cleanup()


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
