"""The table of commands. Each is a file of its own, imported when it is called, so that `netmote --help` stays quick."""

import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from netmote import __version__
from netmote.errors import ConfigError, NetmoteError

# EX_CONFIG of sysexits.h: systemd's RestartPreventExitStatus names it.
EXIT_CONFIG = 78

Command = Callable[..., Any]


def _run() -> Command:
    from netmote.cli.run import run

    return run


def _check() -> Command:
    from netmote.cli.check import check

    return check


def _replay() -> Command:
    from netmote.cli.replay import replay

    return replay


def _flows() -> Command:
    from netmote.cli.flows import flows

    return flows


def _discover() -> Command:
    from netmote.cli.discover import discover

    return discover


def _poll() -> Command:
    from netmote.cli.poll import poll

    return poll


def _status() -> Command:
    from netmote.cli.status import status

    return status


def _tail() -> Command:
    from netmote.cli.tail import tail

    return tail


def _top() -> Command:
    from netmote.cli.top import top

    return top


def _init() -> Command:
    from netmote.cli.init import init

    return init


def _report() -> Command:
    from netmote.cli.report import report

    return report


def _doctor() -> Command:
    from netmote.cli.doctor import doctor

    return doctor


def _forget() -> Command:
    from netmote.cli.forget import forget

    return forget


def _pseudonym() -> Command:
    from netmote.cli.pseudonym import pseudonym

    return pseudonym


def _collector() -> Command:
    from netmote.cli.collector import collector

    return collector


def _export() -> Command:
    from netmote.cli.export import export

    return export


def _alerts() -> typer.Typer:
    from netmote.cli.alerts import app

    return app


def _models() -> typer.Typer:
    from netmote.cli.models import app

    return app


def _service() -> typer.Typer:
    from netmote.cli.service import app

    return app


COMMANDS: dict[str, tuple[Callable[[], Command | typer.Typer], str]] = {
    "init": (_init, "Write a configuration, from a few questions or options."),
    "run": (_run, "Run the daemon in the foreground."),
    "check": (_check, "Check a configuration without opening a socket."),
    "replay": (_replay, "Run the pipeline over capture files in event time and print the alerts."),
    "flows": (_flows, "Print the flow records of capture files."),
    "poll": (_poll, "Poll one SNMP device."),
    "discover": (_discover, "Search networks for SNMP devices and propose targets."),
    "status": (_status, "Show how the daemon is doing."),
    "top": (_top, "Watch the daemon live: inputs, talkers, alerts."),
    "tail": (_tail, "Follow records, scores or alerts live, as JSON lines."),
    "doctor": (_doctor, "Check what a sensor needs, and how to mend what is wrong."),
    "alerts": (_alerts, "List, explain and silence alerts."),
    "forget": (_forget, "Take an address out of everything this sensor keeps."),
    "pseudonym": (_pseudonym, "Show what stands for an address at rest and at each sink."),
    "collector": (_collector, "Receive alerts and heartbeats of sensors: the reference upstream."),
    "report": (_report, "Write a report with plots, as one HTML file."),
    "export": (_export, "Export recorded telemetry."),
    "models": (_models, "Show model bundles."),
    "service": (_service, "Print or install the systemd unit."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the signature of click, which typer vendors)
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        load, summary = COMMANDS[cmd_name]
        loaded = load()
        app = loaded if isinstance(loaded, typer.Typer) else _single(loaded)
        command = typer.main.get_command(app)
        command.name, command.short_help = cmd_name, summary
        return command


def _single(function: Command) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(context_settings={"help_option_names": ["-h", "--help"]})(function)
    return app


app = typer.Typer(
    cls=LazyGroup,
    add_completion=True,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"netmote {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: bool = typer.Option(False, "--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
) -> None:
    """netmote: the edge agent of network sensors. It observes, records, scores and alerts, and loses nothing silently."""


def run() -> None:
    """Entry point of `netmote` and `python -m netmote`: one clear sentence on standard error for what the user can mend."""
    try:
        # By this name also when run as a module: completion asks by it.
        app(prog_name="netmote")
    except ConfigError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_CONFIG)
    except NetmoteError as error:
        typer.echo(f"netmote: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output (head, less) has left; that is no fault of anyone's.
        sys.stderr.close()
        sys.exit(141)
