"""LLDP-MIB (IEEE 802.1AB): who is at the other end of each port."""

import ipaddress
from collections.abc import Callable, Mapping

from netmote.snmp.details.found import Found, Neighbour, dotted
from netmote.snmp.details.tables import table
from netmote.snmp.details.values import integer, shown, text
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import SnmpSession
from netmote.snmp.walk import Cell

_REMOTE = "1.0.8802.1.1.2.1.4.1.1"
_CHASSIS_SUBTYPE, _CHASSIS, _PORT_SUBTYPE, _PORT, _PORT_DESCR, _SYS_NAME = (parse_oid(f"{_REMOTE}.{arc}") for arc in range(4, 10))
_LOCAL_SUBTYPE, _LOCAL_PORT, _LOCAL_DESCR = (parse_oid(f"1.0.8802.1.1.2.1.3.7.1.{arc}") for arc in (2, 3, 4))
# LldpChassisIdSubtype and LldpPortIdSubtype: which are addresses and not names.
_CHASSIS_MAC, _CHASSIS_ADDRESS, _PORT_MAC, _PORT_ADDRESS = 4, 5, 3, 4
_IF_NAME = 5  # LldpPortIdSubtype interfaceName
_IANA_FAMILY_OCTETS = {1: 4, 2: 16}


class Lldp:
    """lldpRemTable under the names of lldpLocPortTable."""

    name = "lldp"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        columns = (_CHASSIS_SUBTYPE, _CHASSIS, _PORT_SUBTYPE, _PORT, _PORT_DESCR, _SYS_NAME)
        remote = await table(session, columns, self._monotonic)
        local = await table(session, (_LOCAL_SUBTYPE, _LOCAL_PORT, _LOCAL_DESCR), self._monotonic)
        if not local.indexes and not remote.indexes:
            return Found()
        by_name = frozenset(ports.values())
        neighbours = []
        for index in remote.indexes:
            if len(index) != 3:  # lldpRemTimeMark, lldpRemLocalPortNum, lldpRemIndex
                continue
            chassis_kind, chassis, port_kind, port, descr, name = (remote.cells[column].get(index) for column in columns)
            number = (index[1],)
            own = [text(local.cells[column].get(number)) for column in (_LOCAL_PORT, _LOCAL_DESCR)]
            neighbours.append(
                Neighbour(
                    local_port=_port_name(own, integer(local.cells[_LOCAL_SUBTYPE].get(number)), index[1], by_name, ports),
                    chassis_id=_identifier(chassis, integer(chassis_kind), _CHASSIS_MAC, _CHASSIS_ADDRESS),
                    port_id=_identifier(port, integer(port_kind), _PORT_MAC, _PORT_ADDRESS),
                    port_descr=text(descr),
                    sys_name=text(name),
                )
            )
        return Found(is_there=True, neighbours=tuple(sorted(neighbours)))


def _port_name(own: list[str], subtype: int | None, number: int, names: frozenset[str], ports: Mapping[int, str]) -> str:
    """The port as IF-MIB calls it where that can be told: its number need not be an ifIndex."""
    for each in own:
        if each in names:
            return each
    if subtype == _IF_NAME and own[0]:
        return own[0]
    return own[1] or ports.get(number, str(number))


def _identifier(cell: Cell | None, subtype: int | None, mac: int, address: int) -> str:
    value = b"" if cell is None else cell.value
    if subtype == mac and len(value) == 6:
        return value.hex(":")
    if subtype == address and value and _IANA_FAMILY_OCTETS.get(value[0]) == len(value) - 1:
        return str(ipaddress.ip_address(value[1:]))
    return shown(cell) if value.isascii() else dotted(tuple(value)) if len(value) < 4 else value.hex(":")
