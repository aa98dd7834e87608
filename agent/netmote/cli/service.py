"""`netmote service`: the systemd unit for an installation by pip; the Debian package brings its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The systemd unit of an installation by pip.", pretty_exceptions_enable=False)

_UNIT = "netmote.service"
ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="Configuration that the service reads.")]
_UNIT_DIR = Path("/etc/systemd/system")
_DEFAULT_CONFIG = Path("/etc/netmote/netmote.yaml")


@app.command()
def unit(config: ConfigPath = _DEFAULT_CONFIG) -> None:
    """Print the unit for this installation.

    Example: netmote service unit | sudo tee /etc/systemd/system/netmote.service
    """
    typer.echo(unit_text(config), nl=False)


@app.command()
def install(
    config: ConfigPath = _DEFAULT_CONFIG,
    directory: Annotated[Path, typer.Option("--unit-dir", help="Where the unit is written.")] = _UNIT_DIR,
) -> None:
    """Write the unit, and a commented configuration where there is none. Needs root; starts nothing.

    Example: netmote service install
    """
    from netmote.config.builtin import builtin_path

    target = directory / _UNIT
    try:
        if not config.exists():
            config.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(builtin_path("netmote.yaml"), config)
            typer.echo(f"wrote {config}")
        target.write_text(unit_text(config))
    except OSError as error:
        typer.echo(f"netmote: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"wrote {target}")
    systemctl = shutil.which("systemctl")
    if systemctl and directory == _UNIT_DIR and Path("/run/systemd/system").is_dir():
        subprocess.run([systemctl, "daemon-reload"], check=True)  # noqa: S603 (this machine's own, with fixed words)
    typer.echo(f"next: netmote check {config} && systemctl enable --now netmote")


def unit_text(config: Path) -> str:
    """The shipped unit, for this interpreter, this configuration, and a user that systemd makes.

    Raises typer.BadParameter for a path that a unit cannot hold.
    """
    from netmote.config.builtin import builtin_path

    where = str(config.absolute())
    for path in (where, sys.executable):
        if any(character.isspace() or character in "\\\"'%$" for character in path):
            raise typer.BadParameter(f"{path}: a unit cannot name a path with blanks, quotes, % or $")
    lines = builtin_path(_UNIT).read_text().splitlines()
    changed = {
        "ExecStart": f"ExecStart={sys.executable} -I -m netmote run --config {where}",
        "ExecReload": f"ExecReload={shutil.which('kill') or '/bin/kill'} -HUP $MAINPID",
        # No package made the user; the state is then below /var/lib/private, and /var/lib/netmote leads there.
        "User": "User=netmote\nDynamicUser=yes",
        "NoExecPaths": "NoExecPaths=/var/lib/private/netmote /tmp /var/tmp /dev/shm",
    }
    text = "\n".join(changed.get(line.partition("=")[0], line) for line in lines) + "\n"
    home = Path.home()
    if os.path.commonpath([sys.executable, "/home"]) == "/home" or Path(sys.executable).is_relative_to(home):
        # The sandbox hides home directories, and the interpreter lies in one.
        text = text.replace("ProtectHome=yes", "ProtectHome=read-only")
    return text
