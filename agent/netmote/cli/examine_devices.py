"""What `netmote doctor` finds of the polled devices: one GET of sysUpTime to each, beside what a running daemon says of them."""

import asyncio
from collections.abc import Sequence
from random import SystemRandom
from typing import Final

from netmote.cli.diagnosis import Diagnosis, Verdict, fail, ok, warn
from netmote.cli.service_sandbox import is_denied
from netmote.clock import Clock
from netmote.daemon.config import Config
from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.backends import Backends
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import SecretMissing, reveal_credentials
from netmote.snmp.session import (
    CREDENTIAL_ERRORS,
    AddressUnknown,
    AgentNotListening,
    NetworkUnreachable,
    RequestTimedOut,
)
from netmote.telemetry.snapshot import DeviceStatus

_AT_ONCE: Final = 50
# The first that fits: more special kinds stand before those they are.
_DEVICE_FIXES: Final[tuple[tuple[type[NetmoteError] | tuple[type[NetmoteError], ...], str], ...]] = (
    (SecretMissing, "see the line of that secret"),
    (AgentNotListening, "the host is there, but no agent on UDP port PORT: start it, or correct the port"),
    (AddressUnknown, "correct the name, or write the address"),
    (NetworkUnreachable, "ip route get shows the way; a firewall here may forbid it"),
    (
        RequestTimedOut,
        "a wrong community looks the same: try `netmote poll`; check the device's access list and what lies between",
    ),
    (CREDENTIAL_ERRORS, "the device answers and refuses: correct user, protocols or passwords"),
)


async def examine_devices(config: Config, known: Sequence[DeviceStatus], *, clock: Clock) -> list[Diagnosis]:
    """Ask every target once, `_AT_ONCE` at a time. `known` is what a running daemon says of them."""
    states = {device.name: device.state for device in known}
    turns = asyncio.Semaphore(_AT_ONCE)
    backends = Backends(clock=clock, random=SystemRandom())

    async def one(target: TargetConfig) -> Diagnosis:
        async with turns:
            return _compared(await _device(backends, config.snmp.resolved(target)), target, states.get(target.name, ""))

    try:
        return list(await asyncio.gather(*(one(target) for target in config.snmp.targets)))
    finally:
        await backends.close()


async def _device(backends: Backends, target: TargetConfig) -> Diagnosis:
    subject = f"device {target.name}"
    try:
        session = await backends.open(target, reveal_credentials(target))
        try:
            for attempt in range(target.retries + 1):
                try:
                    reply = await session.get((mib.SYS_UP_TIME,))
                    break
                except RequestTimedOut:
                    if attempt == target.retries:
                        raise
        finally:
            await session.close()
    except NetmoteError as error:
        return fail(subject, f"{target.address}: {error}", _device_fix(error, target))
    return ok(subject, f"{target.address} answers in {reply.round_trip_seconds * 1e3:.1f} ms")


def _device_fix(error: NetmoteError, target: TargetConfig) -> str:
    fix = next((fix for kinds, fix in _DEVICE_FIXES if isinstance(error, kinds)), "`netmote poll` shows more")
    return fix.replace("PORT", str(target.port))


def _compared(mine: Diagnosis, target: TargetConfig, state: str) -> Diagnosis:
    """This command against the service: what answers one and not the other is a matter of the service's sandbox or secrets."""
    if mine.verdict is Verdict.OK and state in ("unreachable", "snmp_broken"):
        fix = (
            f"allow it: systemctl edit netmote, [Service] IPAddressAllow={target.address}"
            if is_denied(target.address)
            else ("has the service the same secret? credentials are read at its start: systemctl restart netmote")
        )
        return warn(mine.subject, f"{mine.text}, but the service finds it {state}", fix)
    return mine
