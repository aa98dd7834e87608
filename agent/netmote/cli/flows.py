"""`netmote flows`: the flow records of capture files, or only their totals."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from netmote.cli.options import ConfigOption, FilterOption, JsonOption


class FlowFormat(StrEnum):
    """How records are written."""

    CSV = "csv"
    JSONL = "jsonl"
    EVE = "eve"
    IPFIX = "ipfix"
    PARQUET = "parquet"


def flows(
    captures: Annotated[
        list[Path],
        typer.Argument(help="pcap or pcapng files, also compressed with gzip or zstd; - is standard input.", show_default=False),
    ],
    form: Annotated[
        FlowFormat, typer.Option("--format", help="How records are written; ipfix and parquet need --output.")
    ] = FlowFormat.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of standard output.", show_default=False)
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Meter just as fully, but print only the totals.")] = False,
    expression: FilterOption = "",
    config: ConfigOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Print the flow records of capture files, with the names of IPFIX.

    Records are bidirectional and whole: a flow is written when it has ended. Times are nanoseconds UTC. eve is what Suricata logs of
    a flow, with its Community ID; ipfix is an IPFIX file (RFC 5655) with both directions in one record (RFC 5103). With --summary there is a
    line for each file instead: packets, flows, octets, and what could not be decoded and why; --json makes it one object.

    Example: netmote flows scan.pcapng --format jsonl | head

    Example: netmote flows scan.pcapng --format eve --output eve.json

    Example: netmote flows *.pcap --summary --json

    Example: netmote flows monday.pcap --filter "tcp and net 192.0.2.0/24"
    """
    from contextlib import ExitStack

    from netmote.capture.packet_filter import packet_filter
    from netmote.cli.flow_output import CaptureTotals, Output, flow_writer
    from netmote.cli.state import config_of
    from netmote.errors import NetmoteError

    settings = config_of(config)
    failed = False
    with ExitStack() as stack:
        writer = None if summary or json_lines else stack.enter_context(flow_writer(form.value, output))
        show = Output(json_lines=json_lines, summary=summary or json_lines, output=output)
        for capture in captures:
            totals = CaptureTotals(str(capture))
            try:
                with show.progress(totals):
                    read = totals.read(capture, settings.metering, packet_filter(expression), tunnels=settings.capture.tunnels)
                    for interface, records in read:
                        if writer is not None:
                            writer(interface, records)
            except NetmoteError as error:
                failed = True
                show.refused(str(capture), str(error))
            else:
                show.summary(totals)
    raise typer.Exit(1 if failed else 0)
