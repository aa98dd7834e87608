"""`netmote replay`: the daemon's own pipeline over capture files, in event time."""

from pathlib import Path
from typing import Annotated

import typer

from netmote.cli.options import ConfigOption, FilterOption, JsonOption


def replay(
    captures: Annotated[
        list[Path],
        typer.Argument(help="pcap or pcapng files, also compressed with gzip or zstd; - is standard input.", show_default=False),
    ],
    config: ConfigOption = None,
    json_lines: JsonOption = False,
    hashes: Annotated[bool, typer.Option("--hashes", help="Also print the hash of every window's vectors.")] = False,
    interface: Annotated[str, typer.Option(help="Name of the interface the capture stands for.")] = "capture",
    expression: FilterOption = "",
    keep_going: Annotated[bool, typer.Option(help="A file that cannot be read is reported, and the next one is taken.")] = True,
) -> None:
    """Run capture files through the same pipeline as live traffic and print the alerts.

    Each file begins cold. The vectors are those of a live run over the same packets, to the last bit.
    A line at the end of each file says how many packets there were, and how many could not be decoded and why.

    Example: netmote replay scan.pcapng --json

    Example: netmote replay monday.pcap --filter "not port 22"
    """
    from netmote.analysis.assembly import assemble
    from netmote.capture.packet_filter import packet_filter
    from netmote.cli.replay_output import ReplayOutput
    from netmote.cli.state import config_of
    from netmote.daemon.replay import replay_capture
    from netmote.errors import NetmoteError

    settings = config_of(config)
    analysis = assemble(settings, sensor=settings.sensor_name).analysis
    output = ReplayOutput(json_lines=json_lines, hashes=hashes)
    failed = False
    for capture in captures:
        try:
            with output.progress(capture) as advanced:
                summary = replay_capture(
                    capture,
                    settings,
                    analysis,
                    interface=interface,
                    outcome=output.outcome,
                    advanced=advanced,
                    packet_filter=packet_filter(expression),
                )
        except NetmoteError as error:
            failed = True
            output.refused(capture, str(error))
            if not keep_going:
                break
        else:
            output.summary(capture, summary)
    raise typer.Exit(1 if failed else 0)
