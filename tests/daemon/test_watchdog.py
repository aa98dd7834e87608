"""The watchdog is fed by progress: a leg that hangs starves it, one that rests does not."""

import asyncio
import socket
from pathlib import Path

import pytest

from netmote.daemon.service_notify import ServiceNotify
from netmote.daemon.watchdog import Turn, Watchdog


def test_only_progress_feeds_it(tmp_path: Path) -> None:
    """A real datagram for each look in which every leg turned or rightly rests, none otherwise; the stuck ones are named."""
    turns = {"ingest": Turn(1, may_rest=False), "analysis": Turn(1, may_rest=False)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        watchdog = Watchdog(
            ServiceNotify(str(tmp_path / "notify")), {"ingest": lambda: turns["ingest"], "analysis": lambda: turns["analysis"]}
        )

        def is_fed() -> bool:
            try:
                return receiver.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return False

        assert watchdog.look() == ()
        assert is_fed()
        turns["analysis"] = Turn(2, may_rest=False)
        assert watchdog.look() == ("ingest",)
        assert not is_fed()
        turns["ingest"] = Turn(1, may_rest=True)
        turns["analysis"] = Turn(3, may_rest=False)
        assert watchdog.look() == ()
        assert is_fed()
        assert watchdog.look() == ("analysis",)
        assert not is_fed()


async def test_it_looks_again_and_again(tmp_path: Path) -> None:
    """`run` looks at every interval until it is cancelled."""
    looked = 0

    def turn() -> Turn:
        nonlocal looked
        looked += 1
        return Turn(looked, may_rest=False)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Watchdog(ServiceNotify(str(tmp_path / "gone")), {"leg": turn}).run(0.02)
    assert looked >= 3
