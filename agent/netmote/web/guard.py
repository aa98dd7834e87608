"""What every request must satisfy and every answer carries. Pure.

The page has no authentication, it is for whoever is on this machine. A web site that makes its own name resolve to 127.0.0.1
(DNS rebinding) would reach it from the operator's browser; such a request carries that name in Host and is refused.
"""

import ipaddress
from urllib.parse import urlsplit

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "netmote",
}


def is_loopback_host(header: str | None) -> bool:
    """Whether a Host header (RFC 9110 section 7.2) names this machine: `localhost` or a loopback address, any port."""
    if not header:
        return False
    try:
        parts = urlsplit(f"//{header}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.path or parts.query or parts.fragment or parts.username is not None:
        return False
    if host.rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
