"""`netmote check`: everything that is wrong with a configuration, without opening a socket."""

from pathlib import Path
from typing import Annotated

import typer

from netmote.cli.options import JsonOption


def check(
    file: Annotated[Path, typer.Argument(envvar="NETMOTE_CONFIG", help="Configuration file.")],
    json_lines: JsonOption = False,
) -> None:
    """Check a configuration and the rules and profiles it names: all problems at once, each with file, line and key.

    Exit status 0 when it is sound, 78 when it is not.

    Example: netmote check /etc/netmote/netmote.yaml
    """
    import json

    from netmote.cli.main import EXIT_CONFIG
    from netmote.daemon.config import load_config
    from netmote.errors import ConfigError, Problem
    from netmote.scoring.rules.rule_set import RuleSet
    from netmote.snmp.profiles.loader import load_profiles

    problems: list[Problem] = []
    try:
        config = load_config(file)
    except ConfigError as error:
        problems.extend(error.problems)
    else:
        for load in (
            lambda: RuleSet.configured(config.scoring),
            lambda: load_profiles(config.snmp.profiles),
        ):
            try:
                load()
            except ConfigError as error:
                problems.extend(error.problems)
    for problem in problems:
        record = {"file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message}
        typer.echo(json.dumps(record) if json_lines else str(problem))
    if problems:
        raise typer.Exit(EXIT_CONFIG)
    if not json_lines:
        typer.echo(f"{file}: sound")
