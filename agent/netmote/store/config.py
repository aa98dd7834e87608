"""Configuration of the local store."""

from pydantic import Field

from netmote.config.section import ByteSize, Duration, Section


class StoreConfig(Section):
    """How much is kept, and for how long."""

    # Ages count the time the agent ran (see store.running_time), so that no step of the wall clock removes anything.

    telemetry_age: Duration = Field(default=7 * 86400.0, ge=3600.0)
    """Telemetry older than this is unlinked, a day's file at a time. Ages count running time, so that no clock step removes anything."""

    telemetry_size: ByteSize = Field(default=2 * 10**9, ge=10**7)
    """Telemetry beyond this is unlinked, oldest day first."""

    daily_writes: ByteSize = Field(default=0, ge=0)
    """No telemetry is stored while this much was written for it within the last day of running: a memory card wears. 0: no limit."""

    alert_age: Duration = Field(default=90 * 86400.0, ge=86400.0)
    """Alerts that every sink is done with leave the ledger after this much running time; until then they can be sent again."""

    queued_age: Duration = Field(default=0.0, ge=0.0)
    """What a sink did not take within this much running time is given up for it: counted as expired, and announced. 0: it waits."""

    ledger_size: ByteSize = Field(default=256 * 10**6, ge=10**7)
    """Quota of the alert ledger (max_page_count)."""

    free_space_floor: ByteSize = Field(default=200 * 10**6, ge=0)
    """With less free disk than this, telemetry is no longer stored; alerts still are."""
