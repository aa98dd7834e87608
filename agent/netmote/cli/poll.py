"""`netmote poll`: ask one SNMP device now, as the daemon would."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netmote.cli.options import JsonOption
from netmote.cli.snmp_options import (
    V3_PANEL,
    AuthPasswordFileOption,
    AuthProtocolOption,
    PrivPasswordFileOption,
    PrivProtocolOption,
    RetriesOption,
    TimeoutOption,
    UserOption,
    Version,
    VersionOption,
    usm_settings,
)

if TYPE_CHECKING:
    from netmote.cli.poll_output import PollOutput
    from netmote.errors import NetmoteError
    from netmote.snmp.config import TargetConfig
    from netmote.snmp.credentials import Credentials
    from netmote.snmp.profiles.loader import ProfileSet
    from netmote.snmp.quirks import Quirks
    from netmote.snmp.reading import DeviceReading
    from netmote.snmp.session import SnmpSession


class BackendName(StrEnum):
    """Back ends, as the configuration names them."""

    AUTO = "auto"
    NATIVE = "native"
    PYSNMP = "pysnmp"


_MOST_GAUGES = 10_000
_FORWARDING_REQUESTS = 500  # of 20 stations
_DETAILS_REQUESTS = 1000  # somebody looks, and waits


def poll(
    target: Annotated[
        str, typer.Argument(help="Address, address:port or [IPv6]:port; with --config, a target's name.", show_default=False)
    ],
    config: Annotated[
        Path | None,
        # Not $NETMOTE_CONFIG, which an installed sensor always has: it would turn every address into an unknown name.
        typer.Option("--config", "-c", help="Configuration file in which the target is a name.", show_default=False),
    ] = None,
    version: VersionOption = Version.V2C,
    community: Annotated[
        str,
        typer.Option(
            help="Community, as it is or by reference (file:PATH, env:NAME, credential:NAME). "
            "Other users of this machine can read the command line: prefer a reference to a secret community."
        ),
    ] = "public",
    user: UserOption = None,
    auth_protocol: AuthProtocolOption = None,
    auth_password_file: AuthPasswordFileOption = None,
    priv_protocol: PrivProtocolOption = None,
    priv_password_file: PrivPasswordFileOption = None,
    context: Annotated[str, typer.Option(help="contextName.", rich_help_panel=V3_PANEL)] = "",
    backend: Annotated[
        BackendName | None,
        typer.Option(help="What speaks SNMP. Unset: as configured, else auto.", show_default=False),
    ] = None,
    timeout: TimeoutOption = 2.0,
    retries: RetriesOption = 1,
    count: Annotated[int, typer.Option(min=1, help="How many polls. From the second on, what changed since the one before.")] = 1,
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between polls.")] = 10.0,
    details: Annotated[bool, typer.Option(help="Read what lies beyond the ports too: CPU, memory, sensors, neighbours.")] = True,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Try a profile: what each of its objects gives on this device, or why nothing. Whatever the device's sysObjectID.",
            show_default=False,
        ),
    ] = None,
    json_lines: JsonOption = False,
) -> None:
    """Ask one device for its interfaces, and what lies beyond them, and print what it answers.

    One poll prints readings: every counter as it stands. With --count the polls after the first print records:
    what each counter grew by, or why that cannot be told. An IF-MIB counter that the device lacks is null.

    Example: netmote poll 192.0.2.1 --community public --count 3 --interval 10
    """
    import asyncio

    from pydantic import ValidationError

    from netmote.cli.poll_output import PollOutput
    from netmote.errors import NetmoteError

    if version is Version.V3 and user is None and config is None:
        raise typer.BadParameter("version 3 needs a --user")
    try:
        if config is not None:
            device, credentials = _configured(config, target)
        else:
            usm = None
            if user is not None:
                usm = usm_settings(user, auth_protocol, auth_password_file, priv_protocol, priv_password_file)
                usm["context_name"] = context
            device, credentials = _given(target, version, community, usm, timeout, retries)
        profiles = _profiles(config, profile) if details or profile else None
        if backend is not None:
            device = type(device).model_validate({**device.model_dump(), "backend": backend.value})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".lstrip(": ") for problem in error.errors())
        typer.echo(f"netmote poll {target}: {problems}", err=True)
        raise typer.Exit(2) from error
    except NetmoteError as error:
        typer.echo(f"netmote poll {target}: {error}", err=True)
        raise typer.Exit(1) from error
    try:
        output = PollOutput(device, json_lines=json_lines)
        beyond = None if profiles is None else _Beyond(device.name, profiles, json_lines=json_lines)
        asyncio.run(_poll(device, credentials, output, beyond, count=count, interval=interval))
    except NetmoteError as error:
        typer.echo(f"netmote poll {target}: {error}{_of_its_host(device, error)}", err=True)
        raise typer.Exit(1) from error


def _of_its_host(device: "TargetConfig", error: "NetmoteError") -> str:
    """After silence: whether the device is there at all."""
    import asyncio

    from netmote.snmp.host_probe import HostProbe
    from netmote.snmp.session import RequestTimedOut

    if not isinstance(error, RequestTimedOut):
        return ""

    async def look() -> str:
        return (await HostProbe().look(device.address, device.port)).how

    return f"; {asyncio.run(look())}"


async def _poll(
    device: "TargetConfig",
    credentials: "Credentials",
    output: "PollOutput",
    beyond: "_Beyond | None",
    *,
    count: int,
    interval: float,
) -> None:
    import asyncio
    from random import SystemRandom

    from netmote.clock import SystemClock
    from netmote.snmp.backends import Backends
    from netmote.snmp.careful_session import read_device
    from netmote.snmp.history import DeviceHistory
    from netmote.snmp.paced_session import PacedSession, SendWindow
    from netmote.snmp.quirks import QuirkLearner
    from netmote.snmp.reading import DeviceReader
    from netmote.snmp.round_trips import RoundTrips
    from netmote.snmp.walk import REQUESTS_IN_FLIGHT

    clock = SystemClock()
    backend = Backends(clock=clock, random=SystemRandom())
    try:
        times = RoundTrips(device.timeout)
        session = PacedSession(
            await backend.open(device, credentials), SendWindow(REQUESTS_IN_FLIGHT), retries=device.retries, round_trips=times
        )
        reader = DeviceReader(clock=clock, max_repetitions=device.max_repetitions)
        history, learner = DeviceHistory(device.name), QuirkLearner()
        began = clock.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number * interval - clock.monotonic()))
            reading = await read_device(reader, session, learner, is_doubtful=number == 0)
            batch, facts = history.observe(reading)
            if number == 0:
                output.reading(reading, batch, via=session.backend, quirks=learner.quirks.described)
            else:
                learner.refreshes_every(history.refresh_period)
                output.records(reading, batch, facts, via=session.backend, quirks=learner.quirks.described)
            if beyond is not None:
                await beyond.show(session, reading, learner.quirks)
            times.poll_ended()
    finally:
        await backend.close()


class _Beyond:
    """What lies beyond the ports, read and printed after each poll."""

    def __init__(self, device: str, profiles: "ProfileSet", *, json_lines: bool) -> None:
        from netmote.clock import SystemClock
        from netmote.snmp.details.details_reader import DetailsReader

        self._device, self._json_lines = device, json_lines
        self._reader = DetailsReader(
            device,
            interval=0.0,
            profiles=profiles,
            max_gauges=_MOST_GAUGES,
            clock=SystemClock(),
            forwarding_requests=_FORWARDING_REQUESTS,
        )

    async def show(self, session: "SnmpSession", reading: "DeviceReading", quirks: "Quirks") -> None:
        from netmote.cli.poll_details import print_details

        changes = await self._reader.advance(session, reading, requests=_DETAILS_REQUESTS, quirks=quirks)
        print_details(self._device, self._reader.details, changes, json_lines=self._json_lines)


def _profiles(config: Path | None, profile: Path | None) -> "ProfileSet":
    """The profile that is tried, else those of the configuration, else the shipped ones. Raises ConfigError."""
    from netmote.daemon.config import load_config
    from netmote.snmp.profiles.loader import BUILTIN, ProfileSet, load_profiles

    if profile is None:
        return load_profiles((BUILTIN,) if config is None else load_config(config).snmp.profiles)
    tried = load_profiles((str(profile),)).profiles
    return ProfileSet(tried, otherwise=tried[0])


def _configured(path: Path, name: str) -> "tuple[TargetConfig, Credentials]":
    """A target of the configuration, with its own credentials and timeouts. Raises ConfigError and SecretMissing."""
    from netmote.daemon.config import load_config
    from netmote.errors import ConfigError, Problem
    from netmote.snmp.credentials import reveal_credentials

    snmp = load_config(path).snmp
    targets = {target.name: snmp.resolved(target) for target in snmp.targets}
    if name not in targets:
        known = ", ".join(targets) or "none"
        raise ConfigError([Problem(str(path), None, "snmp.targets", f"no target is named {name!r}; there are: {known}")])
    return targets[name], reveal_credentials(targets[name])


def _given(
    target: str, version: Version, community: str, usm: dict[str, str] | None, timeout: float, retries: int
) -> "tuple[TargetConfig, Credentials]":
    """A target of the command line. Raises pydantic's ValidationError and SecretMissing."""
    from netmote.snmp.config import TargetConfig, UsmConfig
    from netmote.snmp.credentials import Community, reveal_community, reveal_credentials

    address, port = split_address(target)
    device = TargetConfig(
        name=address.replace(":", "-").replace("/", "-") or "-",
        address=address,
        port=port,
        version="3" if usm is not None else "1" if version is Version.V1 else "2c",
        user=UsmConfig.model_validate(usm) if usm is not None else None,
        timeout=timeout,
        retries=retries,
    )
    return device, reveal_credentials(device) if usm is not None else Community(reveal_community(community))


def split_address(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[IPv6]:port` or a bare IPv6 address, and the port (161 unless given)."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    if port and not port.isdecimal():
        raise typer.BadParameter(f"{text!r} is no address: the port is a number, such as 192.0.2.1:161")
    return address, int(port or 161)
