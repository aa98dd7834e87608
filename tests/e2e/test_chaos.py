"""A few seconds of `make chaos`, and that its comparison finds what it is for."""

import sqlite3
import sys
from pathlib import Path

import pytest
from chaos_receivers import Arrival, ChaosReceiver

sys.path.insert(0, str(Path(__file__).parent))
from chaos import Chaos, Figures, Ledger

pytestmark = pytest.mark.timeout(180)


async def test_kills_lose_nothing(tmp_path: Path) -> None:
    """Kill -9 of daemon and servers, an outage of each receiver, poison and lost answers: nothing lost, nothing twice."""
    receivers = ["webhook", "nats", "relp", "alertmanager"]
    chaos = Chaos(tmp_path, seconds=6.0, seed=7, rate=150.0, receivers=receivers, kills=6, commits=100)
    figures = await chaos.run()
    assert figures.faults == []
    assert sum(figures.kills.values()) >= 6
    assert figures.alerts >= 100
    assert figures.active == figures.notified > 0
    assert figures.lost == figures.duplicates == figures.strangers == figures.broken == 0


class Made(ChaosReceiver):
    """One that has what the test says."""

    name = "made"

    def __init__(self, *, refuses_poison: bool = True, drops_repetitions: bool = False) -> None:
        self.servers = {}
        self.refuses_poison, self.drops_repetitions = refuses_poison, drops_repetitions

    @property
    def sink(self) -> dict[str, object]:
        return {}

    async def arrivals(self) -> list[Arrival]:
        return []


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Revisions a/1, b/1, c/1 and the poisonous p/1, which is quarantined for "made"."""
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.executescript(
        "CREATE TABLE alert_revision(seq INTEGER PRIMARY KEY, alert_id TEXT, revision INTEGER, state TEXT, body TEXT);"
        "CREATE TABLE quarantine(sink TEXT, seq INTEGER);"
        "INSERT INTO alert_revision VALUES (1,'a',1,'firing',''), (2,'b',1,'firing',''), (3,'c',1,'resolved',''), (4,'p',1,'firing','poison-row');"
        "INSERT INTO quarantine VALUES ('made', 4);"
    )
    connection.close()
    return Ledger(tmp_path / "ledger.db")


WHOLE = [Arrival("a/1", "e", 1), Arrival("b/1", "e", 2), Arrival("c/1", "e", 3)]


def compared(ledger: Ledger, arrivals: list[Arrival], receiver: Made | None = None) -> Figures:
    chaos = Chaos(Path("/nowhere"), seconds=1, seed=1, rate=1, receivers=[])
    chaos._compare_receiver(receiver or Made(), arrivals, ledger)
    return chaos.figures


def test_what_is_whole_has_no_fault(ledger: Ledger) -> None:
    """Repetitions are dropped by id where the receiver does not drop them itself."""
    assert compared(ledger, WHOLE).faults == []
    figures = compared(ledger, [*WHOLE, WHOLE[0]])
    assert (figures.faults, figures.duplicates, dict(figures.repeated)) == ([], 0, {"made": 1})


@pytest.mark.parametrize(
    ("arrivals", "receiver", "word"),
    [
        (WHOLE[:2], Made(), "1 lost"),
        ([*WHOLE, Arrival("a/1", "e", 9)], Made(), "another number or id"),
        ([*WHOLE[:2], Arrival("c/1", "e", 2)], Made(), "another number or id"),
        ([*WHOLE, Arrival("x/1", "e", 8)], Made(), "not in the ledger"),
        ([*WHOLE, Arrival("p/1", "e", 4)], Made(), "though they were quarantined"),
        ([*WHOLE, WHOLE[1]], Made(drops_repetitions=True), "drops repetitions"),
        (WHOLE, Made(refuses_poison=False), "1 quarantined that are no poison"),
    ],
)
def test_what_is_not_whole_is_found(ledger: Ledger, arrivals: list[Arrival], receiver: Made, word: str) -> None:
    """A run that could not fail would prove nothing."""
    (fault,) = compared(ledger, arrivals, receiver).faults
    assert word in fault


@pytest.mark.parametrize(
    ("firing", "notified", "word"),
    [
        ({"a", "b", "p"}, {"a", "b", "p", "c"}, None),
        ({"a", "p"}, {"a", "b", "p"}, "1 active and not held"),
        ({"a", "b", "c", "p"}, {"a", "b", "p"}, "1 held and not active"),
        ({"a", "b", "p"}, {"a", "p"}, "1 active and nobody was notified"),
    ],
)
def test_a_state_that_is_not_the_ledgers_is_found(ledger: Ledger, firing: set[str], notified: set[str], word: str | None) -> None:
    """Alertmanager holds what is active, no more and no less, and somebody was told of each."""
    ledger._connection.execute("DELETE FROM quarantine")
    chaos = Chaos(Path("/nowhere"), seconds=1, seed=1, rate=1, receivers=[])
    chaos._compare_state("made", firing, notified, ledger)
    assert [fault.removeprefix("made: ") for fault in chaos.figures.faults] == ([word] if word else [])


def test_poison_that_went_through_is_found(ledger: Ledger) -> None:
    """It must be quarantined, neither delivered nor silently dropped."""
    ledger._connection.execute("DELETE FROM quarantine")
    faults = compared(ledger, [*WHOLE, Arrival("p/1", "e", 4)]).faults
    assert faults == ["made: 0 quarantined that are no poison, 1 not"]
