"""What a notification of a known device means: facts at once, and whether the device should be asked soon. Pure.

Link states of the port come from the notification where it says all that is needed (linkUp and linkDown of RFC 2863 do); the link
traps of RFC 1157, and those of vendors, do not say whether the port was shut on purpose, so the poll that follows decides. What a
restart means for counters is also the next poll's to tell, from sysUpTime. Everything else is one kind of fact, of bounded size.
"""

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import Final, NamedTuple

from netmote.records.entity import Entity
from netmote.records.fact import Fact
from netmote.records.interface import OperStatus
from netmote.snmp import mib
from netmote.snmp.notification import (
    AUTHENTICATION_FAILURE,
    COLD_START,
    LINK_DOWN,
    LINK_UP,
    SNMP_TRAP_ADDRESS,
    SNMP_TRAP_ENTERPRISE,
    WARM_START,
    Notification,
)
from netmote.snmp.oid import oid_text, parse_oid
from netmote.snmp.session import Varbind

_IF_INDEX: Final = parse_oid("1.3.6.1.2.1.2.2.1.1")
_ADMIN_STATUS: Final = mib.COLUMN["ifAdminStatus"]
_OPER_STATUS: Final = mib.COLUMN["ifOperStatus"]
_IP_ADDRESS: Final = 0x40
_ADDRESS_OCTETS = 4

NAMES: Final = MappingProxyType(
    {
        COLD_START: "coldStart",
        WARM_START: "warmStart",
        LINK_DOWN: "linkDown",
        LINK_UP: "linkUp",
        AUTHENTICATION_FAILURE: "authenticationFailure",
    }
)
_MOST_VARBINDS: Final = 8
_LONGEST_VALUE: Final = 64
_LONGEST_OID: Final = 128


class LinkNotice(NamedTuple):
    """What linkUp or linkDown says of a port. Statuses are 0 where it does not say."""

    if_index: int
    is_down: bool
    admin_status: int
    oper_status: int


class Meaning(NamedTuple):
    """What follows from a notification."""

    facts: tuple[Fact, ...]
    link: LinkNotice | None  # for who knows the device's ports
    is_poll_wanted: bool


def interpret(notification: Notification, device: Entity, time_ns: int) -> Meaning:
    """The meaning of a notification of this device that came at `time_ns`."""
    trap = notification.trap_oid
    if trap in (LINK_DOWN, LINK_UP):
        link = _link(notification)
        facts = () if link is not None else (notification_fact(notification, device, time_ns),)
        return Meaning(facts, link, is_poll_wanted=True)
    if trap in (COLD_START, WARM_START):
        return Meaning((), None, is_poll_wanted=True)
    if trap == AUTHENTICATION_FAILURE:
        annotations = {"from": peer} if (peer := _refused_address(notification)) else {}
        return Meaning(
            (Fact(device, "snmp_foreign_authentication_failure", time_ns, 1.0, annotations),), None, is_poll_wanted=False
        )
    return Meaning((notification_fact(notification, device, time_ns),), None, is_poll_wanted=False)


def notification_fact(notification: Notification, device: Entity, time_ns: int) -> Fact:
    """A notification as the fact that holds any: its OID and the first of its varbinds, as text of bounded length."""
    told = [varbind for varbind in notification.varbinds if varbind.oid not in (SNMP_TRAP_ADDRESS, SNMP_TRAP_ENTERPRISE)]
    annotations = {"notification": name_of(notification.trap_oid)}
    for varbind in told[:_MOST_VARBINDS]:
        annotations[_oid(varbind.oid)] = value_text(varbind)
    if len(told) > _MOST_VARBINDS:
        annotations["more"] = str(len(told) - _MOST_VARBINDS)
    return Fact(device, "snmp_notification", time_ns, 1.0, annotations)


def name_of(trap_oid: bytes) -> str:
    """The word of SNMPv2-MIB, else the OID."""
    return NAMES.get(trap_oid) or _oid(trap_oid)


def value_text(varbind: Varbind) -> str:
    """A value for people: numbers, OIDs and addresses as such, printable octets as text, others in hexadecimal; cut to 64 characters."""
    tag, value = varbind.tag, varbind.value
    if tag == mib.INTEGER:
        text = str(int.from_bytes(value, "big", signed=True)) if value else ""
    elif tag in (mib.COUNTER32, mib.GAUGE32, mib.TIME_TICKS, mib.COUNTER64):
        text = str(int.from_bytes(value[-8:], "big"))
    elif tag == mib.OBJECT_IDENTIFIER:
        text = _oid(value)
    elif tag == _IP_ADDRESS and len(value) == _ADDRESS_OCTETS:
        text = ".".join(map(str, value))
    elif tag == mib.OCTET_STRING:
        text = _octets_text(value[: 4 * _LONGEST_VALUE])
    else:
        text = value[:_LONGEST_VALUE].hex()
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _octets_text(value: bytes) -> str:
    try:
        text = value.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _oid(content: bytes) -> str:
    try:
        text = oid_text(content)
    except ValueError:
        text = content.hex()
    return text if len(text) <= _LONGEST_OID else f"{text[: _LONGEST_OID - 3]}..."


def _link(notification: Notification) -> LinkNotice | None:
    """None when it does not name its port. ifIndex comes as a value of its own, and as the instance of all three objects."""
    index = admin = oper = 0
    for varbind in notification.varbinds:
        for column in (_IF_INDEX, _ADMIN_STATUS, _OPER_STATUS):
            if varbind.oid.startswith(column) and varbind.tag == mib.INTEGER and 1 <= len(varbind.value) <= _ADDRESS_OCTETS:
                number = int.from_bytes(varbind.value, "big", signed=True)
                if column == _IF_INDEX:
                    index = number
                elif column == _ADMIN_STATUS:
                    admin = number
                else:
                    oper = number
    if index <= 0:
        return None
    return LinkNotice(index, notification.trap_oid == LINK_DOWN, admin, oper)


def link_state(notice: LinkNotice) -> OperStatus:
    """The ifOperStatus after a linkUp or linkDown. A linkDown may carry the state that is left (RFC 2863)."""
    known = OperStatus(notice.oper_status) if notice.oper_status in tuple(OperStatus) else OperStatus.NOT_KNOWN
    if notice.is_down:
        return OperStatus.DOWN if known in (OperStatus.UP, OperStatus.NOT_KNOWN) else known
    return OperStatus.UP if known in (OperStatus.DOWN, OperStatus.NOT_KNOWN) else known


def _refused_address(notification: Notification) -> str:
    """Who was refused, where the device says so: the first address that is not the device's own (Cisco's authAddr, for example)."""
    return next(_addresses(notification.varbinds), "")


def _addresses(varbinds: Iterable[Varbind]) -> Iterator[str]:
    for varbind in varbinds:
        if varbind.tag == _IP_ADDRESS and len(varbind.value) == _ADDRESS_OCTETS and varbind.oid != SNMP_TRAP_ADDRESS:
            yield ".".join(map(str, varbind.value))


Notify = Callable[[str, Notification], bool]
"""Tells a polled device, by name, of its notification; False when no such device is polled."""
