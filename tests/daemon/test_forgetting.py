"""Forgetting an address in a real state directory, with and without a daemon: nothing of it stays, and nothing else goes."""

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from collector import Collector as FakeCollector
from daemon_legs import Legs, until
from manual_clock import ManualClock
from observed_records import SCANNER, TARGET, scan_story
from running_daemon import QUIET, beating
from store_samples import T0, alert, flow_batch
from typer.testing import CliRunner, Result

from netmote.alerts.alert import AlertState
from netmote.analysis.analysis import Analysis, unpacked_state
from netmote.cli.main import app
from netmote.clock import SystemClock
from netmote.control.client import request
from netmote.daemon.config import Config
from netmote.daemon.evidence_files import evidence_path
from netmote.daemon.forgetting import ForgetRefused, forget_without_daemon
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import address_text
from netmote.store.config import StoreConfig
from netmote.store.store import Store

ADDRESS = "192.0.2.7"
OCTETS = ip_address(ADDRESS).packed
OTHER = "192.0.2.70"


def batch_with_it(rows: int = 40):
    """Every fourth slice comes from the address."""
    batch = flow_batch(rows=rows)
    for at in range(0, rows, 4):
        batch.slices["source_address"][at] = b"\0" * 10 + b"\xff\xff" + OCTETS
    return batch


def facts() -> FactBatch:
    host = Entity(EntityKind.HOST, ADDRESS)
    told = (
        Fact(host, "neighbour_changed", T0, 1.0, {"of": f"{ADDRESS} and {OTHER}"}),
        Fact(Entity(EntityKind.HOST, OTHER), "address_conflict", T0, 1.0, {"of": OTHER}),
    )
    return FactBatch("capture:eth0", T0, T0 + 1, told)


async def filled(state_dir: Path) -> None:
    """A state directory that knows the address in every way it can."""
    store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock(T0))
    await store.open()
    await store.register_sink("up")
    await store.append([batch_with_it(), facts()])
    await store.append([flow_batch(rows=10, seed=5)])
    first, *_ = await store.commit(
        [
            alert(1),
            alert(1, 2, state=AlertState.RESOLVED),
            alert(2, title=f"{OTHER} is another", entity=Entity(EntityKind.HOST, OTHER)),
        ],
        None,
    )
    await store.acknowledge("up", [first.seq])
    await store.close()
    path = evidence_path(state_dir, "x")
    path.parent.mkdir()
    path.write_bytes(b"head" + OCTETS + b"tail")
    evidence_path(state_dir, "y").write_bytes(b"others")


def octets_of(state_dir: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(state_dir.rglob("*")) if path.is_file())


async def read_back(state_dir: Path) -> tuple[list[Any], list[Any]]:
    store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock(T0))
    await store.open()
    batches = [batch for _, batch in await store.read_after(None)]
    alerts = await store.pending("up", limit=10)
    (books,) = await store.outbox()
    assert books.holds
    await store.close()
    return batches, alerts


async def test_nothing_of_it_stays_and_nothing_else_goes(tmp_path: Path) -> None:
    """Telemetry, alerts, facts and evidence: counts, numbers and the other address are as they were; what is delivered is said."""
    await filled(tmp_path)
    before, _ = await read_back(tmp_path)
    assert ADDRESS.encode() in octets_of(tmp_path)
    config = Config.model_validate({**QUIET, "models": {"bundles": []}})
    report = await forget_without_daemon(config, tmp_path, ADDRESS, clock=SystemClock())
    after, waiting = await read_back(tmp_path)
    assert (report.telemetry.batches, report.telemetry.slices, report.telemetry.entities) == (1, 10, 1)
    assert (report.alerts.revisions, report.alerts.delivered) == (3, {"up": 1}), "also where it is only evidence"
    assert report.evidence_files == 1
    assert report.left == ("sink up: its receiver has 1 alert revisions with the address; only its operator can remove them",)
    content = octets_of(tmp_path)
    assert ADDRESS.encode() not in content.replace(OTHER.encode(), b"")
    assert OTHER.encode() in content
    flows, told, others = after
    texts = [address_text(value) for value in flows.slices["source_address"].tolist()]
    assert texts[::4] == ["0.0.0.0"] * 10
    assert (flows.slices["initiator_octets"] == before[0].slices["initiator_octets"]).all()
    assert (others.slices == before[2].slices).all()
    assert [fact.entity.name for fact in told.facts] == ["0.0.0.0", OTHER]
    assert dict(told.facts[0].annotations) == {"of": f"0.0.0.0 and {OTHER}"}
    assert [row.seq for row in waiting] == [2, 3]
    assert waiting[1].alert.title == f"{OTHER} is another"


async def test_what_was_learned_and_is_pending_is_forgotten(legs: Legs) -> None:
    """Baselines, what fires and what the checkpoint holds of a host go; analysis takes all of it up again without a complaint."""
    store = await legs.store()
    analyse = legs.analyse(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(analyse.run())
        await legs.give(store, analyse, scan_story(60, at=50))
        await until(lambda: legs.committed)
        running.cancel()
    await analyse.finish(5.0)
    await legs.close()
    assert SCANNER.encode() in octets_of(legs.state_dir)
    config = Config.model_validate({**QUIET, "models": {"bundles": []}})
    report = await forget_without_daemon(config, legs.state_dir, SCANNER, clock=SystemClock())
    assert (report.is_learned_removed, report.is_checkpoint_changed) == (True, True)
    assert report.alerts.revisions
    assert SCANNER.encode() not in octets_of(legs.state_dir)
    assert TARGET.encode() in octets_of(legs.state_dir), "the other end stays"
    store = await legs.store()
    again = legs.analyse(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(again.run())
        await until(lambda: again.progress > 2)
        running.cancel()
    assert len(await store.active_alerts()) == 1
    for part in unpacked_state(again.analysis.state()).values():
        assert SCANNER.encode() not in part
    assert not again.analysis.scoring.forget(Entity(EntityKind.HOST, SCANNER)), "nothing learned was left"
    assert again.analysis.scoring.forget(Entity(EntityKind.SENSOR, "s1")), "all else was"


async def test_forgetting_twice_finds_nothing(tmp_path: Path) -> None:
    """The second time there is nothing to remove, and delivered revisions no longer tell of it."""
    await filled(tmp_path)
    config = Config.model_validate(QUIET)
    await forget_without_daemon(config, tmp_path, ADDRESS, clock=SystemClock())
    report = await forget_without_daemon(config, tmp_path, ADDRESS, clock=SystemClock())
    assert (report.telemetry.slices, report.alerts.revisions, report.evidence_files, report.left) == (0, 0, 0, ())


@pytest.mark.parametrize("address", ["nobody", "0.0.0.0", "ff02::1"])
async def test_what_is_no_ones_address_is_refused(tmp_path: Path, address: str) -> None:
    """Nothing is touched then."""
    await filled(tmp_path)
    with pytest.raises(ForgetRefused):
        await forget_without_daemon(Config.model_validate(QUIET), tmp_path, address, clock=SystemClock())


async def test_a_network_at_rest_has_no_hosts_to_forget(tmp_path: Path) -> None:
    """Truncated records tell no host from another."""
    await filled(tmp_path)
    changes = {"privacy": {"at_rest": "truncate"}, "capture": {"interfaces": [], "evidence_size": "0B"}}
    with pytest.raises(ForgetRefused, match="no single host"):
        await forget_without_daemon(Config.model_validate({**QUIET, **changes}), tmp_path, ADDRESS, clock=SystemClock())


async def test_a_running_daemon_forgets_and_runs_on(tmp_path: Path) -> None:
    """Through the control socket: analysis pauses, forgets, begins again; firing alerts of it end upstream without the address."""
    async with FakeCollector(tmp_path / "c.db") as upstream:
        sinks = [{"type": "webhook", "name": "up", "url": upstream.url, "timeout": "2s"}]
        async with beating(tmp_path / "state", sinks=sinks) as daemon:
            now_ns = SystemClock().now_ns()
            batch = flow_batch(now_ns, rows=40)
            batch.slices["source_address"][0] = b"\0" * 10 + b"\xff\xff" + OCTETS
            daemon.ingest.put(batch)
            await daemon.ingest.drain()
            await daemon.store.commit([alert(1)], None)
            daemon.deliveries.wake()
            await until(lambda: any(ADDRESS in str(event) for event in upstream.events))
            before = daemon.analyse
            report = (await asyncio.to_thread(request, tmp_path / "state", "forget", timeout=30.0, address=ADDRESS))["report"]
            assert report["telemetry"]["slices"] == 1
            assert report["alerts"]["revisions"] >= 1
            assert report["alerts"]["delivered"]["up"] >= 1
            assert daemon.analyse is not before
            await until(lambda: daemon.analyse.progress > 1)
            daemon.ingest.put(flow_batch(now_ns + 5_000_000_000, rows=10, seed=3))
            await daemon.ingest.drain()
            rows = await daemon.store.recent_alerts(10)
            assert not any(ADDRESS in repr(row) for row in rows)
    assert ADDRESS.encode() not in octets_of(tmp_path / "state")


async def test_while_it_pauses_nobody_is_dead(tmp_path: Path) -> None:
    """Work on what is stored may take minutes: the level says so, and no leg counts as dead; afterwards all is as before."""
    async with beating(tmp_path) as daemon:
        seen: list[Any] = []

        async def work(_analysis: Analysis) -> str:
            long_ago = daemon.clock.monotonic() - 1_000
            daemon.survey._progress["analysis"] = (daemon.analyse.progress, long_ago)
            seen.append(daemon.survey.snapshot())
            return "done"

        before = daemon.health.level
        assert await daemon.with_analysis_paused(work) == "done"
        (paused,) = seen
        assert paused.is_alive
        assert "analysis_paused" in {reason.component for reason in paused.reasons}
        assert daemon.health.level == before
        await until(lambda: "analysis" in daemon.legs and daemon.analyse.progress > 1)


def test_the_command_asks_and_reports(tmp_path: Path) -> None:
    """It asks first; its report names what went and what is left, for people and as JSON, and its status says whether anything is."""
    asyncio.run(filled(tmp_path / "state"))

    def forget(*options: str, said: str = "") -> Result:
        command = ["forget", ADDRESS, "--state-dir", str(tmp_path / "state"), *options]
        return CliRunner().invoke(app, command, input=said)

    assert forget(said="n\n").exit_code == 1
    assert ADDRESS.encode() in octets_of(tmp_path / "state")
    first = forget("--yes")
    assert first.exit_code == 1
    assert "10 flow slices" in first.stdout
    assert "sink up: its receiver has 1 alert revisions" in first.stdout
    second = forget("--yes", "--json")
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout)["telemetry"]["slices"] == 0
