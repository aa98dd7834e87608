"""`netmote export`: recorded telemetry and alerts as CSV, JSON lines or Parquet, while the daemon runs or not."""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from netmote.cli.options import ConfigOption, StateDirOption
from netmote.clock import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from netmote.store.export_source import Span, Table


class TableName(StrEnum):
    """The tables of `netmote.store.export`."""

    FLOWS = "flows"
    INTERFACES = "interfaces"
    DEVICES = "devices"
    HOST = "host"
    FACTS = "facts"
    ALERTS = "alerts"


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def parse_time(text: str, now_ns: int) -> int:
    """Nanoseconds UTC of an RFC 3339 time, of "-2h" (that long ago) or of "now". Raises ValueError saying what is allowed."""
    from netmote.config.section import duration_seconds

    if text == "now":
        return now_ns
    try:
        if text.startswith("-"):
            return now_ns - round(float(duration_seconds(text[1:])) * NANOSECONDS_PER_SECOND)
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f'{text!r} is no time; write RFC 3339 such as 2026-11-22T10:00:00Z, or "-2h", or "now"')
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * NANOSECONDS_PER_SECOND + since_epoch.microseconds * 1000


def export(
    table: Annotated[TableName, typer.Option("--table", "-t", help="What to export.", show_default=False)],
    form: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.CSV,
    from_: Annotated[str, typer.Option("--from", help='Begin: RFC 3339, or "-2h" for two hours ago.')] = "-1h",
    to: Annotated[str, typer.Option("--to", help='End (not included): RFC 3339, "-5m" or "now".')] = "now",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File. Unset: standard output.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Export recorded telemetry and alerts, streaming, with the schema version in every row (Parquet: in the metadata).

    Example: netmote export --table flows --from -2h --format parquet --output flows.parquet
    """
    from netmote.cli.state import state_dir_of
    from netmote.store.export_source import TABLES, Span

    span = Span(*_span(from_, to))
    if form is Format.PARQUET and output is None:
        raise typer.BadParameter("Parquet is written at both ends of a file: name one with --output")
    directory = state_dir_of(config, state_dir)
    if not directory.is_dir():
        typer.echo(f"there is no state directory {directory}; name it with --state-dir or --config", err=True)
        raise typer.Exit(1)
    rows = _write(directory, TABLES[table], span, form, output)
    if output is not None:
        typer.echo(f"{rows} rows of {table} in {output}", err=True)
    if span.damaged:
        typer.echo(f"{span.damaged} damaged batches were left out", err=True)


def _span(from_: str, to: str) -> tuple[int, int]:
    from netmote.clock import SystemClock

    now_ns = SystemClock().now_ns()
    try:
        from_ns, to_ns = parse_time(from_, now_ns), parse_time(to, now_ns)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if from_ns >= to_ns:
        raise typer.BadParameter(f"--from {from_} is not before --to {to}")
    return from_ns, to_ns


def _write(directory: Path, table: "Table", span: "Span", form: Format, output: Path | None) -> int:
    from netmote.store.export import export_table

    # Written beside and renamed when whole: a reader never finds half an export under the name it was promised.
    partial = None if output is None else output.with_name(output.name + ".part")
    with ExitStack() as stack:

        def text() -> IO[str]:
            if partial is None:
                return sys.stdout
            return stack.enter_context(partial.open("w", encoding="utf-8", newline=""))

        def binary() -> IO[bytes]:
            assert partial is not None
            return stack.enter_context(partial.open("wb"))

        try:
            rows = export_table(directory, table, span, text=text, binary=binary, form=form)
        except BaseException:
            if partial is not None:
                partial.unlink(missing_ok=True)
            raise
    if partial is not None and output is not None:
        partial.replace(output)
    return rows
