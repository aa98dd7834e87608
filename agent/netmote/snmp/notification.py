"""A notification as all versions of SNMP have it: when, which, about what (RFC 3416 section 4.2.6). A value.

v1 traps are here in the words of v2 (RFC 3584 section 3.1), so that nothing behind this noun knows of them.
"""

from typing import Final, NamedTuple

from netmote.snmp.oid import parse_oid
from netmote.snmp.session import Varbind

# SNMPv2-MIB (RFC 3418): snmpTraps and what every notification carries.
COLD_START: Final = parse_oid("1.3.6.1.6.3.1.1.5.1")
WARM_START: Final = parse_oid("1.3.6.1.6.3.1.1.5.2")
LINK_DOWN: Final = parse_oid("1.3.6.1.6.3.1.1.5.3")
LINK_UP: Final = parse_oid("1.3.6.1.6.3.1.1.5.4")
AUTHENTICATION_FAILURE: Final = parse_oid("1.3.6.1.6.3.1.1.5.5")
SNMP_TRAP_OID: Final = parse_oid("1.3.6.1.6.3.1.1.4.1.0")
# SNMP-COMMUNITY-MIB (RFC 3584 section 5): where a proxy says whose trap it passes on.
SNMP_TRAP_ADDRESS: Final = parse_oid("1.3.6.1.6.3.18.1.3.0")
SNMP_TRAP_ENTERPRISE: Final = parse_oid("1.3.6.1.6.3.1.1.4.3.0")


class Notification(NamedTuple):
    """One trap or inform."""

    trap_oid: bytes
    """snmpTrapOID.0, content octets."""
    up_time: int
    """sysUpTime.0 of the sender, hundredths of a second."""
    varbinds: list[Varbind]
    """What follows these two."""
    is_confirmed: bool
    """An inform: its sender waits for a Response-PDU, and sends it again without one."""

    @property
    def trap_address(self) -> str:
        """snmpTrapAddress.0 as text; "" when there is none, or 0.0.0.0."""
        for varbind in self.varbinds:
            if varbind.oid == SNMP_TRAP_ADDRESS and len(varbind.value) == 4 and any(varbind.value):
                return ".".join(map(str, varbind.value))
        return ""
