"""Evidence follows committed alerts: the right packets, once, within its bounds, and its failures are its own."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from daemon_legs import Legs, until
from frames_in_memory import frames_of
from sample_alert import sample_alert
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

from netmote.alerts.alert import Alert, AlertState, Committed
from netmote.capture.config import CaptureConfig
from netmote.capture.frames import LINKTYPE_ETHERNET
from netmote.capture.pcap_file import read_capture
from netmote.capture.recent_headers import RecentHeaders
from netmote.daemon.evidence import Evidence
from netmote.daemon.evidence_files import EvidenceFiles, evidence_dir, evidence_path
from netmote.records.entity import Entity, EntityKind
from netmote.windows.vector import FlowEvidence, WindowEvidence

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND  # of `frames_of`: a frame a second


def packet(source: str, destination: str, port: int) -> bytes:
    return bytes(Ether(src="02::1", dst="02::2") / IP(src=source, dst=destination) / TCP(sport=4000, dport=port))


class Scene:
    """One interface with two minutes of packets: the scanner's, others' and ARP in turn."""

    def __init__(self, legs: Legs, *, per_minute: int = 10, **capture: object) -> None:
        self.legs = legs
        self.recent = self.interface("eth0")
        self.interfaces = [self.recent]
        self.evidence = Evidence(
            EvidenceFiles(legs.state_dir),
            sensor="s1",
            recents=lambda: self.interfaces,
            clock=legs.clock,
            health=legs.health,
            metrics=legs.metrics,
            per_minute=per_minute,
        )
        self.evidence.apply(CaptureConfig.model_validate(capture), free_space_floor=0)
        legs.clock.advance((BEGIN + 200 * SECOND - legs.clock.now_ns()) / 1e9)

    @staticmethod
    def interface(name: str) -> RecentHeaders:
        recent = RecentHeaders(interface=name, link_type=LINKTYPE_ETHERNET, size_bytes=1_000_000, random=Random(1))
        in_turn = [
            packet("192.0.2.7", "10.0.0.1", 80),
            packet("10.0.0.1", "10.0.0.2", 443),
            bytes(Ether() / ARP(pdst="192.0.2.7")),
        ]
        recent.write(frames_of(in_turn * 40))
        return recent

    def outcomes(self) -> dict[str, float]:
        return {
            sample.labels["outcome"]: sample.value
            for family in self.legs.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "netmote_evidence_requests_total"
        }

    async def serve(self, *alerts: Alert) -> None:
        """Note the alerts, and run until each has an outcome."""
        before = sum(self.outcomes().values())
        self.evidence.note([committed(alert) for alert in alerts])
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            task = group.create_task(self.evidence.run())
            await until(lambda: sum(self.outcomes().values()) >= before + len(alerts))
            await asyncio.sleep(0.05)
            task.cancel()

    def seconds(self, alert: Alert) -> list[int]:
        """When the packets of an alert's file passed, from the beginning of the scene."""
        blocks = list(read_capture(evidence_path(self.legs.state_dir, alert.alert_id)))
        times = np.concatenate([np.concatenate((each.timestamp_ns, each.undecodable_timestamp_ns)) for each in blocks])
        return ((times - BEGIN) // SECOND).tolist()


def committed(alert: Alert) -> Committed:
    return Committed("s1", "e", 1, alert.fired_at_ns, alert)


def scan(number: int = 1, *, begin: int = 0, end: int = 60, **changes: object) -> Alert:
    alert = sample_alert(number)
    begin_ns, end_ns = BEGIN + begin * SECOND, BEGIN + end * SECOND
    return replace(alert, **{"window_start_ns": begin_ns, "window_end_ns": end_ns, "last_seen_ns": end_ns, **changes})


async def test_packets_of_the_host_within_the_window(legs: Legs) -> None:
    """Exactly the entity's packets, both directions, of the alert's window."""
    scene = Scene(legs)
    await scene.serve(scan())
    assert scene.seconds(scan()) == list(range(0, 60, 3))
    assert scene.outcomes() == {"written": 1}
    assert not legs.health.reasons


async def test_an_update_adds_later_packets_once(legs: Legs) -> None:
    """The next revision's window overlaps the first one's: no packet is written twice."""
    scene = Scene(legs)
    await scene.serve(scan())
    await scene.serve(scan(begin=30, end=90, revision=2))
    assert scene.seconds(scan()) == list(range(0, 90, 3))


async def test_packets_that_may_still_be_on_their_way_are_left_to_an_update(legs: Legs) -> None:
    """What is written ends a second before now, so that an update never leaves a hole."""
    scene = Scene(legs)
    legs.clock.advance(-140.0)
    await scene.serve(scan(end=90))
    assert scene.seconds(scan())[-1] == 57
    legs.clock.advance(140.0)
    await scene.serve(scan(end=90, revision=2))
    assert scene.seconds(scan()) == list(range(0, 90, 3))


async def test_flows_named_by_the_alert(legs: Legs) -> None:
    """For what is no host the named flows are the evidence."""
    scene = Scene(legs)
    flow = FlowEvidence("10.0.0.2", 443, "10.0.0.1", 4000, 6, octets=1, packets=1, slices=1)
    alert = scan(entity=Entity(EntityKind.SENSOR, "s1"), evidence=WindowEvidence(top_flows=(flow,)))
    await scene.serve(alert)
    assert scene.seconds(alert) == list(range(1, 60, 3))


async def test_an_interface_alert_has_the_newest_packets_of_that_interface(legs: Legs) -> None:
    """All that passed there, ARP too; an instant is shown with the minute before it; other interfaces have no part in it."""
    scene = Scene(legs)
    scene.interfaces.append(scene.interface("eth1"))
    alert = scan(begin=100, end=100, entity=Entity(EntityKind.INTERFACE, "s1/eth1"))
    await scene.serve(alert)
    blocks = list(read_capture(evidence_path(legs.state_dir, alert.alert_id)))
    assert {block.interface for block in blocks} == {"eth1"}
    assert sorted(scene.seconds(alert)) == list(range(40, 100))


async def test_every_capture_is_asked_for_a_host(legs: Legs) -> None:
    """A host seen on two interfaces has the packets of both."""
    scene = Scene(legs)
    scene.interfaces.append(scene.interface("eth1"))
    await scene.serve(scan())
    assert {block.interface for block in read_capture(evidence_path(legs.state_dir, scan().alert_id))} == {"eth0", "eth1"}
    assert len(scene.seconds(scan())) == 40


@pytest.mark.parametrize(
    "changes",
    [
        {"state": AlertState.RESOLVED},
        {"entity": Entity(EntityKind.DEVICE, "sw1")},
        {"entity": Entity(EntityKind.INTERFACE, "sw1/ge0")},
        {"entity": Entity(EntityKind.HOST, "not-an-address")},
        {"begin": -60, "end": 0},
    ],
)
async def test_what_has_no_packets_here_is_not_asked_for(legs: Legs, changes: dict[str, object]) -> None:
    """Ended alerts, other people's devices, and what was before the first packet cost nothing and are no outcome."""
    scene = Scene(legs)
    await scene.serve(scan(2))
    scene.evidence.note([committed(scan(**changes))])
    await scene.serve(scan(3))
    assert scene.outcomes() == {"written": 2}


async def test_the_file_says_what_it_is(legs: Legs) -> None:
    """Its comment names the alert, and of how many packets these are."""
    scene = Scene(legs)
    await scene.serve(scan())
    said = evidence_path(legs.state_dir, scan().alert_id).read_bytes()
    assert f"netmote alert {scan().alert_id} revision 1: of about 20 packets of host:192.0.2.7 20 were kept".encode() in said


async def test_nothing_seen_and_nothing_wanted(legs: Legs) -> None:
    """No packet: no file, counted. Turned off: not even that."""
    scene = Scene(legs)
    alert = scan(entity=Entity(EntityKind.HOST, "198.51.100.9"))
    await scene.serve(alert)
    assert scene.outcomes() == {"empty": 1}
    assert not evidence_path(legs.state_dir, alert.alert_id).exists()
    scene.evidence.apply(CaptureConfig.model_validate({"evidence_size": "0B"}), free_space_floor=0)
    scene.evidence.note([committed(scan())])
    await scene.serve()
    assert scene.outcomes() == {"empty": 1}


async def test_a_storm_of_alerts_is_bounded_and_counted(legs: Legs) -> None:
    """Beyond what a minute may cost, requests are refused and counted; updates leave room for new alerts; a minute later all is well."""
    scene = Scene(legs)
    await scene.serve(*(scan(number, revision=2) for number in range(1, 16)))
    assert scene.outcomes() == {"written": 5, "refused": 10}
    await scene.serve(*(scan(number) for number in range(20, 40)))
    assert scene.outcomes() == {"written": 10, "refused": 25}
    legs.clock.advance(61.0)
    await scene.serve(scan(50))
    assert scene.outcomes() == {"written": 11, "refused": 25}


async def test_the_queue_is_bounded_and_revisions_of_one_alert_are_one_request(legs: Legs) -> None:
    """While nobody serves it, at most sixteen alerts wait, whatever comes; those that wait when it stops are counted."""
    scene = Scene(legs, per_minute=100)
    scene.evidence.note([committed(scan(number)) for number in range(1, 19)])
    scene.evidence.note([committed(scan(1, revision=revision)) for revision in range(2, 9)])
    assert scene.outcomes() == {"refused": 2}
    await scene.serve()
    assert scene.outcomes()["written"] + scene.outcomes().get("abandoned", 0) == 16


async def test_a_directory_that_cannot_be_written_costs_evidence_alone(legs: Legs) -> None:
    """The failure is a reason of its own and an outcome; once it can be written again the reason goes."""
    scene = Scene(legs)
    evidence_dir(legs.state_dir).write_text("in the way")
    await scene.serve(scan())
    assert scene.outcomes() == {"failed": 1}
    assert "packets behind alerts are not written" in legs.reason("evidence")
    evidence_dir(legs.state_dir).unlink()
    await scene.serve(scan(revision=2))
    assert scene.outcomes() == {"failed": 1, "written": 1}
    assert legs.reason("evidence") is None


async def test_the_bounds_of_the_document_hold(legs: Legs, tmp_path: Path) -> None:
    """A file is at most as large as written, all of them too, and old ones go."""
    scene = Scene(legs, evidence_file_size="10kB", evidence_disk_size="1MB", evidence_age="1h")
    scene.recent.write(frames_of([packet("192.0.2.7", "10.0.0.1", 80)] * 600))
    alert = scan(end=190)
    await scene.serve(alert)
    assert 8_000 < evidence_path(legs.state_dir, alert.alert_id).stat().st_size <= 10_000
    legs.clock.advance(3600.0)
    await scene.serve(scan(2))
    assert not evidence_path(legs.state_dir, alert.alert_id).exists()
