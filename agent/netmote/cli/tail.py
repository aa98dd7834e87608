"""`netmote tail`: what passes through the running daemon, as JSON lines."""

from typing import Annotated

import typer

from netmote.cli.options import ConfigOption, StateDirOption


def tail(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    records: Annotated[bool, typer.Option("--records", help="Flow slices, readings and facts as they are stored.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Scores of each window that closes.")] = False,
    alerts: Annotated[bool, typer.Option("--alerts", help="Alert revisions once they are durable; the default.")] = False,
) -> None:
    """Follow the daemon live, one JSON object a line, until it stops or you do. Nothing of it is kept, and nothing of before comes.

    A reader that is too slow is dropped: the stream ends rather than having holes. Exit status 1 then, or when the daemon stops.

    Example: netmote tail --alerts --scores | jq .entity
    """
    import sys

    from netmote.cli.state import state_dir_of
    from netmote.control.client import follow

    kinds = [name for name, is_wanted in (("records", records), ("scores", scores), ("alerts", alerts)) if is_wanted]
    try:
        for block in follow(state_dir_of(config, state_dir), "tail", kinds=kinds or ["alerts"]):
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    typer.echo("the stream ended: the daemon stopped, or this reader was too slow", err=True)
    raise typer.Exit(1)
