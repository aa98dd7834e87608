"""`netmote run`: the daemon in the foreground."""

from typing import Annotated

import typer

from netmote.cli.options import ConfigOption, StateDirOption


def run(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error; goes before the configuration.")] = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    Without CAP_NET_RAW it says so once and runs on without capture.

    Example: netmote run --config config/netmote.yaml
    """
    from netmote.daemon.start import run_daemon

    raise typer.Exit(run_daemon(config, state_dir, log_level))
