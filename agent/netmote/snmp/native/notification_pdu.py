"""Trap and inform PDUs: octets to `Notification` (RFC 1157 section 4.1.6, RFC 3416 sections 4.2.6 and 4.2.7). Pure.

A v1 Trap-PDU is translated as RFC 3584 section 3.1 says. Raises BerError for octets that are no notification, nothing else.
"""

from typing import Final

from netmote.snmp.mib import SYS_UP_TIME
from netmote.snmp.native.ber import (
    OBJECT_IDENTIFIER,
    SEQUENCE,
    BerError,
    enter,
    read_header,
    read_integer,
)
from netmote.snmp.native.pdu import RESPONSE
from netmote.snmp.native.varbinds import read_varbinds
from netmote.snmp.notification import SNMP_TRAP_ADDRESS, SNMP_TRAP_ENTERPRISE, SNMP_TRAP_OID, Notification
from netmote.snmp.oid import encode_arcs, parse_oid
from netmote.snmp.session import Varbind

TRAP_V1: Final = 0xA4
INFORM: Final = 0xA6
TRAP_V2: Final = 0xA7

_IP_ADDRESS = 0x40
_TIME_TICKS = 0x43
_SNMP_TRAPS = parse_oid("1.3.6.1.6.3.1.1.5")
_ENTERPRISE_SPECIFIC = 6
_MOST_VARBINDS = 256  # more than any MIB's notification has; a datagram holds some thousands


def read_notification(pdu: bytes) -> Notification:
    """A Trap-PDU of v1, or a SNMPv2-Trap-PDU or InformRequest-PDU, given with tag and length. Raises BerError."""
    tag, at, end = read_header(pdu, 0, len(pdu))
    if end != len(pdu):
        raise BerError("octets left over behind the PDU")
    if tag == TRAP_V1:
        return _read_v1(pdu, at, end)
    if tag not in (TRAP_V2, INFORM):
        raise BerError("no notification")
    for _ in range(3):  # request-id, error-status and error-index
        _, at = read_integer(pdu, at, end)
    varbinds = _list(pdu, at, end)
    # RFC 3416 section 4.2.6: the first two are sysUpTime.0 and snmpTrapOID.0.
    if len(varbinds) < 2:
        raise BerError("a notification without its name")
    up_time, name = varbinds[0], varbinds[1]
    if up_time.oid != SYS_UP_TIME or up_time.tag != _TIME_TICKS:
        raise BerError("a notification without sysUpTime.0")
    if name.oid != SNMP_TRAP_OID or name.tag != OBJECT_IDENTIFIER or not _is_oid(name.value):
        raise BerError("a notification without snmpTrapOID.0")
    return Notification(name.value, int.from_bytes(up_time.value, "big") & 0xFFFF_FFFF, varbinds[2:], tag == INFORM)


def response_to(inform: bytes) -> bytes:
    """The Response-PDU to an InformRequest-PDU that `read_notification` has read: the same but for its kind (RFC 3416 section 4.2.7)."""
    return bytes((RESPONSE,)) + inform[1:]


def _read_v1(pdu: bytes, at: int, end: int) -> Notification:
    start, at = enter(pdu, at, end, OBJECT_IDENTIFIER)
    enterprise = pdu[start:at]
    start, at = enter(pdu, at, end, _IP_ADDRESS)
    address = pdu[start:at]
    generic, at = read_integer(pdu, at, end)
    specific, at = read_integer(pdu, at, end)
    start, at = enter(pdu, at, end, _TIME_TICKS)
    if not _is_oid(enterprise) or len(address) != 4 or not 0 <= generic <= _ENTERPRISE_SPECIFIC or at - start > 9:
        raise BerError("the fields of a Trap-PDU are out of their range")
    up_time = int.from_bytes(pdu[start:at], "big") & 0xFFFF_FFFF
    if generic == _ENTERPRISE_SPECIFIC:
        if specific < 0:
            raise BerError("a negative specific-trap")
        trap_oid = enterprise + encode_arcs((0, specific))
    else:
        trap_oid = _SNMP_TRAPS + encode_arcs((generic + 1,))
    varbinds = _list(pdu, at, end)
    present = {varbind.oid for varbind in varbinds}
    for varbind in (
        Varbind(SNMP_TRAP_ADDRESS, _IP_ADDRESS, address),
        Varbind(SNMP_TRAP_ENTERPRISE, OBJECT_IDENTIFIER, enterprise),
    ):
        if varbind.oid not in present:
            varbinds.append(varbind)
    return Notification(trap_oid, up_time, varbinds, is_confirmed=False)


def _list(pdu: bytes, at: int, end: int) -> list[Varbind]:
    start, stop = enter(pdu, at, end, SEQUENCE)
    if stop != end:
        raise BerError("octets left over in the PDU")
    varbinds = read_varbinds(pdu, start, stop)
    if len(varbinds) > _MOST_VARBINDS:
        raise BerError("too many varbinds")
    return varbinds


def _is_oid(octets: bytes) -> bool:
    return 0 < len(octets) <= 640 and octets[-1] < 0x80
