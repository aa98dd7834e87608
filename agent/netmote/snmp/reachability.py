"""Whether a device answers: a state machine over the outcomes of polls. Pure.

    unknown ──answered──► up ◄──answered── unreachable
       │                  │ ▲                  ▲ │
       └──── refused ───► │ └──answered──┐     │ │ the host is seen
                          └─ refused ► snmp_broken
                                             FAILED_POLLS silences in a row, and the host is not seen

A refusal is an answer that is of no use (wrong credentials, unreadable, error-status): the device is there, SNMP is not. After silence
somebody looks for the host by other means (`host_probe`); a host that says that no agent listens is there too.

Two conditions come of it, never both at once. `device_unreachable`: nothing comes at all. `snmp_broken`: the host is there, and nothing
of use can be read. One silence changes nothing and one refusal announces nothing; the second failure in a row begins the condition, the
next answer ends it. A device that never answered is announced the same way. The first sign of life ends a condition that may have begun
before this process did. A host that was seen while SNMP was silent has to be missed twice to count as gone: an echo is lost easily.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

FAILED_POLLS = 2

UNREACHABLE_FACT: Final = "device_unreachable"
BROKEN_FACT: Final = "snmp_broken"


class DeviceState(StrEnum):
    """What `netmote status` shows of a device."""

    UNKNOWN = "unknown"  # not polled yet, or not long enough to tell
    UP = "up"
    SNMP_BROKEN = "snmp_broken"
    UNREACHABLE = "unreachable"


class Reachability:
    """The state of one device. Each method returns the facts to emit: name to value, 1 for a condition's begin, 0 for its end."""

    def __init__(self) -> None:
        self.state = DeviceState.UNKNOWN
        self.silences = 0  # polls in a row without any answer
        self._failures = 0  # polls in a row of no use
        self._missed = 0  # times in a row that the host was not seen
        self._announced: dict[str, bool | None] = {UNREACHABLE_FACT: None, BROKEN_FACT: None}

    def answered(self) -> Mapping[str, float]:
        """A poll was answered."""
        self.state = DeviceState.UP
        self.silences = self._failures = self._missed = 0
        return self._now(UNREACHABLE_FACT, holds=False) | self._now(BROKEN_FACT, holds=False)

    def refused(self) -> Mapping[str, float]:
        """The device answered, but not what was asked."""
        self.state = DeviceState.SNMP_BROKEN
        self.silences = self._missed = 0
        self._failures += 1
        facts = self._now(UNREACHABLE_FACT, holds=False)
        return facts | self._now(BROKEN_FACT, holds=True) if self._failures >= FAILED_POLLS else facts

    def silent(self, *, is_host_there: bool = False) -> Mapping[str, float]:
        """A poll got no answer at all; `is_host_there`: but the host was seen otherwise, or said that no agent listens."""
        self.silences += 1
        self._failures += 1
        self._missed = 0 if is_host_there else self._missed + 1
        if self.silences < FAILED_POLLS:
            return {}
        if is_host_there or (self.state is DeviceState.SNMP_BROKEN and self._missed < FAILED_POLLS):
            self.state = DeviceState.SNMP_BROKEN
            ended = self._now(UNREACHABLE_FACT, holds=False) if self._announced[UNREACHABLE_FACT] else {}
            return ended | self._now(BROKEN_FACT, holds=True)
        self.state = DeviceState.UNREACHABLE
        ended = self._now(BROKEN_FACT, holds=False) if self._announced[BROKEN_FACT] else {}
        return ended | self._now(UNREACHABLE_FACT, holds=True)

    def _now(self, fact: str, *, holds: bool) -> dict[str, float]:
        """The fact, if it is news."""
        if self._announced[fact] is holds:
            return {}
        self._announced[fact] = holds
        return {fact: float(holds)}
