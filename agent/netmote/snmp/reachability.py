"""Whether a device answers: a state machine over the outcomes of polls. Pure.

    unknown ──answered──► up ◄──answered── unreachable
       │                  │ ▲                  ▲
       └──── refused ───► │ └──answered──┐     │ FAILED_POLLS silences in a row
                          └─ refused ► snmp_broken

A refusal is an answer that is of no use (wrong credentials, unreadable, error-status): the device is there, SNMP is not.
A host that says that no agent listens is there too; nothing can be read of it all the same, so for the alert that is silence.
One silence changes nothing, the second in a row makes `device_unreachable` begin; the next answer of any kind ends it.
A device that never answered is announced the same way. The first answer of all ends the condition too, because it may have
begun before this process did.
"""

from enum import StrEnum

FAILED_POLLS = 2


class DeviceState(StrEnum):
    """What `netmote status` shows of a device."""

    UNKNOWN = "unknown"  # not polled yet, or not long enough to tell
    UP = "up"
    SNMP_BROKEN = "snmp_broken"
    UNREACHABLE = "unreachable"


class Reachability:
    """The state of one device. Each method returns the value of a `device_unreachable` fact to emit, or None."""

    def __init__(self) -> None:
        self.state = DeviceState.UNKNOWN
        self.silences = 0  # polls in a row without any answer
        self._is_announced: bool | None = None

    def answered(self) -> float | None:
        """A poll was answered."""
        self.state = DeviceState.UP
        return self._there()

    def refused(self) -> float | None:
        """The device answered, but not what was asked."""
        self.state = DeviceState.SNMP_BROKEN
        return self._there()

    def silent(self, *, is_host_there: bool = False) -> float | None:
        """A poll got no answer at all; `is_host_there`: but the host's word that no agent listens (ICMP port unreachable)."""
        self.silences += 1
        if self.silences < FAILED_POLLS:
            return None
        self.state = DeviceState.SNMP_BROKEN if is_host_there else DeviceState.UNREACHABLE
        if self._is_announced:
            return None
        self._is_announced = True
        return 1.0

    def _there(self) -> float | None:
        self.silences = 0
        if self._is_announced is False:
            return None
        self._is_announced = False
        return 0.0
