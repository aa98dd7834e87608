"""`netmote doctor`: look at everything a sensor needs, and say how to mend what is wrong. Exit status 1 when something fails."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netmote.cli.diagnosis import Diagnosis
    from netmote.daemon.config import Config
    from netmote.telemetry.snapshot import Snapshot


def doctor(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    network: Annotated[bool, typer.Option(help="Ask the devices and connect to the sinks; no alert is sent.")] = True,
    json_lines: JsonOption = False,
) -> None:
    """Check configuration, secrets, permissions, clock, disk, kernel, models, devices and sinks; each line says how to mend it.

    Works beside a running daemon, whose own view is shown too, and without one. Changes nothing.
    Exit status 1 when something fails; warnings alone give 0.

    Example: netmote doctor --config /etc/netmote/netmote.yaml
    """
    import json

    from netmote.cli.diagnosis import Verdict, worst

    found = []
    for diagnosis in examine(config, state_dir, network=network):
        found.append(diagnosis)
        if json_lines:
            record = {
                "check": diagnosis.subject,
                "verdict": diagnosis.verdict.value,
                "text": diagnosis.text,
                "fix": diagnosis.fix,
            }
            typer.echo(json.dumps(record))
        else:
            show(diagnosis)
    verdict = worst(found)
    if not json_lines:
        counts = {each: sum(diagnosis.verdict is each for diagnosis in found) for each in Verdict}
        typer.echo(f"{counts[Verdict.OK]} ok, {counts[Verdict.WARN]} to look at, {counts[Verdict.FAIL]} failed")
    raise typer.Exit(1 if verdict is Verdict.FAIL else 0)


def show(diagnosis: "Diagnosis") -> None:
    """One line, and under it how to mend it."""
    colour = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}[diagnosis.verdict.value]
    typer.secho(f"{diagnosis.verdict.value:5}", fg=colour, bold=True, nl=False)
    typer.echo(f"{diagnosis.subject}: {diagnosis.text}")
    if diagnosis.fix:
        typer.echo(f"     -> {diagnosis.fix}")


def examine(config_path: Path | None, state_dir: Path | None, *, network: bool) -> "Iterator[Diagnosis]":
    """Every diagnosis, as it is made. A part of the machine that cannot be looked at is itself a diagnosis."""
    import asyncio

    from netmote.cli import examine_devices, examine_endpoints, examine_machine, examine_setup
    from netmote.cli.examine_memory import examine_memory
    from netmote.clock import SystemClock
    from netmote.daemon.config import Config
    from netmote.daemon.kernel_clock import read_kernel_clock
    from netmote.daemon.state_dir import resolve_state_dir

    clock = SystemClock()
    examine_setup.use_credentials_of_the_service()
    sound, found = examine_setup.examine_configuration(config_path)
    yield from found
    config = sound or Config()
    directory = resolve_state_dir(state_dir, config)
    snapshot, found = _daemon(directory)
    yield from found

    def machine(look: "Callable[[], list[Diagnosis] | Diagnosis]", subject: str) -> "list[Diagnosis]":
        from netmote.cli.diagnosis import fail

        try:
            made = look()
        except OSError as error:
            return [fail(subject, f"cannot be looked at: {error.strerror or error}", "run `netmote doctor` as root")]
        return made if isinstance(made, list) else [made]

    if sound is not None:
        yield from machine(lambda: examine_setup.examine_secrets(config), "secrets")
    # A running daemon holds the permission that counts; a ring of ours beside it would only cost it packets.
    if snapshot is None:
        yield from machine(lambda: examine_machine.examine_capture(config.capture), "capture")
    else:
        yield from _captures(snapshot, config)
    yield from machine(lambda: examine_machine.examine_clock(clock.now_ns(), read_kernel_clock()), "clock")
    yield from machine(lambda: examine_machine.examine_state_dir(directory), "state")
    yield from machine(lambda: examine_memory(config), "memory")
    yield from machine(lambda: examine_machine.examine_disk(directory, config.store), "disk")
    receives = bool(config.snmp.targets or config.snmp.notifications.address)
    yield from machine(lambda: examine_machine.examine_receive_buffers(receives=receives), "kernel")
    yield from machine(lambda: examine_setup.examine_models(config), "models")
    if network and sound is not None:
        devices = () if snapshot is None else snapshot.devices
        yield from asyncio.run(examine_devices.examine_devices(config, devices, clock=clock))
        yield from asyncio.run(examine_endpoints.examine_sinks(config))
        yield from asyncio.run(examine_endpoints.examine_exports(config))


def _daemon(state_dir: Path) -> "tuple[Snapshot | None, list[Diagnosis]]":
    """What the daemon of this state directory shows, None when none runs or it may not be asked."""
    import json

    from netmote import __version__
    from netmote.cli.diagnosis import fail, warn
    from netmote.cli.examine_daemon import examine_daemon
    from netmote.control.client import CommandRefusedError, NotRunningError, request
    from netmote.telemetry.snapshot import Snapshot

    try:
        answer = request(state_dir, "status")["snapshot"]
        snapshot = Snapshot.from_json(json.dumps(answer))
    except NotRunningError as error:
        return None, [warn("daemon", str(error), "systemctl start netmote, or netmote run; --state-dir names another place")]
    except (CommandRefusedError, OSError, ValueError) as error:
        return None, [fail("daemon", str(error), "run `netmote doctor` as root; journalctl -u netmote")]
    return snapshot, examine_daemon(snapshot, installed=__version__)


def _captures(snapshot: "Snapshot", config: "Config") -> "Iterator[Diagnosis]":
    """Rings as the running daemon holds them; what fails it has said itself, as a reason."""
    from netmote.cli.diagnosis import ok

    rings = [each for each in snapshot.inputs if each.kind == "capture" and each.state == "running"]
    for each in rings:
        yield ok(f"capture {each.name}", f"the daemon captures, {each.received_total:,} packets since its start")
    if not config.capture.interfaces:
        yield ok("capture", "is turned off: capture.interfaces is empty")
