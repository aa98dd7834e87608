"""Options that several commands share, so that they read and behave alike."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="NETMOTE_CONFIG", help="Configuration file. Unset: built-in defaults.", show_default=False
    ),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option("--state-dir", help="State directory. Unset: $STATE_DIRECTORY, the configuration's, ./var.", show_default=False),
]
FilterOption = Annotated[
    str,
    typer.Option("--filter", help="Only packets that this wants, as tcpdump takes it.", metavar="EXPRESSION", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
