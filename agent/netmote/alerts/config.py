"""Configuration of the alert life."""

from pydantic import Field

from netmote.alerts.maintenance import MaintenanceWindow
from netmote.config.section import Duration, Section


class AlertsConfig(Section):
    """Deduplication and limits."""

    cool_down: Duration = Field(default=1800.0, ge=0.0)
    """After an alert resolved, the same one (same entity and cause) does not fire again for this long unless it is more severe."""

    max_active: int = Field(default=1_000, ge=1)
    """Pending and firing alerts held at once; when full, the least severe new ones are refused (counted)."""

    maintenance: tuple[MaintenanceWindow, ...] = ()
    """Recurring hours in which alerts are stored and shown, but not forwarded. One that still fires when its window ends is forwarded
    then."""

    forwarded_per_hour: int = Field(default=60, ge=1, le=100_000)
    """New alerts that are forwarded within an hour. Those beyond are stored and shown; one digest tells how many of which kind, and those
    that still fire are forwarded when there is room again. Critical ones always pass."""

    update_interval: Duration = Field(default=300.0, ge=10.0)
    """A firing alert is announced again with its new count at most this often."""
