"""One holder of a state directory, known by its pid, and no stale lock ever."""

import os
import subprocess
import sys

import pytest

from netmote.store.faults import StoreInUse
from netmote.store.state_lock import StateLock

HOLDER = """
import sys, pathlib
from netmote.store.state_lock import StateLock
StateLock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_told_the_pid(tmp_path):
    """Another process holding the lock is named; after its kill -9 the lock is free at once."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreInUse, match=f"process {holder.pid}"):
            StateLock(tmp_path).acquire()
        holder.kill()
        holder.wait()
        lock = StateLock(tmp_path)
        lock.acquire()
        lock.acquire()
        assert (tmp_path / "netmote.lock").read_text() == f"{os.getpid()}\n"
        lock.release()
        lock.release()


async def test_two_stores_of_one_directory(opened):
    """The second store is refused before it touches a file, and the first goes on."""
    store = await opened()
    with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}"):
        await opened()
    await store.commit([], None)
    await store.close()
    await opened()
