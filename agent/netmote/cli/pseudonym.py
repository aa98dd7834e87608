"""`netmote pseudonym`: what stands for an address at rest and at each sink."""

from typing import Annotated

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption


def pseudonym(
    address: Annotated[str, typer.Argument(help="The IPv4 or IPv6 address.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Show what stands for an address on this sensor's disk and at each of its sinks, under the configuration's `privacy`.

    The other way there is none: to find who a pseudonym is, ask for the addresses in question. Needs to read the key.

    Example: netmote pseudonym 192.0.2.7 --config /etc/netmote/netmote.yaml
    """
    import json
    from ipaddress import ip_address

    from netmote.cli.state import config_of
    from netmote.daemon.privacy import Privacy
    from netmote.daemon.state_dir import resolve_state_dir

    try:
        named = ip_address(address)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="ADDRESS") from None
    settings = config_of(config)
    privacy = Privacy(settings, resolve_state_dir(state_dir, settings))
    privacy.open(may_draw=False)
    kept = privacy.at_rest().address(named)
    places = {"at rest": str(kept)}
    # A sink is given what is at rest.
    places |= {sink.name: str(privacy.of_sink(sink.name).address(kept)) for sink in settings.sinks}
    if json_lines:
        typer.echo(json.dumps(places))
        return
    width = max(len(place) for place in places)
    for place, stands in places.items():
        typer.echo(f"{place:<{width}}  {stands}")
