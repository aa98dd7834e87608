"""What is shown of one polled device: its state, how its polls ended, and what was learnt of it."""

from dataclasses import dataclass

from netmote.snmp.reachability import DeviceState


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """What `netmote status` shows of one device."""

    name: str
    address: str
    state: DeviceState
    is_on_probation: bool
    last_success_age_seconds: float | None
    last_error: str  # "<error>: <sentence>", and after silence what is known of the host; "" when the last poll was answered
    round_trip_seconds: float | None
    polls: dict[str, int]  # by outcome, and "skipped": slots that passed while a poll still ran
    interfaces: int
    stale_rows: int  # rows of ifTable that another row replaced
    sys_descr: str
    backend: str  # what speaks with it, now or at the next poll
    fallback_reason: str  # why that is not the first choice; "" where it is
    quirks: tuple[str, ...] = ()  # what it was found to need, and why its rates are not finer
    timeout_seconds: float | None = None  # how long a request waits for its answer before it is sent again
    identity: str = ""  # who it says it is: serial number, else engine id

    @property
    def reason(self) -> str:
        """Why it is not up."""
        return self.last_error
