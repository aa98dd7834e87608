"""Names and numbers of the MIB objects netmote reads, in the words of their MIBs.

SNMPv2-MIB (RFC 3418), IF-MIB (RFC 2863), HOST-RESOURCES-MIB (RFC 2790); application tags of SNMPv2-SMI (RFC 2578).
"""

from typing import Final, NamedTuple

from netmote.snmp.oid import parse_oid

# Tags of values (RFC 2578 section 2, RFC 3416 section 3).
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
COUNTER32: Final = 0x41
GAUGE32: Final = 0x42
TIME_TICKS: Final = 0x43
COUNTER64: Final = 0x46
NO_SUCH_OBJECT: Final = 0x80
NO_SUCH_INSTANCE: Final = 0x81
END_OF_MIB_VIEW: Final = 0x82
EXCEPTIONS: Final = frozenset((NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_MIB_VIEW, NULL))

# error-status of a Response-PDU (RFC 3416 section 3); values that a poller acts upon, and the names of all.
TOO_BIG: Final = 1
NO_SUCH_NAME: Final = 2
AUTHORIZATION_ERROR: Final = 16
ERROR_STATUS: Final = (
    "noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType", "wrongLength",
    "wrongEncoding", "wrongValue", "noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed", "undoFailed",
    "authorizationError", "notWritable", "inconsistentName",
)  # fmt: skip

# SNMPv2-MIB system group.
SYS_DESCR: Final = parse_oid("1.3.6.1.2.1.1.1.0")
SYS_OBJECT_ID: Final = parse_oid("1.3.6.1.2.1.1.2.0")
SYS_UP_TIME: Final = parse_oid("1.3.6.1.2.1.1.3.0")
SYS_CONTACT: Final = parse_oid("1.3.6.1.2.1.1.4.0")
SYS_NAME: Final = parse_oid("1.3.6.1.2.1.1.5.0")
SYS_LOCATION: Final = parse_oid("1.3.6.1.2.1.1.6.0")
# HOST-RESOURCES-MIB: ticks since the machine booted, where sysUpTime counts since the agent did.
HR_SYSTEM_UPTIME: Final = parse_oid("1.3.6.1.2.1.25.1.1.0")
# Who the device is. SNMP-FRAMEWORK-MIB (RFC 3411) snmpEngineID; ENTITY-MIB (RFC 6933) class and serial number of the first physical
# entity, which is the chassis or stack on most devices that have the MIB.
SNMP_ENGINE_ID: Final = parse_oid("1.3.6.1.6.3.10.2.1.1.0")
ENT_PHYSICAL_CLASS_1: Final = parse_oid("1.3.6.1.2.1.47.1.1.1.1.5.1")
ENT_PHYSICAL_SERIAL_NUM_1: Final = parse_oid("1.3.6.1.2.1.47.1.1.1.1.11.1")
CHASSIS, STACK = 3, 11  # PhysicalClass
# IF-MIB scalars: a change of either means that rows came or went.
IF_NUMBER: Final = parse_oid("1.3.6.1.2.1.2.1.0")
IF_TABLE_LAST_CHANGE: Final = parse_oid("1.3.6.1.2.1.31.1.5.0")

_IF_ENTRY = "1.3.6.1.2.1.2.2.1"
_IF_X_ENTRY = "1.3.6.1.2.1.31.1.1.1"

COLUMN: Final[dict[str, bytes]] = {
    name: parse_oid(f"{entry}.{number}")
    for entry, columns in (
        (
            _IF_ENTRY,
            {
                "ifDescr": 2,
                "ifType": 3,
                "ifSpeed": 5,
                "ifPhysAddress": 6,
                "ifAdminStatus": 7,
                "ifOperStatus": 8,
                "ifLastChange": 9,
                "ifInOctets": 10,
                "ifInUcastPkts": 11,
                "ifInDiscards": 13,
                "ifInErrors": 14,
                "ifInUnknownProtos": 15,
                "ifOutOctets": 16,
                "ifOutUcastPkts": 17,
                "ifOutDiscards": 19,
                "ifOutErrors": 20,
            },
        ),
        (
            _IF_X_ENTRY,
            {
                "ifName": 1,
                "ifInMulticastPkts": 2,
                "ifInBroadcastPkts": 3,
                "ifOutMulticastPkts": 4,
                "ifOutBroadcastPkts": 5,
                "ifHCInOctets": 6,
                "ifHCInUcastPkts": 7,
                "ifHCInMulticastPkts": 8,
                "ifHCInBroadcastPkts": 9,
                "ifHCOutOctets": 10,
                "ifHCOutUcastPkts": 11,
                "ifHCOutMulticastPkts": 12,
                "ifHCOutBroadcastPkts": 13,
                "ifHighSpeed": 15,
                "ifAlias": 18,
                "ifCounterDiscontinuityTime": 19,
            },
        ),
    )
    for name, number in columns.items()
}


class CounterSource(NamedTuple):
    """Where a column of INTERFACE_COUNTERS comes from: the Counter64 object, else its Counter32 twin."""

    wide: str | None
    narrow: str | None


# In the order of records.interface.INTERFACE_COUNTERS; carrier_transitions is not of IF-MIB.
COUNTER_SOURCES: Final = (
    CounterSource("ifHCInOctets", "ifInOctets"),
    CounterSource("ifHCOutOctets", "ifOutOctets"),
    CounterSource("ifHCInUcastPkts", "ifInUcastPkts"),
    CounterSource("ifHCOutUcastPkts", "ifOutUcastPkts"),
    CounterSource("ifHCInMulticastPkts", "ifInMulticastPkts"),
    CounterSource("ifHCOutMulticastPkts", "ifOutMulticastPkts"),
    CounterSource("ifHCInBroadcastPkts", "ifInBroadcastPkts"),
    CounterSource("ifHCOutBroadcastPkts", "ifOutBroadcastPkts"),
    CounterSource(None, "ifInDiscards"),
    CounterSource(None, "ifOutDiscards"),
    CounterSource(None, "ifInErrors"),
    CounterSource(None, "ifOutErrors"),
    CounterSource(None, "ifInUnknownProtos"),
    CounterSource(None, None),
)

ETHERNET_CSMACD: Final = 6  # IANAifType
# IANAifType of interfaces without a line of their own: their ifSpeed is a convention, not a limit.
# softwareLoopback, propVirtual, tunnel, l2vlan, l3ipvlan, ieee8023adLag keeps its sum and is not among them; bridge,
# propMultiplexor, other (snmpd reports virtual devices as such), virtualIpAddress, mplsTunnel, vlan of Catalyst (propVirtual).
VIRTUAL_IF_TYPES: Final = (1, 24, 53, 54, 112, 131, 135, 136, 150, 209)
