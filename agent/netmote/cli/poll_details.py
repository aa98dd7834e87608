"""What `netmote poll` prints of a device beyond its ports: readable groups for people, one JSON object a line for programs."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from netmote.cli.poll_output import fact_object
from netmote.records.fact import Fact
from netmote.snmp.details.details_reader import Details
from netmote.snmp.details.found import BgpPeer, Gauge, Neighbour, Station

_STATIONS_SHOWN = 4  # of a port; --json has all
_PREFIXES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def print_details(device: str, details: Details, facts: Sequence[Fact], *, json_lines: bool) -> None:
    """Print details, and what changed since the reading before, to standard output."""
    if json_lines:
        for line in (*details_objects(device, details), *map(fact_object, facts)):
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    console = Console()
    for group, gauges in details.gauges.items():
        if not group.startswith("profile "):
            _print_gauges(console, group, gauges)
    if details.profile:
        _print_profile(console, details)
    _print_neighbours(console, details.neighbours)
    _print_stations(console, details.stations)
    _print_peers(console, details.peers)
    for note in _notes(details):
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    for fact in facts:
        annotations = "  ".join(f"{key}: {value}" for key, value in fact.annotations.items())
        console.print(f"[yellow]{fact.name}[/] {escape(str(fact.entity))} {escape(annotations)}", highlight=False)


def details_objects(device: str, details: Details) -> Iterator[dict[str, Any]]:
    """JSON objects: one a gauge, one a neighbour, a station, a BGP peer, one an object of the profile, and one of what was not read or not believed."""
    for group, gauges in details.gauges.items():
        for gauge in gauges:
            yield {
                "type": "gauge",
                "device": device,
                "group": group,
                "name": gauge.name,
                "value": gauge.value,
                "unit": gauge.unit,
                "state": gauge.state,
            }
    for neighbour in details.neighbours:
        yield {"type": "neighbour", "device": device, **neighbour._asdict()}
    for station in details.stations:
        yield {"type": "station", "device": device, **station._asdict()}
    for peer in details.peers:
        yield {"type": "bgp_peer", "device": device, **peer._asdict()}
    for outcome in details.outcomes:
        yield {
            "type": "profile_object",
            "device": device,
            "name": outcome.name,
            "oid": outcome.oid,
            "values": len(outcome.gauges),
            "nothing": outcome.nothing,
        }
    yield {
        "type": "details",
        "device": device,
        "profile": details.profile,
        "port_hints": dict(details.port_hints),
        "doubts": {group: list(doubts) for group, doubts in details.doubts.items()},
        "failed": dict(details.failed),
        "absent": list(details.absent),
        "excess": list(details.excess),
    }


def _print_gauges(console: Console, group: str, gauges: Sequence[Gauge]) -> None:
    console.print(f"[bold]{escape(group)}[/]", highlight=False)
    for gauge in gauges:
        console.print(f"  {escape(gauge.name):<44} {escape(amount(gauge))}", highlight=False, soft_wrap=True)


def _print_neighbours(console: Console, neighbours: Sequence[Neighbour]) -> None:
    if not neighbours:
        return
    console.print("[bold]lldp[/]")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("  port", "neighbour", "its port", "chassis"):
        table.add_column(column)
    for each in neighbours:
        its = each.port_descr or each.port_id
        table.add_row(f"  {escape(each.local_port)}", escape(each.sys_name), escape(its), escape(each.chassis_id))
    console.print(table)


def _print_peers(console: Console, peers: Sequence[BgpPeer]) -> None:
    if peers:
        console.print("[bold]bgp peers[/]")
    for peer in peers:
        since = "" if peer.seconds is None else f"for {peer.seconds} s"
        words = f"  {peer.address:<18} AS {peer.remote_as:<11} {peer.state:<12} {since:<16} {peer.last_error}"
        console.print(escape(words.rstrip()), highlight=False, soft_wrap=True)


def _print_stations(console: Console, stations: Sequence[Station]) -> None:
    """A line a port: a port with many leads to another switch."""
    if stations:
        console.print("[bold]stations[/]")
    of_ports: dict[str, dict[str, None]] = {}
    for station in stations:
        of_ports.setdefault(station.port, {})[station.address] = None
    for port, addresses in of_ports.items():
        shown = list(addresses)[:_STATIONS_SHOWN]
        more = f" and {len(addresses) - len(shown)} more" if len(addresses) > len(shown) else ""
        console.print(f"  {escape(port):<24} {', '.join(shown)}{more}", highlight=False, soft_wrap=True)


def _print_profile(console: Console, details: Details) -> None:
    console.print(f"[bold]profile {escape(details.profile)}[/]", highlight=False)
    for outcome in details.outcomes:
        for gauge in outcome.gauges:
            console.print(f"  {escape(gauge.name):<44} {escape(amount(gauge))}", highlight=False, soft_wrap=True)
        if not outcome.gauges:
            console.print(f"  [dim]{outcome.name:<44} {escape(outcome.nothing)}[/]", highlight=False, soft_wrap=True)


def _notes(details: Details) -> Iterator[str]:
    for port, hint in details.port_hints.items():
        yield f"{port}: {hint}"
    for group, doubts in details.doubts.items():
        if not group.startswith("profile "):
            yield from (f"{group}: not believed: {doubt}" for doubt in doubts)
    for group, error in details.failed.items():
        yield f"{group}: not read: {error}"
    if details.excess:
        yield f"{len(details.excess)} gauges beyond the bound, the first of them {details.excess[0]}"


def amount(gauge: Gauge) -> str:
    """A value with its unit, for people."""
    if gauge.state:
        return f"{gauge.state} ({gauge.value:g})"
    if gauge.unit == "state":
        return f"{gauge.value:g}"
    if gauge.unit == "byte":
        for size, prefix in _PREFIXES:
            if abs(gauge.value) >= size:
                return f"{gauge.value / size:.4g} {prefix}"
    return f"{gauge.value:,.6g} {gauge.unit}"
