"""What the shipped unit lets the service talk to: its IPAddressAllow=, as values. A test compares it with the unit."""

import ipaddress
from typing import Final

# localhost and link-local as systemd.resource-control(5) defines the words.
ALLOWED: Final = tuple(
    map(ipaddress.ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"))
) + tuple(map(ipaddress.ip_network, ("::1/128", "fc00::/7", "fe80::/10")))


def is_denied(address: str) -> bool:
    """Whether the shipped unit keeps the service from this address; a name may be anything."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not any(number in network for network in ALLOWED)
