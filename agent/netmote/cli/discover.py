"""`netmote discover`: search networks for SNMP agents and propose targets. Changes no configuration."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netmote.cli.options import JsonOption
from netmote.cli.snmp_options import (
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
    from netmote.snmp.config import TargetConfig
    from netmote.snmp.credentials import Credentials
    from netmote.snmp.discovery import FoundDevice, Progress

_COMMUNITY_PLACE = "file:/etc/netmote/community"  # where the proposal says a community should lie that was given as it is


def discover(
    networks: Annotated[list[str], typer.Argument(help="Networks or addresses, such as 192.0.2.0/28.", show_default=False)],
    version: VersionOption = Version.V2C,
    community: Annotated[
        str,
        typer.Option(
            help="Community, as it is or by reference (file:PATH, env:NAME, credential:NAME). It is sent to every address."
        ),
    ] = "public",
    user: UserOption = None,
    auth_protocol: AuthProtocolOption = None,
    auth_password_file: AuthPasswordFileOption = None,
    priv_protocol: PrivProtocolOption = None,
    priv_password_file: PrivPasswordFileOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="UDP port of the agents.")] = 161,
    timeout: TimeoutOption = 2.0,
    retries: RetriesOption = 1,
    rate: Annotated[float, typer.Option(min=1.0, max=1000.0, help="Packets a second, at most.")] = 50.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the proposal. Unset: standard output.", show_default=False)
    ] = None,
    json_lines: JsonOption = False,
) -> None:
    """Ask every address of small networks whether an SNMP agent is there, and propose targets for the configuration.

    At most 4,096 addresses, slowly: 50 packets a second unless told otherwise. Nothing is configured: the proposal is a file to
    read, change and put into conf.d/. Ctrl-C keeps what was found until then.

    Example: netmote discover 192.0.2.0/28 --community file:/etc/netmote/community --output proposal.yaml
    """
    from pydantic import ValidationError

    from netmote.errors import NetmoteError
    from netmote.snmp.discovery import addresses_in, joined
    from netmote.snmp.proposal import proposal

    if version is Version.V3 and user is None:
        raise typer.BadParameter("version 3 needs a --user")
    usm = None
    if user is not None:
        auth_file, priv_file = (None if file is None else file.absolute() for file in (auth_password_file, priv_password_file))
        usm = usm_settings(user, auth_protocol, auth_file, priv_protocol, priv_file)
    try:
        addresses = addresses_in(networks)
        pattern, credentials = pattern_of(version, community, usm, port=port, timeout=timeout, retries=retries)
    except ValidationError as error:
        problems = "; ".join(str(problem["msg"]) for problem in error.errors())
        typer.echo(f"netmote discover: {problems}", err=True)
        raise typer.Exit(2) from error
    except (ValueError, NetmoteError) as error:
        typer.echo(f"netmote discover: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from error
    progress, is_whole = search(addresses, pattern, credentials, rate)
    devices = joined(progress.found)
    if not is_whole:
        typer.echo(f"interrupted: {progress.asked} of {progress.addresses} addresses were asked", err=True)
    if json_lines:
        for device in devices:
            typer.echo(json.dumps(asdict(device)))
    if output is not None or not json_lines:
        text = proposal(devices, searched=" ".join(networks), settings=settings_of(pattern, community, usm))
        if output is None:
            typer.echo(text, nl=False)
        else:
            _write(output, text, devices)
    if not is_whole:
        raise typer.Exit(130)


def search(addresses: list[str], pattern: "TargetConfig", credentials: "Credentials", rate: float) -> "tuple[Progress, bool]":
    """What was found, and whether all were asked."""
    import asyncio
    from random import SystemRandom

    from rich.console import Console
    from rich.progress import Progress as Bar

    from netmote.clock import SystemClock
    from netmote.snmp.backends import Backends
    from netmote.snmp.discovery import Discovery, Progress

    progress = Progress(len(addresses))

    async def run(bar: Bar) -> None:
        task = bar.add_task("asking", total=len(addresses))
        backend = Backends(clock=SystemClock(), random=SystemRandom())

        def step(now: Progress) -> None:
            bar.update(task, completed=now.asked, description=f"asking; {len(now.found)} found")

        try:
            search = Discovery(pattern, credentials, backend=backend, packets_per_second=rate, on_step=step)
            await search.search(addresses, progress)
        finally:
            await backend.close()

    with Bar(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        try:
            asyncio.run(run(bar))
        except KeyboardInterrupt:
            return progress, False
    return progress, True


def pattern_of(
    version: Version, community: str, usm: dict[str, str] | None, *, port: int, timeout: float, retries: int
) -> "tuple[TargetConfig, Credentials]":
    """What every address is asked with. Raises pydantic's ValidationError and SecretMissing."""
    from netmote.snmp.config import TargetConfig
    from netmote.snmp.credentials import Community, reveal_community, reveal_credentials

    number = "3" if usm is not None else version.value
    pattern = TargetConfig.model_validate(
        {
            "name": "any",
            "address": "any",
            "port": port,
            "version": number,
            "user": usm,
            "timeout": timeout,
            "retries": retries,
            "backend": "native",
        }
    )
    return pattern, reveal_credentials(pattern) if usm is not None else Community(reveal_community(community))


def settings_of(pattern: "TargetConfig", community: str, usm: dict[str, str] | None) -> dict[str, object]:
    """The keys that every proposed target gets."""
    settings: dict[str, object] = {}
    if pattern.port != 161:
        settings["port"] = pattern.port
    if pattern.version != "2c":
        settings["version"] = pattern.version
    if usm is not None:
        settings["user"] = usm
    elif community.partition(":")[0] in ("file", "env", "credential"):
        settings["community"] = community
    elif community != "public":
        settings["community"] = _COMMUNITY_PLACE  # a secret does not go into the document: it has to be laid there
    return settings


def _write(path: Path, text: str, devices: "list[FoundDevice]") -> None:
    """Never over what is there."""
    try:
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        typer.echo(text, nl=False)  # what took minutes to find is not thrown away
        typer.echo(f"netmote discover: {path} is not written: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    answered = sum(not device.refusal for device in devices)
    typer.echo(f"{answered} devices proposed in {path}", err=True)
