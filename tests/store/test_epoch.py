"""No (epoch, number) ever names two alerts: clones, reflashes and restored copies of the ledger get an epoch of their own."""

import json
import shutil

import pytest
from store_samples import alert

from netmote.store.config import StoreConfig
from netmote.store.ledger_mark import LedgerMark, machine_facts
from netmote.store.store import Store
from netmote.telemetry.heartbeat import Withheld


class Upstream:
    """A receiver that knows alerts by sensor, epoch and number, as a collector does."""

    def __init__(self):
        self.events = {}
        self.collisions = []

    async def take(self, store):
        """Register, take all that waits, acknowledge it; returns the numbers."""
        await store.register_sink("up")
        rows = await store.pending("up", limit=10_000)
        for row in rows:
            key = (row.sensor, row.ledger_epoch, row.seq)
            if self.events.setdefault(key, row.alert.event_id) != row.alert.event_id:
                self.collisions.append(key)
        await store.acknowledge("up", [row.seq for row in rows])
        return [row.seq for row in rows]


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    assert upstream.collisions == []


class Sensor:
    """A state directory with a life of several runs; every alert it makes is a new one."""

    def __init__(self, state_dir, clock, machine=None):
        self.state_dir, self.clock, self.made = state_dir, clock, 0
        self.machine = machine or {"machine_id": "a"}

    async def run(self, upstream, alerts, *, is_maintained=False):
        """Open, make alerts, deliver them, close; returns epoch, numbers and why the epoch was renewed."""
        config = StoreConfig(free_space_floor=0)
        store = Store(self.state_dir, config, sensor="edge", clock=self.clock, machine=lambda: self.machine)
        await store.open()
        try:
            await store.register_sink("up")
            for _ in range(alerts):
                self.made += 1
                await store.commit([alert(self.made)], None)
            numbers = await upstream.take(store)
            if is_maintained:
                await store.maintain()
            self.books = await store.books("up")
            return store.ledger_epoch, numbers, store.epoch_renewal
        finally:
            await store.close()


@pytest.fixture
def sensor(tmp_path, clock):
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    return Sensor(state_dir, clock)


async def test_restarts_keep_the_epoch(sensor, upstream):
    """One life is one epoch, however often the daemon starts."""
    first = await sensor.run(upstream, 3)
    assert first[1:] == ([1, 2, 3], "")
    assert await sensor.run(upstream, 2) == (first[0], [4, 5], "")
    assert await sensor.run(upstream, 0) == (first[0], [], "")


async def test_a_reflash_is_a_new_epoch_from_1(sensor, upstream):
    """An empty state directory begins anew: the old epoch falls silent for ever."""
    old, _, _ = await sensor.run(upstream, 3)
    shutil.rmtree(sensor.state_dir)
    sensor.state_dir.mkdir()
    new, numbers, renewal = await sensor.run(upstream, 2)
    assert new != old
    assert (numbers, renewal) == ([1, 2], "")


async def test_an_older_copy_of_the_ledger_put_back(sensor, upstream, tmp_path):
    """Written over the present one, same inode: the token of its opening gives it away. Numbers go on from the copy's last."""
    await sensor.run(upstream, 3)
    copy = (sensor.state_dir / "ledger.db").read_bytes()
    old, _, _ = await sensor.run(upstream, 3)
    (sensor.state_dir / "ledger.db").write_bytes(copy)
    new, numbers, renewal = await sensor.run(upstream, 2)
    assert new != old
    assert (numbers, renewal) == ([4, 5], "it is a copy from an earlier run")
    assert sensor.books.withheld == (Withheld(1, 3, "before_registration"),), "under the new epoch these never come"
    assert await sensor.run(upstream, 1) == (new, [6], ""), "renewed once"


async def test_a_copy_from_the_same_run_put_back(sensor, upstream, opened, tmp_path):
    """A copy taken while the daemon ran has the right token, but ends before a number that was surely given."""
    store = Store(sensor.state_dir, StoreConfig(free_space_floor=0), sensor="edge", clock=sensor.clock, machine=dict)
    await store.open()
    await store.register_sink("up")
    await store.commit([alert(901), alert(902)], None)
    copies = {path: path.read_bytes() for path in sensor.state_dir.glob("ledger.db*")}
    await store.commit([alert(903)], None)
    await upstream.take(store)
    old = store.ledger_epoch
    await store.close()
    for path, octets in copies.items():
        path.write_bytes(octets)
    (sensor.state_dir / "ledger.db-shm").unlink(missing_ok=True)
    new, numbers, renewal = await sensor.run(upstream, 1)
    assert new != old
    assert renewal == "it ends at number 2, but 3 was given already"
    assert numbers == [1, 2, 3], "what was not acknowledged in the copy goes out again, under the new epoch, with its old ids"


async def test_a_ledger_put_into_an_empty_directory(sensor, upstream, tmp_path):
    """A reflash with the ledger brought back from a backup: no mark is there."""
    old, _, _ = await sensor.run(upstream, 3)
    (sensor.state_dir / "ledger.mark").unlink()
    new, numbers, renewal = await sensor.run(upstream, 1)
    assert new != old
    assert numbers == [4]
    assert "ledger.mark cannot be read (FileNotFoundError)" in renewal


async def test_a_whole_directory_put_back(sensor, upstream, tmp_path):
    """Ledger and mark from one backup agree with each other; the file is another one all the same."""
    await sensor.run(upstream, 3)
    shutil.copytree(sensor.state_dir, tmp_path / "backup")
    old, _, _ = await sensor.run(upstream, 2)
    shutil.rmtree(sensor.state_dir)
    shutil.copytree(tmp_path / "backup", sensor.state_dir)
    new, numbers, renewal = await sensor.run(upstream, 2)
    assert new != old
    assert (numbers, renewal) == ([4, 5], "the file is a copy")


async def test_a_cloned_card(sensor, upstream):
    """Sector by sector the same card in a second machine: the machine gives it away, and both live on with epochs of their own."""
    original, _, _ = await sensor.run(upstream, 3)
    sensor.machine = {"machine_id": "a", "board_serial": "of the second"}
    assert (await sensor.run(upstream, 0))[::2] == (original, ""), "a fact that was not known before is no difference"
    sensor.machine = {"board_serial": "of the third"}
    clone, numbers, renewal = await sensor.run(upstream, 2)
    assert clone != original
    assert (numbers, renewal) == ([4, 5], "it was used on another machine")


async def test_a_ledger_of_another_life_put_back(sensor, upstream, tmp_path):
    """The ledger from before a reflash, put over the one after it."""
    first, _, _ = await sensor.run(upstream, 3)
    copy = (sensor.state_dir / "ledger.db").read_bytes()
    shutil.rmtree(sensor.state_dir)
    sensor.state_dir.mkdir()
    second, _, _ = await sensor.run(upstream, 1)
    (sensor.state_dir / "ledger.db").write_bytes(copy)
    third, _, renewal = await sensor.run(upstream, 2)
    assert len({first, second, third}) == 3
    assert renewal == "it is another ledger than the one used here last"


async def test_what_no_file_can_tell(sensor, upstream):
    """A medium rolled back as a whole gives numbers twice, and nothing on it says so: but a receiver sees the last number fall."""
    await sensor.run(upstream, 3)
    names = ("ledger.db", "ledger.mark")
    snapshot = {name: (sensor.state_dir / name).read_bytes() for name in names}
    ahead, _, _ = await sensor.run(upstream, 2)
    last_seq = sensor.books.last_seq
    for name, octets in snapshot.items():
        (sensor.state_dir / name).write_bytes(octets)
    again, numbers, renewal = await sensor.run(upstream, 1)
    assert (again, numbers, renewal) == (ahead, [4], "")
    assert sensor.books.last_seq < last_seq
    assert upstream.collisions == [("edge", ahead, 4)]
    upstream.collisions.clear()


@pytest.mark.parametrize("step", ["before the ledger", "before the mark"])
async def test_a_crash_while_opening_is_no_disagreement(sensor, upstream, step):
    """Killed between the writes of an opening: the next start finds a pair that agrees."""
    epoch, _, _ = await sensor.run(upstream, 3)
    mark_path = sensor.state_dir / "ledger.mark"
    before = json.loads(mark_path.read_text())
    await sensor.run(upstream, 0)
    after = json.loads(mark_path.read_text())
    both = {**before, "openings": [*before["openings"], *after["openings"]]}
    if step == "before the ledger":
        both["openings"] = [*after["openings"], "a token that never came"]
    mark_path.write_text(json.dumps(both))
    assert await sensor.run(upstream, 1) == (epoch, [4], "")


async def test_a_crash_while_renewing_renews_again(sensor, upstream):
    """The new epoch is in the ledger before the mark knows of it: the start after a crash in between does not go on under it."""
    old, _, _ = await sensor.run(upstream, 3)
    mark = (sensor.state_dir / "ledger.mark").read_bytes()
    (sensor.state_dir / "ledger.mark").unlink()
    renewed, _, _ = await sensor.run(upstream, 0)
    (sensor.state_dir / "ledger.mark").write_bytes(mark)
    again, _, renewal = await sensor.run(upstream, 1)
    assert len({old, renewed, again}) == 3
    assert renewal


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"epoch": 1}', b"\xff\xfe", b'{"epoch":"e","openings":3,"seq":"x","file":{},"machine":[]}']
)
async def test_a_damaged_mark_costs_the_epoch_not_the_start(sensor, upstream, content):
    """Whatever stands in the mark, the daemon starts and gives no number twice."""
    await sensor.run(upstream, 3)
    (sensor.state_dir / "ledger.mark").write_bytes(content)
    _, numbers, renewal = await sensor.run(upstream, 1)
    assert numbers == [4]
    assert "cannot be read" in renewal


async def test_the_mark_follows_the_numbers_once_a_minute(sensor, upstream):
    """Maintenance writes the last number down, and only when there is a new one."""
    mark = sensor.state_dir / "ledger.mark"
    await sensor.run(upstream, 3, is_maintained=True)
    assert json.loads(mark.read_text())["seq"] == 3
    written = LedgerMark(sensor.state_dir, sensor.state_dir / "ledger.db", {})
    assert not written.advance(4), "nothing before the first write"
    assert written.write("e", ("o",), 4)
    inode = mark.stat().st_ino
    assert written.advance(4)
    assert mark.stat().st_ino == inode
    assert written.advance(5)
    assert mark.stat().st_ino != inode


def test_facts_of_the_machine(tmp_path):
    """Hashed, not told; what is absent, empty or not yet made is left out."""
    (tmp_path / "id").write_text("b08dfa6083e7567a1921a715000001fb\n")
    (tmp_path / "serial").write_bytes(b"100000003d1d1c36\0")
    (tmp_path / "first_boot").write_text("uninitialized\n")
    (tmp_path / "empty").write_text("\n")
    sources = {name: tmp_path / name for name in ("id", "serial", "first_boot", "empty", "absent")}
    facts = machine_facts(sources)
    assert set(facts) == {"id", "serial"}
    assert "b08dfa" not in json.dumps(facts)
    assert machine_facts(sources) == facts
