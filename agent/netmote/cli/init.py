"""`netmote init`: a configuration for this sensor, from a few questions or from options. Writes one file, never over another."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netmote.errors import Permanent

if TYPE_CHECKING:
    from netmote.cli.local_interfaces import LocalInterface

_DEFAULT_FILE = Path("/etc/netmote/netmote.yaml")
_NONE = "none"


def init(
    file: Annotated[Path, typer.Argument(envvar="NETMOTE_CONFIG", help="Configuration file to write.")] = _DEFAULT_FILE,
    sensor: Annotated[str | None, typer.Option(help="Name of the sensor. Unset: the host name.", show_default=False)] = None,
    interface: Annotated[
        list[str] | None, typer.Option(help="Interface to capture, once for each; auto, or none.", show_default=False)
    ] = None,
    snmp: Annotated[
        list[str] | None,
        typer.Option(
            help="Network or address to search for SNMP devices, once for each. Only these are asked.", show_default=False
        ),
    ] = None,
    community: Annotated[
        str, typer.Option(help="Community of the devices, by reference (file:PATH, env:NAME, credential:NAME), or public.")
    ] = "public",
    snmp_port: Annotated[int, typer.Option(min=1, max=65535, help="UDP port of their agents.")] = 161,
    webhook: Annotated[str | None, typer.Option(help="URL that gets the alerts.", show_default=False)] = None,
    token: Annotated[str | None, typer.Option(help="Its bearer token, by reference.", show_default=False)] = None,
    ask: Annotated[bool | None, typer.Option(help="Ask for what is not given. Unset: on a terminal.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file when there is one.")] = False,
) -> None:
    """Write a commented configuration: asks for name, interfaces, networks to search for SNMP devices, and a receiver of alerts.

    No packet is sent but to the networks that you name for SNMP. What it writes passes `netmote check`.

    Example: netmote init netmote.yaml --sensor attic --interface eth1 --snmp 192.0.2.0/28 --community file:/etc/netmote/community
    """
    from netmote.cli.sample_document import with_values
    from netmote.config.builtin import builtin_path
    from netmote.config.document import check_document, parse_document
    from netmote.daemon.config import Config

    if file.exists() and not force:
        raise Permanent(f"{file} exists and stays as it is; --force replaces it")
    asking = sys.stdin.isatty() if ask is None else ask
    values: dict[tuple[str, ...], Any] = {}
    sensor = _sensor(sensor, asking=asking)
    if sensor:
        values["sensor",] = sensor
    values["capture", "interfaces"] = _interfaces(interface, asking=asking)
    networks, community = _networks(snmp, community, asking=asking)
    if networks:
        values["snmp", "targets"] = _targets(networks, community, snmp_port)
    webhook, token = _webhook(webhook, token, asking=asking)
    if webhook:
        sink = {"type": "webhook", "name": "upstream", "url": webhook, **({"token": token} if token else {})}
        values["sinks",] = [{"type": "journal"}, sink]
    text = with_values(builtin_path("netmote.yaml").read_text(), values)
    check_document(parse_document(text, str(file)), Config)
    _write(file, text, force=force)
    typer.echo(f"wrote {file}")
    typer.echo(f"next: netmote doctor --config {file}, then netmote run --config {file} (or systemctl restart netmote)")


def _sensor(given: str | None, *, asking: bool) -> str:
    from netmote.daemon.config import Config

    if given is not None or not asking:
        return given or ""
    name: str = typer.prompt("Name of this sensor", default=Config().sensor_name)
    return name


def _interfaces(given: list[str] | None, *, asking: bool) -> list[str]:
    from netmote.cli.local_interfaces import local_interfaces

    if given is None and asking:
        typer.echo("Interfaces of this machine:")
        for each in local_interfaces():
            typer.echo(f"  {_line(each)}")
        answer: str = typer.prompt("Capture which (names, auto for those marked *, or none)", default="auto")
        given = answer.replace(",", " ").split()
    chosen = given or ["auto"]
    return [] if chosen == [_NONE] else chosen


def _line(each: "LocalInterface") -> str:
    speed = f", {each.speed_megabits:,} Mbit/s" if each.speed_megabits else ""
    networks = f", in {', '.join(map(str, each.networks))}" if each.networks else ", no address: a mirror port?"
    return f"{'*' if each.is_automatic else ' '} {each.name}: {'up' if each.is_up else 'down'}{speed}{networks}"


def _networks(given: list[str] | None, community: str, *, asking: bool) -> tuple[list[str], str]:
    """What may be searched, and with which community: nothing that was not named."""
    from netmote.cli.local_interfaces import local_interfaces

    if given is not None or not asking:
        return given or [], community
    near = [
        str(network) for each in local_interfaces() if each.is_up for network in each.networks if network.num_addresses <= 256
    ]
    hint = f", such as {near[0]}" if near else ""
    answer: str = typer.prompt(f"Search for SNMP devices in which networks (none: send nothing{hint})", default=_NONE)
    networks = [] if answer == _NONE else answer.replace(",", " ").split()
    if networks:
        community = typer.prompt("Community of the devices (file:PATH, env:NAME, credential:NAME, or public)", default=community)
    return networks, community


def _targets(networks: Sequence[str], community: str, port: int) -> list[dict[str, Any]]:
    """One target for each device that answers. Raises Permanent for networks and communities that cannot be used."""
    from netmote.cli.discover import pattern_of, search, settings_of
    from netmote.cli.snmp_options import Version
    from netmote.snmp.discovery import addresses_in, joined
    from netmote.snmp.proposal import device_names

    if community != "public" and community.partition(":")[0] not in ("file", "env", "credential"):
        raise Permanent(
            "the community is written by reference: file:PATH, env:NAME or credential:NAME; a secret is not put into the document"
        )
    try:
        addresses = addresses_in(networks)
    except ValueError as error:
        raise Permanent(str(error)) from error
    pattern, credentials = pattern_of(Version.V2C, community, None, port=port, timeout=1.0, retries=1)
    typer.echo(f"asking {len(addresses):,} addresses, at most 50 a second ...")
    progress, is_whole = search(addresses, pattern, credentials, 50.0)
    if not is_whole:
        raise typer.Abort
    devices = [device for device in joined(progress.found) if not device.refusal]
    typer.echo(f"{len(devices)} devices answered" + "".join(f"\n  {each.address} {each.sys_name}" for each in devices))
    settings = settings_of(pattern, community, None)
    pairs = zip(device_names(devices), devices, strict=True)
    return [{"name": name, "address": device.address, **settings} for name, device in pairs]


def _webhook(url: str | None, token: str | None, *, asking: bool) -> tuple[str, str]:
    if url is None and asking:
        answer: str = typer.prompt("Send alerts to which URL, beside the journal (none: nowhere)", default=_NONE)
        url = "" if answer == _NONE else answer
        if url and token is None:
            answer = typer.prompt("Its bearer token, by reference (file:PATH, env:NAME, credential:NAME; none)", default=_NONE)
            token = "" if answer == _NONE else answer
    return url or "", token or ""


def _write(path: Path, text: str, *, force: bool) -> None:
    """Whole or not at all; secrets are not in it, so everyone may read it. Raises Permanent."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            file.write(text)
        try:
            if force:
                beside.replace(path)
            else:
                path.hardlink_to(beside)  # unlike a rename, never over a file that came meanwhile
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise Permanent(f"{path} is not written: {error.strerror}") from error
