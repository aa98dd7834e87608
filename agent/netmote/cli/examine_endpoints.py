"""What `netmote doctor` finds of sinks and collectors of flows: secrets, certificates, and a connection over which nothing is sent.

A sink's `open` reads secrets and certificates and connects nowhere; then its endpoint is reached: name, TCP, TLS with the sink's own
authorities. An alert is never sent.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from netmote.cli.diagnosis import Diagnosis, Verdict, fail, ok, warn
from netmote.cli.service_sandbox import is_denied
from netmote.daemon.components import build_sink
from netmote.daemon.config import Config
from netmote.errors import NetmoteError

_CONNECT_SECONDS: Final = 5.0
# NATS greets in plain text and begins TLS after that, under tls:// too: there only the connection is tried.
_PORTS: Final = {"https": 443, "http": 80, "nats": 4222, "tls": 4222}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where something listens. `context` is set when it speaks TLS."""

    host: str
    port: int
    transport: str = "tcp"
    context: ssl.SSLContext | None = None


async def examine_sinks(config: Config) -> list[Diagnosis]:
    """Secrets, certificates and reachability of every sink, side by side."""
    return list(await asyncio.gather(*(_sink(each) for each in config.sinks)))


async def examine_exports(config: Config) -> list[Diagnosis]:
    """Reachability of the collectors of flow records; an encoding that writes files has none."""
    found = []
    for each in config.flow_export:
        subject = f"export {each.name}"
        try:
            endpoints = endpoints_of(each)
        except OSError as error:
            endpoints = []
            found.append(fail(subject, f"its certificates cannot be used: {error}", "correct the files it names"))
        found += [await reach(subject, endpoint) for endpoint in endpoints]
    return found


async def _sink(config: Any) -> Diagnosis:
    subject = f"sink {config.name}"
    try:
        sink = build_sink(config)
    except NetmoteError as error:
        return fail(subject, str(error), "install what it needs, or take it out of sinks")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await sink.open()
    except NetmoteError as error:
        return fail(subject, str(error), "see the line of its secret, and its certificate files")
    except TimeoutError:
        return fail(subject, f"cannot be opened within {_CONNECT_SECONDS:g} s", "is its server there?")
    finally:
        await sink.close()
    try:
        endpoints = endpoints_of(config)
    except OSError as error:
        return fail(subject, f"its certificates cannot be used: {error}", "correct ca_file, client_certificate, client_key")
    if not endpoints:
        return ok(subject, f"{config.type} needs no connection")
    found = [await reach(subject, endpoint) for endpoint in endpoints]
    return next((each for each in found if each.verdict is Verdict.OK), found[0])  # one of several is enough


def endpoints_of(config: Any) -> list[Endpoint]:
    """Where a sink or exporter connects, by the keys that they share: destination or destinations, url or servers, host and port.

    Raises OSError (ssl.SSLError is one) for certificate files that cannot be used.
    """
    places = getattr(config, "destinations", None) or [getattr(config, "destination", None)]
    if places[0] is not None:
        context = _context(config) if config.encryption == "tls" else None
        return [Endpoint(place.host, place.port, context=context) for place in places]
    urls = [config.url] if hasattr(config, "url") else getattr(config, "servers", ())
    if urls:
        return [_of_url(str(url), config) for url in urls]
    if not hasattr(config, "host"):
        return []
    transport = str(getattr(config, "transport", "tcp"))
    context = _context(config) if transport == "tls" else None
    return [Endpoint(config.host, config.port, "udp" if transport == "udp" else "tcp", context)]


def _of_url(url: str, config: Any) -> Endpoint:
    parts = urlsplit(url)
    return Endpoint(
        parts.hostname or "", parts.port or _PORTS[parts.scheme], context=_context(config) if parts.scheme == "https" else None
    )


def _context(config: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=getattr(config, "ca_file", None))
    if getattr(config, "client_certificate", None) is not None:
        context.load_cert_chain(config.client_certificate, getattr(config, "client_key", None), password=lambda: "")
    return context


async def reach(subject: str, endpoint: Endpoint) -> Diagnosis:
    """Name, connection, TLS handshake; nothing is sent. Of UDP only the name can be known."""
    where = f"{endpoint.host}:{endpoint.port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port)
    except OSError as error:
        return fail(
            subject, f"{endpoint.host} has no address: {error.strerror}", "correct the name, or this machine's name servers"
        )
    if endpoint.transport == "udp":
        said = f"{where} has an address; whether anybody listens cannot be seen over UDP"
    else:
        try:
            said = f"{where} can be reached{await _connect(endpoint)}"
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            return fail(subject, *_unreached(where, error))
    if any(is_denied(str(address[4][0])) for address in found):
        fix = "if the service is installed from the package: systemctl edit netmote, [Service] IPAddressAllow= with its address"
        return warn(subject, f"{said}; a public address, which the service's sandbox denies unless allowed", fix)
    return ok(subject, said)


async def _connect(endpoint: Endpoint) -> str:
    """Connect and hang up; what is worth saying of TLS. Raises OSError and TimeoutError."""
    async with asyncio.timeout(_CONNECT_SECONDS):
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.context)
        said = "" if endpoint.context is None else _tls(writer)
        writer.close()
        with contextlib.suppress(OSError):  # how it hangs up is its affair
            await writer.wait_closed()
    return said


def _unreached(where: str, error: OSError | TimeoutError) -> tuple[str, str]:
    """What went wrong, and how to mend it."""
    match error:
        case ssl.SSLCertVerificationError():
            fix = "set ca_file to the authority that signed it; openssl s_client -connect shows its names and dates"
            return f"{where}: its certificate is refused: {error.verify_message}", fix
        case ssl.SSLError():
            fix = "does it speak TLS on that port? does it ask for a client_certificate?"
            return f"{where}: no TLS: {error.reason or error}", fix
        case TimeoutError():
            return f"{where} does not answer within {_CONNECT_SECONDS:g} s", "a firewall drops it, or the host is down"
    return f"{where}: {error.strerror or error}", "is it running, and is the port right?"


def _tls(writer: asyncio.StreamWriter) -> str:
    session: ssl.SSLObject = writer.get_extra_info("ssl_object")
    ends = (session.getpeercert() or {}).get("notAfter", "")
    return f", {session.version()}" + (f", certificate until {ends}" if ends else "")
