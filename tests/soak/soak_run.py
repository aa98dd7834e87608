"""The whole daemon at a realistic load, watched from outside.

Switches that are polled, packets over a veth pair, a scan every half minute, and a collector that is away for ten seconds of every
twenty-five: how much of each is the profile's. Measured are memory and its slope, descriptors, threads, tasks, CPU by thread, and the books: every packet
received or counted as lost, in a slice or counted as not decodable; every poll recorded; every alert at the collector.
What grows, is lost, or is not accounted for is a complaint.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
sys.path.insert(0, str(Path(__file__).parent))
from processes import DaemonProcess, free_port, wait_for
from report import Row
from snmp_agent_farm import address
from soak_books import Alerts, Books, read_alerts, read_books
from soak_load import Load, Profile, prepared
from soak_memory import MemoryGroup
from soak_watch import Growth, Sample, Watch, fetch, growth, value

from netmote.capture.config import CaptureConfig
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_key import FlowHash
from netmote.metering.flow_table import FlowTable

POLL_SECONDS = 10.0
# A window ends a minute after its last pane at most, and lateness beyond.
_SETTLE_SECONDS = 12.0
# Windows of a minute, flows that are idle for half a minute and the allocator's heap are still filling in a short run: only from
# here on the slope means something.
_LONG_SECONDS = 900.0
_MOST_GROWTH_SHORT, _MOST_GROWTH_LONG = 30e6, 6e6  # bytes, from the second third to the last
_MOST_SLOPE = 12e6  # bytes an hour
_MOST_MORE = 3  # descriptors, threads, tasks: a connection of the sink that comes and goes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed."""

    profile: Profile
    seconds: float
    samples: list[Sample]
    missed: int
    cpu: dict[str, float]  # seconds by part
    sent: int
    books: Books
    alerts: Alerts
    outages: int
    discarded: float
    metrics: str
    table_and_ring: float  # bytes allocated at start
    most_memory: int  # bytes, page cache included; 0: not limited

    def growth(self, name: str) -> Growth:
        return growth([(sample.at, float(getattr(sample, name))) for sample in self.samples])

    @property
    def complaints(self) -> list[str]:
        """What must never be, however busy the machine is; empty when all is well."""
        books, alerts = self.books, self.alerts
        unaccounted = self.sent - books.received - books.dropped
        resident = self.growth("resident")
        most = _MOST_GROWTH_LONG if self.seconds >= _LONG_SECONDS else _MOST_GROWTH_SHORT
        found = [
            (unaccounted != 0, f"{unaccounted} packets are not accounted for"),
            (not books.is_whole, f"the books of packets do not add up: {books}"),
            (self.discarded > 0, f"{self.discarded:.0f} records were discarded"),
            (len(books.polls) != self.profile.devices, f"{len(books.polls)} of {self.profile.devices} devices were polled"),
            (alerts.created == 0, "nothing was alerted"),
            (alerts.queued + alerts.quarantined + alerts.missing > 0 or not alerts.identity_holds, f"alerts: {alerts}"),
            (resident.last - resident.first > most, f"memory grew by {(resident.last - resident.first) / 1e6:.1f} MB"),
            (
                self.seconds >= _LONG_SECONDS and resident.per_hour > _MOST_SLOPE,
                f"memory grows by {resident.per_hour / 1e6:.1f} MB an hour",
            ),
        ]
        for name in ("descriptors", "threads", "tasks"):
            grown = self.growth(name)
            found.append((grown.last - grown.first > _MOST_MORE, f"{name} grow from {grown.first:.0f} to {grown.last:.0f}"))
        return [text for is_so, text in found if is_so]

    @property
    def shortfalls(self) -> list[str]:
        """What a machine brings that has too little time for the daemon; empty where it has enough."""
        books = self.books
        unanswered = books.polls.total() - books.answered.total()
        found = [
            (books.dropped > 0, f"{books.dropped} packets were lost, and counted"),
            (unanswered > 0, f"{unanswered} polls were not answered"),
            (self._polls_missed > 0, f"{self._polls_missed} polls of one device are missing"),
        ]
        return [text for is_so, text in found if is_so]

    @property
    def _polls_missed(self) -> int:
        """Of the device with the fewest; the first and the last may fall outside."""
        expected = int(self.seconds / POLL_SECONDS) - 1
        return max(0, expected - min(self.books.polls.values(), default=0))


def soak(profile: Profile, seconds: float, folder: Path) -> Outcome:
    """Run it. The load is on the first processor, the daemon on the last."""
    processors = sorted(os.sched_getaffinity(0))
    with MemoryGroup(profile.memory) as group, prepared(profile, folder, seconds) as load:
        daemon = _daemon(load, folder, processors[-1])
        daemon.prefix = [*group.enter, *daemon.prefix]
        try:
            return _measured(daemon, load, seconds, processors[0], group)
        finally:
            daemon.close()


def _daemon(load: Load, folder: Path, processor: int) -> DaemonProcess:
    config = {
        "sensor": "soak",
        "capture": {"interfaces": [load.wire.right]},
        "snmp": {
            "interval": f"{POLL_SECONDS:g}s",
            "targets": [
                {"name": f"sw-{n:02}", "address": address(n), "port": load.agent_port} for n in range(load.profile.devices)
            ],
        },
        "web": {"port": free_port()},
        "store": {"free_space_floor": "1MB"},
        "sinks": [{"type": "webhook", "name": "upstream", "url": load.collector.url, "timeout": "2s"}],
    }
    return DaemonProcess(folder / "state", config, [*load.wire.inside(load.wire.right), "taskset", "-c", str(processor)])


def _measured(daemon: DaemonProcess, load: Load, seconds: float, processor: int, group: MemoryGroup) -> Outcome:
    daemon.start(60.0)
    assert daemon.process is not None
    namespace, port = load.wire.right, daemon.config["web"]["port"]

    def metrics() -> str:
        return fetch(namespace, port)

    def received() -> float:
        return value(metrics(), "netmote_received_packets_total") + value(metrics(), "netmote_dropped_packets_total")

    watch = Watch(daemon.process.pid, metrics, every=max(0.5, min(5.0, seconds / 100)))
    capturing = _capturing_thread(watch)
    began, before = time.monotonic(), watch.cpu_seconds()
    load.begin(seconds, processor)
    watch.start()
    load.end()
    lasted, spent = time.monotonic() - began, watch.cpu_seconds()
    watch.end()
    wait_for(lambda: received() >= load.sent, 15, "the last packets")
    time.sleep(_SETTLE_SECONDS)
    wait_for(lambda: not value(metrics(), "netmote_outbox_entries"), 70, "the delivery of the last alerts")
    last = metrics()
    assert daemon.stop() == 0, daemon.log
    cpu = {"capture and metering": 0.0, "event loop: SNMP, delivery, page": 0.0, "analysis and store": 0.0}
    for thread, total in spent.items():
        part = "capture and metering" if thread == capturing else "analysis and store"
        part = "event loop: SNMP, delivery, page" if thread == daemon.process.pid else part
        cpu[part] += total - before.get(thread, 0.0)
    table = FlowTable(MeteringConfig().max_flows, FlowHash(1)).memory_bytes
    return Outcome(
        profile=load.profile,
        seconds=lasted,
        samples=watch.samples,
        missed=watch.missed,
        cpu=cpu,
        sent=load.sent,
        books=read_books(daemon.state_dir),
        alerts=read_alerts(daemon.state_dir, "upstream", load.collector.database),
        outages=load.outages,
        discarded=value(last, "netmote_discarded_records_total", 'intentional="false"'),
        metrics=last,
        most_memory=group.most,
        table_and_ring=table + CaptureConfig().ring_size + CaptureConfig().evidence_size,
    )


def _capturing_thread(watch: Watch) -> int:
    """The one that waits in poll(2) for packets (system call 7 of x86-64); 0 where that cannot be told."""
    counts: dict[int, int] = {}
    for _ in range(20):
        for thread in watch.cpu_seconds():
            try:
                call = Path(f"/proc/{thread}/syscall").read_text().split()[0]
            except OSError:
                continue
            counts[thread] = counts.get(thread, 0) + (call in ("7", "271"))
        time.sleep(0.05)
    return max(counts, key=counts.__getitem__, default=0)


def rows(outcome: Outcome) -> list[Row]:
    """The table."""
    resident, books, alerts = outcome.growth("resident"), outcome.books, outcome.alerts
    load, share = outcome.profile, 100 / outcome.seconds
    total = sum(outcome.cpu.values())
    return [
        Row(
            f"{load.packets:,} packets and {load.flows:,} new flows a second, {load.devices} x {load.ports} ports",
            outcome.seconds,
            "s",
        ),
        Row("packets sent", outcome.sent, beside=f"{books.undecodable:,} not decodable, {books.refused:,} refused"),
        Row("packets lost", books.dropped, at_most=0),
        Row("packets not accounted for", outcome.sent - books.received - books.dropped, at_most=0),
        Row("packets received and in no slice", books.metered - books.in_slices, at_most=0),
        Row("records discarded", outcome.discarded, at_most=0),
        Row("polls recorded", sum(books.polls.values()), beside=f"{sum(books.answered.values()):,} answered"),
        Row("alerts forwarded", alerts.created, beside=f"{outcome.outages} outages of the collector"),
        Row("alerts missing at the collector", alerts.missing + alerts.queued, at_most=0),
        Row(
            "resident at the end",
            resident.last / 1e6,
            "MB",
            beside=f"{(resident.last - outcome.table_and_ring) / 1e6:.0f} MB beside ring and table",
        ),
        *(
            [Row("memory with page cache, largest", outcome.most_memory / 1e6, "MB", at_most=load.memory / 1e6)]
            if load.memory
            else []
        ),
        Row("slope of resident after the warm-up", resident.per_hour / 1e6, "MB/h"),
        *(
            Row(f"{name} at the end", outcome.growth(name).last, beside=f"{outcome.growth(name).first:.0f} before")
            for name in ("descriptors", "threads", "tasks")
        ),
        Row("CPU of the whole daemon, share of a core", total * share, "%"),
        *(Row(f"- {part}", seconds * share, "%") for part, seconds in outcome.cpu.items()),
        Row("event loop held, longest", 1e3 * value(outcome.metrics, "netmote_event_loop_lag_max_seconds"), "ms"),
    ]
