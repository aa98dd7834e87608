"""Flow exports of the daemon: slices to records to every exporter, each begun anew alone, everything lost counted."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from daemon_legs import Legs, until
from exported_flows import assembled, batches
from flow_collectors import Nfcapd, TcpCollector, set_ids
from observed_records import pane

from netmote.daemon.config import Config
from netmote.daemon.flow_exports import FlowExports
from netmote.metering.config import MeteringConfig
from netmote.records.flow import CaptureLoss, FlowBatch


def exports(*configs: dict[str, object]) -> tuple:
    return Config.model_validate({"flow_export": configs}).flow_export


def made(legs: Legs, **settings: object) -> FlowExports:
    return FlowExports(
        state_dir=legs.state_dir,
        free_space_floor=0,
        supervise=legs.supervised,
        clock=legs.clock,
        health=legs.health,
        metrics=legs.metrics,
        discards=legs.discards,
        **settings,
    )


async def apply(flow_exports: FlowExports, group: asyncio.TaskGroup, *configs: dict[str, object]) -> None:
    await flow_exports.apply(group, exports(*configs), metering=MeteringConfig(), deadline=1.0)


async def test_slices_leave_as_whole_flows_by_every_exporter(legs: Legs, tmp_path: Path) -> None:
    """A flow cut into many panes is one flow at nfcapd and one line in the file; totals are in status and metrics."""
    nfcapd = Nfcapd(tmp_path / "flows").start()
    flow_exports = made(legs)
    panes = batches()
    records = assembled(panes)
    assert sum(len(each.slices) for each in panes) > len(records)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        ipfix = {"type": "ipfix", "host": "127.0.0.1", "port": nfcapd.port, "records": "biflow"}
        await apply(flow_exports, group, ipfix, {"type": "eve", "path": "out/eve.json"})
        flow_exports.note(panes)
        await until(lambda: [each.exported_total for each in flow_exports.status] == [len(records)] * 2)
        flow_exports.set_gauges()
        assert [(each.name, each.kind, each.state, each.queued) for each in flow_exports.status] == [
            ("ipfix", "ipfix", "ok", 0),
            ("eve", "eve", "ok", 0),
        ]
        await flow_exports.stop(deadline=2.0)
    nfcapd.stop()
    assert len(nfcapd.flows()) == len(records)
    lines = [json.loads(line) for line in (legs.state_dir / "out" / "eve.json").read_text().splitlines()]
    assert sorted(line["flow_id"] for line in lines) == sorted(records["flow_id"].tolist())
    rendered = legs.metrics.render().decode()
    assert f'netmote_exported_flows_total{{exporter="ipfix"}} {len(records)}.0' in rendered
    assert not legs.discards.totals


async def test_an_unchanged_exporter_goes_on(legs: Legs) -> None:
    """Adding, changing and removing exporters leaves the sessions of the others alone; totals outlive a change."""
    one, other = await TcpCollector().start(), await TcpCollector().start()
    flow_exports = made(legs)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        first = {"type": "ipfix", "host": "127.0.0.1", "port": one.port, "transport": "tcp"}
        second = {**first, "port": other.port, "name": "second"}
        await apply(flow_exports, group, first)
        (kept,) = flow_exports.processes
        flows = len(assembled(batches()))
        flow_exports.note(batches())
        await until(lambda: kept.tally.flows == flows)
        await apply(flow_exports, group, second, first)
        assert flow_exports.processes[1] is kept
        await apply(flow_exports, group, {**first, "records": "biflow"})
        assert flow_exports.processes[0] is not kept
        assert flow_exports.status[0].exported_total == flows
        flow_exports.note(batches())
        await until(lambda: flow_exports.status[0].exported_total == 2 * flows)
        await flow_exports.stop(deadline=1.0)
        await one.read_all()
    assert len(one.sessions) == 2
    assert all(set_ids(session[0]) == [2, 3] for session in one.sessions)
    assert flow_exports.processes == []
    assert not legs.health.reasons
    await one.stop()
    await other.stop()


async def test_nothing_leaves_unless_configured(legs: Legs) -> None:
    """Without an exporter no pane is kept, and none is after the last exporter has gone."""
    flow_exports = made(legs)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await apply(flow_exports, group)
        flow_exports.note(batches())
        assert not flow_exports._panes
        await apply(flow_exports, group, {"type": "eve"})
        flow_exports.note([pane(0, ports=5)])
        await until(flow_exports._idle.is_set)
        assert flow_exports._assemblies
        await apply(flow_exports, group)
        assert not flow_exports._assemblies
        flow_exports.note([pane(1, ports=5)])
        assert not flow_exports._panes
        await flow_exports.stop(deadline=1.0)
        await flow_exports.stop(deadline=1.0)


async def test_what_is_lost_is_counted(legs: Legs) -> None:
    """A dead collector's queue loses its oldest flows; what never leaves is in the totals, by reason, once."""
    flow_exports = made(legs)
    gone = await TcpCollector().start()
    await gone.stop()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        dead = {"type": "ipfix", "host": "127.0.0.1", "port": gone.port, "transport": "tcp", "queue_size": 1000}
        await apply(flow_exports, group, dead)
        await until(lambda: flow_exports.status[0].state == "retrying")
        assert "refused" in flow_exports.status[0].last_error
        for number in range(3):
            ended = pane(number + 1, ports=800)
            ended.slices["flow_end_reason"] = 1
            ended.slices["flow_id"] += number * 1_000_000
            flow_exports.note([ended])
        await until(lambda: flow_exports.status[0].lost == {"queue_full": 3 * 801 - 1000})
        assert flow_exports.status[0].queued == 1000
        await flow_exports.stop(deadline=0.2)
    assert legs.discards.totals == {"flow_export/queue_full": 3 * 801 - 1000, "flow_export/stopped": 1000}


async def test_panes_that_cannot_be_assembled_in_time_are_counted(legs: Legs) -> None:
    """The queue before the assembly is bounded by slices; its oldest panes go, and ingest never waits."""
    flow_exports = made(legs, most_slices=1000)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await apply(flow_exports, group, {"type": "eve"})
        flow_exports.note([pane(number, ports=599) for number in range(4)])
        await until(flow_exports._idle.is_set)
        await flow_exports.stop(deadline=1.0)
    assert legs.discards.totals["flow_export/assembly_queue_full"] == 3 * 600


async def test_a_pane_that_cannot_be_assembled_costs_only_itself(legs: Legs) -> None:
    """A bug in the assembly is counted with the slices it cost; the panes after it leave."""
    flow_exports = made(legs)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await apply(flow_exports, group, {"type": "eve"})
        whole = pane(1, ports=3)
        broken = FlowBatch(whole.source, whole.start_ns, whole.end_ns, whole.interface, np.zeros(7, [("flow_id", "u8")]))
        flow_exports.note([broken, whole])
        await until(flow_exports._idle.is_set)
        await flow_exports.stop(deadline=1.0)
    assert len((legs.state_dir / "eve.json").read_text().splitlines()) == 4
    assert legs.discards.totals == {"flow_export/not_assembled": 7}


async def test_flows_without_an_end_leave_at_the_stop(legs: Legs) -> None:
    """A flow whose end was never told is exported when the daemon stops, as forced."""
    flow_exports = made(legs)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await apply(flow_exports, group, {"type": "eve"})
        flow_exports.note([pane(1, ports=3)])
        await until(flow_exports._idle.is_set)
        await flow_exports.stop(deadline=1.0)
    lines = [json.loads(line) for line in (legs.state_dir / "eve.json").read_text().splitlines()]
    assert len(lines) == 4
    assert {line["flow"]["reason"] for line in lines} == {"shutdown"}


async def test_losses_of_the_metering_are_told(legs: Legs) -> None:
    """What an interface dropped and ignored is summed over its panes for the collector's statistics."""
    flow_exports = made(legs)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await apply(flow_exports, group, {"type": "eve"})
        for number in range(2):
            empty = pane(number)
            loss = CaptureLoss(received=9, metered=2, refused=4, undecodable=(("not_ip", 3),), dropped=5)
            flow_exports.note([FlowBatch(empty.source, empty.start_ns, empty.end_ns, "eth0", empty.slices[:0], loss)])
        totals = flow_exports._metering["eth0"]
        assert (totals.ignored_packets, totals.dropped_packets) == (14, 10)
        await flow_exports.stop(deadline=1.0)


def test_names_are_unique() -> None:
    """Two exporters of one name would share totals: refused."""
    with pytest.raises(ValueError, match="given twice: eve"):
        exports({"type": "eve"}, {"type": "eve", "path": "other.json"})
