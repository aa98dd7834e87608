"""What `netmote doctor` makes of a running daemon's snapshot. Pure."""

from collections.abc import Iterator
from typing import Final

from netmote.cli.diagnosis import Diagnosis, fail, ok, warn
from netmote.cli.format import age, size
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.snapshot import InputStatus, SinkStatus, Snapshot

_TOLERATED_LOSS: Final = 0.0001
_OLD_SECONDS: Final = 600.0
_LOSS_FIXES: Final = {
    "ring": "raise capture.ring_size, or capture.workers where one core is not enough",
    "interface": "ethtool -S and -g show the card's drops and its own ring; ethtool -G rx enlarges it",
    "softnet": "sysctl net.core.netdev_max_backlog=5000, or spread the interrupts over more cores",
    "worker": "the journal says why a capture worker ended",
    "flow_table_full": "raise metering.max_flows (220 bytes a flow and interface), and MemoryMax= with it",
}


def examine_daemon(snapshot: Snapshot, *, installed: str) -> list[Diagnosis]:
    """Everything that does not go as it should. `installed` is the version of this command."""
    found = [_running(snapshot, installed)]
    found += [_reason(reason) for reason in snapshot.reasons]
    found += [
        fail(
            f"leg {leg.name}",
            f"has not turned for {age(leg.progress_age_seconds)}",
            "the journal says why; systemctl restart netmote",
        )
        for leg in snapshot.legs
        if not leg.is_alive
    ]
    for each in snapshot.inputs:
        found += _losses(each)
    for sink in snapshot.sinks:
        found += _sink(sink)
    found += [
        warn(
            f"export {each.name}",
            f"{sum(each.lost.values()):,} flow records were lost",
            "the collector is away or too slow for them",
        )
        for each in snapshot.exports
        if each.lost
    ]
    days = snapshot.store.days_left
    if days is not None and days < 1:
        found.append(
            warn("disk", f"the present rate fills it in {age(days * 86_400)}", "lower store.telemetry_size, or free some space")
        )
    return found


def _running(snapshot: Snapshot, installed: str) -> Diagnosis:
    up = age((snapshot.taken_at_ns - snapshot.started_at_ns) / 1e9)
    said = f"{snapshot.version} runs for {up} at level {snapshot.level.value}, {size(snapshot.memory_rss_bytes)} resident"
    if snapshot.version != installed:
        return warn("daemon", f"{said}; installed is {installed}", "systemctl restart netmote")
    return ok("daemon", said)


def _reason(reason: Reason) -> Diagnosis:
    """The daemon's own words; a reason that lowers the level is a failure, one that does not is a warning."""
    if reason.level is Level.FULL:
        return warn(reason.component, reason.text, "")
    return fail(
        reason.component, f"{reason.text} (level {reason.level.value})", "the journal has more: journalctl -u netmote -p warning"
    )


def _losses(each: InputStatus) -> Iterator[Diagnosis]:
    if each.kind != "capture":
        return
    for place, lost in each.dropped.items():
        if place in _LOSS_FIXES and lost > _TOLERATED_LOSS * (each.received_total + lost):
            share = 100 * lost / (each.received_total + lost)
            yield warn(f"capture {each.name}", f"{lost:,} packets ({share:.2g} %) were lost: {place}", _LOSS_FIXES[place])


def _sink(sink: SinkStatus) -> Iterator[Diagnosis]:
    subject = f"sink {sink.name}"
    if sink.queued and (sink.oldest_age_seconds or 0.0) > _OLD_SECONDS:
        text = f"{sink.queued:,} alerts wait, the oldest for {age(sink.oldest_age_seconds)}"
        yield warn(
            subject,
            text + (f": {sink.last_error}" if sink.last_error else ""),
            "they are sent when it takes them again; nothing is lost",
        )
    if sink.quarantined_total:
        text = f"{sink.quarantined_total:,} alerts were refused for ever"
        yield warn(
            subject, text, "the reasons stand in table quarantine of ledger.db; the receiver does not take what it was sent"
        )
