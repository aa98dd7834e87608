"""Recurring hours in which work is expected: matching alerts are stored and shown, but not forwarded.

A window is weekly, by the wall clock of its time zone, daylight saving included; one that ends before it begins ends the next day.
Judged by event time, so that a replay silences what the live run silenced.
"""

from datetime import UTC, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Section
from netmote.records.entity import Entity, EntityKind

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class MaintenanceWindow(Section):
    """One recurring window."""

    name: str = Field(min_length=1, max_length=64)
    """What is done in it; said where an alert is shown as silenced."""

    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)
    """The days on which it begins."""

    begins: time
    """When it begins, as "22:30"."""

    ends: time
    """When it ends; at or before `begins`: the next day."""

    zone: str = "UTC"
    """The time zone of both, such as Europe/Berlin."""

    rule: str | None = None
    """Only alerts of this rule or contributor group. Unset: all."""

    entity: str | None = None
    """Only alerts of this entity, such as device:sw1, or of every port of a device as interface:sw1/*. Unset: all."""

    @field_validator("begins", "ends", mode="before")
    @classmethod
    def _is_time(cls, value: Any) -> Any:
        # YAML 1.1 reads an unquoted 22:30 as 1350, a number of base sixty.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
            return time(*divmod(value, 60))
        return value

    @field_validator("begins", "ends")
    @classmethod
    def _is_of_no_zone(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("has a zone of its own; write it as zone:")
        return value

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone of this machine (see `timedatectl list-timezones`)") from error
        return name

    @model_validator(mode="after")
    def _is_entity(self) -> "MaintenanceWindow":
        if self.entity is not None:
            try:
                Entity.parse(self.entity)
            except ValueError as error:
                kinds = ", ".join(EntityKind)
                raise ValueError(f"entity {self.entity!r} is not written <kind>:<name>, kind one of {kinds}") from error
        return self

    def covers(self, group: str, entity: Entity, now_ns: int) -> bool:
        """Whether alerts of this group and entity are silenced at that event time."""
        return self.rule in (None, group) and self._is_of(entity) and self._is_open(now_ns)

    def _is_of(self, entity: Entity) -> bool:
        if self.entity is None:
            return True
        if self.entity.endswith("*"):
            return str(entity).startswith(self.entity[:-1])
        return str(entity) == self.entity

    def _is_open(self, now_ns: int) -> bool:
        now = datetime.fromtimestamp(now_ns / 1e9, UTC).astimezone(ZoneInfo(self.zone))
        at, today = now.time(), DAYS[now.weekday()]
        if self.begins < self.ends:
            return today in self.days and self.begins <= at < self.ends
        yesterday = DAYS[now.weekday() - 1]
        return (today in self.days and at >= self.begins) or (yesterday in self.days and at < self.ends)
