"""`netmote collector`: the reference upstream in the foreground."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from netmote.collector.config import CollectorConfig


def collector(
    database: Annotated[Path, typer.Option(help="SQLite file of events and books.")] = Path("collector.db"),
    listen: Annotated[str, typer.Option(help="Where sensors post.", metavar="ADDRESS:PORT")] = "127.0.0.1:8480",
    page: Annotated[
        str, typer.Option(help="Loopback address of the page and the JSON; empty for none.", metavar="ADDRESS:PORT")
    ] = "127.0.0.1:8481",
    database_size: Annotated[str, typer.Option(help="Bound of the file: at it the oldest events go.")] = "1GB",
    max_sensors: Annotated[int, typer.Option(min=1, help="Sensors and ledger epochs known at once.")] = 10_000,
    certificate: Annotated[Path | None, typer.Option(help="PEM file of the collector's certificate chain.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key; unset: in the certificate's file.")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="PEM file of the authorities of sensors' certificates.")] = None,
    match_names: Annotated[
        bool, typer.Option("--match-names", help="A certificate speaks only for the sensor it names.")
    ] = False,
    token: Annotated[
        str | None, typer.Option(help="Bearer token by reference: file:PATH, env:NAME or credential:NAME.", metavar="REFERENCE")
    ] = None,
) -> None:
    """Receive the webhook's batches, commit them before answering, and miss what does not come: sensors, heartbeats, numbers.

    Beyond loopback it wants a certificate, and a token or an authority of clients. SIGHUP takes up renewed certificates.

    Example: netmote collector --listen 0.0.0.0:8480 --certificate c.pem --key c.key --token file:/etc/netmote/token
    """
    import asyncio

    from netmote.collector.start import run_collector

    address, port = _split(listen, "--listen")
    page_address, page_port = _split(page, "--page") if page else ("", 0)
    config = _checked(
        address=address,
        port=port,
        page_address=page_address,
        page_port=page_port,
        database=database,
        database_size=database_size,
        max_sensors=max_sensors,
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        match_names=match_names,
        token=token,
    )
    asyncio.run(run_collector(config, say=typer.echo))


def _split(text: str, option: str) -> tuple[str, int]:
    """Address and port; an IPv6 address stands in brackets."""
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal():
        raise typer.BadParameter(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:8480 or [::1]:8480", param_hint=option)
    return address.removeprefix("[").removesuffix("]"), int(port)


def _checked(**values: object) -> "CollectorConfig":
    from pydantic import ValidationError

    from netmote.collector.config import CollectorConfig
    from netmote.errors import ConfigError, Problem

    try:
        return CollectorConfig.model_validate(values)
    except ValidationError as error:
        problems = [
            Problem("collector", None, ".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
            for each in error.errors()
        ]
        raise ConfigError(problems) from error
