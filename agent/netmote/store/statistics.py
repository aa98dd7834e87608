"""What the store says about itself."""

from dataclasses import dataclass

_SMALLEST_SPAN_NS = 600 * 1_000_000_000  # below this a daily rate would be a guess
_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """One reading. Counters run since the store was opened."""

    telemetry_bytes: int  # all telemetry files with their logs
    ledger_bytes: int  # the ledger with its log
    wal_bytes: int  # of that and of the telemetry: logs not yet brought into their files
    held_log_bytes: int  # of these: what a reader's long transaction kept from being brought in at the last maintenance
    ledger_moves: int  # times the ledger went on in a copy, for such a reader
    free_bytes: int  # of the filesystem
    bytes_per_day: float | None  # of telemetry; None until ten minutes are recorded
    telemetry_written_bytes: int  # since the store was opened: what it cost the disk, in logs and files
    ledger_written_bytes: int
    written_per_day: float | None  # of telemetry; None until ten minutes were watched
    days_left: float | None  # until the floor of free space; None when the quota is reached first, or the rate is unknown
    oldest_ns: int | None  # event time of the oldest batch
    newest_ns: int | None
    telemetry_files: int
    is_telemetry_stored: bool  # False below the free-space floor
    is_reserve_held: bool
    appended_batches: int
    refused_batches: int  # for want of room
    damaged_batches: int  # failed their check when read
    damaged_alerts: int
    expired_alerts: int  # every sink was done with them, older than alert_age
    expired_for_room: int  # removed to make room under the ledger's quota
    expired_queued: int  # no longer offered to a sink that did not take them within queued_age
    unlinked_files: int
    recoveries: int
    recovered_from_log: int  # committed revisions behind a damaged frame of the ledger's log, put back at start
    batches_from_log: int  # the same of telemetry
    gaps: int


def daily_rate(total_bytes: int, span_ns: int) -> float | None:
    """Bytes a day over a span of running time."""
    return None if span_ns < _SMALLEST_SPAN_NS else total_bytes * _DAY_NS / span_ns


def days_of_disk(*, free_bytes: int, floor: int, telemetry_bytes: int, quota: int, bytes_per_day: float | None) -> float | None:
    """Days until the free-space floor at this rate; None when retention by quota keeps the disk from filling."""
    room = max(0, free_bytes - floor)
    if not bytes_per_day or quota - telemetry_bytes < room:
        return None
    return room / bytes_per_day
