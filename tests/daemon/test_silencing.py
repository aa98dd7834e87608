"""Silences: what a request must hold, through a daemon's store and without one."""

from pathlib import Path
from typing import Any

import pytest
from daemon_legs import Legs
from manual_clock import ManualClock

from netmote.daemon.config import Config
from netmote.daemon.silencing import MAX_SECONDS, change_silences, change_without_daemon, silence_from
from netmote.errors import Retryable

GOOD = {"seconds": 60, "reason": "planned", "group": "vertical_scan"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 0}, "at most 366 days"),
        ({"seconds": MAX_SECONDS + 1}, "at most 366 days"),
        ({"seconds": "nan"}, "at most 366 days"),
        ({"reason": "  "}, "needs a reason"),
        ({"group": None}, "a rule, an entity, or both"),
        ({"entity": "nonsense"}, "is not an entity"),
    ],
)
def test_a_bad_request_is_refused_with_what_is_allowed(change: dict[str, Any], message: str) -> None:
    """A silence lasts a bounded time, has a reason and names what it covers."""
    with pytest.raises(ValueError, match=message):
        silence_from({**GOOD, **change}, 0)


async def test_added_and_ended(legs: Legs) -> None:
    """A silence is in the store until it ends; ending what is not there is said."""
    store = await legs.store()
    answer = await change_silences(store, "silence", {**GOOD, "entity": "host:10.0.0.1"}, clock=legs.clock)
    (kept,) = await store.silences()
    assert kept.silence_id == answer["silence_id"]
    assert kept.ends_at_ns - kept.created_at_ns == 60 * 10**9
    await change_silences(store, "unsilence", {"silence_id": kept.silence_id}, clock=legs.clock)
    with pytest.raises(ValueError, match="no silence"):
        await change_silences(store, "unsilence", {"silence_id": "gone"}, clock=legs.clock)


async def test_without_a_daemon(tmp_path: Path, legs: Legs) -> None:
    """The command takes the lock itself, and is refused where a daemon holds it."""
    other = tmp_path / "other"
    other.mkdir()
    answer = await change_without_daemon(other, Config(), "silence", GOOD, clock=ManualClock())
    assert answer["silence_id"]
    await legs.store()
    with pytest.raises(Retryable, match="in use by process"):
        await change_without_daemon(tmp_path, Config(), "silence", GOOD, clock=ManualClock())
