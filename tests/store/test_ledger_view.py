"""The command line reads the ledger live, stopped, on a read-only disk, and never changes a byte of it."""

import subprocess
from contextlib import closing

import pytest
from store_samples import SECOND, T0, alert

from netmote.alerts.alert import AlertState, Silence
from netmote.errors import Retryable
from netmote.store.ledger_view import LedgerView


async def test_a_live_ledger_is_read_as_it_stands(opened, tmp_path):
    """What the daemon has committed is seen at once, also what still lies in the log."""
    store = await opened()
    with closing(LedgerView(tmp_path)) as view:
        assert view.alerts() == []
        await store.register_sink("webhook")
        committed = await store.commit([alert(1), alert(2), alert(2, 2, state=AlertState.RESOLVED)], None)
        assert view.alerts() == [committed[2], committed[0]]
        assert view.alerts(state=AlertState.FIRING) == [committed[0]]
        assert view.alerts(since_ns=T0 + 2 * SECOND) == [committed[2]]
        assert view.alerts(limit=1) == [committed[2]]
        assert view.ledger_epoch == store.ledger_epoch
        assert view.outbox()[0].queued == 3
        await store.add_silence(Silence("s", 1, 2, "why"))
        assert [each.silence_id for each in view.silences()] == ["s"]
        assert view.gaps() == []
        assert view.damaged == 0


async def test_an_alert_by_id_or_prefix(opened, tmp_path):
    """All revisions, oldest first; a prefix finds every alert that begins so; wildcards are letters."""
    store = await opened()
    await store.commit([alert(1), alert(1, 2), alert(0xABC << 96)], None)
    with closing(LedgerView(tmp_path)) as view:
        assert [row.alert.revision for row in view.alert(alert(1).alert_id)] == [1, 2]
        assert [row.alert.alert_id for row in view.alert("00000abc")] == [alert(0xABC << 96).alert_id]
        assert len(view.alert("0000")) == 3
        assert view.alert("%") == view.alert("____") == []


async def test_a_stopped_ledger(opened, tmp_path):
    """With the daemon stopped the view works and leaves nothing that a later daemon trips over."""
    store = await opened()
    await store.commit([alert(1)], None)
    await store.close()
    with closing(LedgerView(tmp_path)) as view:
        assert view.exists
        assert len(view.alerts()) == 1
    await (await opened()).commit([alert(2)], None)


def test_no_ledger(tmp_path):
    """A directory without a ledger is told apart from an empty one, and closing is always safe."""
    view = LedgerView(tmp_path)
    assert not view.exists
    with pytest.raises(Retryable, match="no ledger"):
        view.alerts()
    view.close()
    view.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_long_reader_sees_one_instant_and_delays_nobody(opened, tmp_path):
    """A view kept open does not block commits, and each question sees the newest."""
    store = await opened()
    view = LedgerView(tmp_path)
    view.alerts()
    for number in range(50):
        await store.commit([alert(number)], None)
        await store.maintain()
    assert len(view.alerts()) == 50
    view.close()


def run(*command):
    subprocess.run(list(map(str, command)), check=True)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.root
async def test_a_read_only_disk(opened, tmp_path):
    """On a read-only mount, where no shared memory can be made, the stopped ledger is read as it stands."""
    state = tmp_path / "state"
    state.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", state)
    try:
        store = await opened(state_dir=state)
        await store.commit([alert(1)], None)
        await store.close()
        run("mount", "-o", "remount,ro", state)
        before = names(state)
        with closing(LedgerView(state)) as view:
            assert [row.alert for row in view.alerts()] == [alert(1)]
        assert names(state) == before
    finally:
        run("umount", "-l", state)
