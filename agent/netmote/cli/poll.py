"""`netmote poll`: ask one SNMP device now, as the daemon would."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netmote.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from netmote.cli.poll_output import PollOutput
    from netmote.snmp.config import TargetConfig
    from netmote.snmp.credentials import Credentials
    from netmote.snmp.profiles.loader import ProfileSet
    from netmote.snmp.reading import DeviceReading
    from netmote.snmp.session import SnmpSession


class Version(StrEnum):
    """SNMP versions netmote speaks."""

    V1 = "1"
    V2C = "2c"
    V3 = "3"


class BackendName(StrEnum):
    """Back ends, as the configuration names them."""

    AUTO = "auto"
    NATIVE = "native"
    PYSNMP = "pysnmp"


class AuthProtocol(StrEnum):
    """Authentication protocols of USM, as the configuration names them."""

    NONE = "none"
    MD5 = "md5"
    SHA = "sha"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class PrivProtocol(StrEnum):
    """Privacy protocols of USM, as the configuration names them."""

    NONE = "none"
    DES = "des"
    AES128 = "aes128"
    AES192 = "aes192"
    AES256 = "aes256"
    AES192C = "aes192c"
    AES256C = "aes256c"


_V3 = "SNMPv3"
_MOST_GAUGES = 10_000
_DETAILS_REQUESTS = 1000  # somebody looks, and waits


def poll(
    target: Annotated[
        str, typer.Argument(help="Address, address:port or [IPv6]:port; with --config, a target's name.", show_default=False)
    ],
    config: ConfigOption = None,
    version: Annotated[Version, typer.Option(help="SNMP version. A --user implies 3.")] = Version.V2C,
    community: Annotated[
        str,
        typer.Option(
            help="Community, as it is or by reference (file:PATH, env:NAME, credential:NAME). "
            "Other users of this machine can read the command line: prefer a reference to a secret community."
        ),
    ] = "public",
    user: Annotated[str | None, typer.Option(help="securityName.", rich_help_panel=_V3, show_default=False)] = None,
    auth_protocol: Annotated[
        AuthProtocol | None,
        typer.Option(help="Unset: sha256 with a password file, else none.", rich_help_panel=_V3, show_default=False),
    ] = None,
    auth_password_file: Annotated[
        Path | None, typer.Option(help="File holding the authentication password.", rich_help_panel=_V3, show_default=False)
    ] = None,
    priv_protocol: Annotated[
        PrivProtocol | None,
        typer.Option(help="Unset: aes128 with a password file, else none.", rich_help_panel=_V3, show_default=False),
    ] = None,
    priv_password_file: Annotated[
        Path | None, typer.Option(help="File holding the privacy password.", rich_help_panel=_V3, show_default=False)
    ] = None,
    context: Annotated[str, typer.Option(help="contextName.", rich_help_panel=_V3)] = "",
    backend: Annotated[
        BackendName | None,
        typer.Option(help="What speaks SNMP. Unset: as configured, else auto.", show_default=False),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=30.0, help="Seconds one request waits for its answer.")] = 2.0,
    retries: Annotated[int, typer.Option(min=0, max=5, help="How often a request is sent again.")] = 1,
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
            usm = {
                "security_name": user,
                "auth_protocol": auth_protocol or (AuthProtocol.SHA256 if auth_password_file else AuthProtocol.NONE),
                "auth_password": _reference(auth_password_file),
                "priv_protocol": priv_protocol or (PrivProtocol.AES128 if priv_password_file else PrivProtocol.NONE),
                "priv_password": _reference(priv_password_file),
                "context_name": context,
            }
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
        typer.echo(f"netmote poll {target}: {error}", err=True)
        raise typer.Exit(1) from error


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
    from netmote.snmp.walk import REQUESTS_IN_FLIGHT

    clock = SystemClock()
    backend = Backends(clock=clock, random=SystemRandom())
    try:
        session = PacedSession(await backend.open(device, credentials), SendWindow(REQUESTS_IN_FLIGHT), retries=device.retries)
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
                await beyond.show(session, reading)
    finally:
        await backend.close()


class _Beyond:
    """What lies beyond the ports, read and printed after each poll."""

    def __init__(self, device: str, profiles: "ProfileSet", *, json_lines: bool) -> None:
        from netmote.clock import SystemClock
        from netmote.snmp.details.details_reader import DetailsReader

        self._device, self._json_lines = device, json_lines
        self._reader = DetailsReader(device, interval=0.0, profiles=profiles, max_gauges=_MOST_GAUGES, clock=SystemClock())

    async def show(self, session: "SnmpSession", reading: "DeviceReading") -> None:
        from netmote.cli.poll_details import print_details

        changes = await self._reader.advance(session, reading, requests=_DETAILS_REQUESTS)
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
    target: str, version: Version, community: str, usm: dict[str, str | None], timeout: float, retries: int
) -> "tuple[TargetConfig, Credentials]":
    """A target of the command line. Raises pydantic's ValidationError and SecretMissing."""
    from netmote.snmp.config import TargetConfig, UsmConfig
    from netmote.snmp.credentials import Community, reveal_community, reveal_credentials

    address, port = split_address(target)
    is_v3 = version is Version.V3 or usm["security_name"] is not None
    device = TargetConfig(
        name=address.replace(":", "-").replace("/", "-") or "-",
        address=address,
        port=port,
        version="3" if is_v3 else "1" if version is Version.V1 else "2c",
        user=UsmConfig.model_validate(usm) if is_v3 else None,
        timeout=timeout,
        retries=retries,
    )
    return device, reveal_credentials(device) if is_v3 else Community(reveal_community(community))


def _reference(path: Path | None) -> str | None:
    return None if path is None else f"file:{path}"


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
