"""Which observation domain (RFC 7011 section 2) an interface is."""

import zlib


def observation_domain(interface: str) -> int:
    """The Observation Domain ID of an interface: its name's CRC-32, the same after every restart and never 0.

    An ifIndex would do until the next reboot. Which name it is stands in an options record (interfaceName).
    """
    return zlib.crc32(interface.encode()) or 1
