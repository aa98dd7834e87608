"""What a collector must know to trust the flows: options records (RFC 7011 section 4) on what was exported, ignored and not sent."""

import struct
from dataclasses import dataclass

from netmote.flow_export.ipfix.message import DataSet

# (element, octets); the first is the scope of the record (RFC 7011 section 3.4.2.1).
_OBSERVATION_DOMAIN_ID, _EXPORTING_PROCESS_ID = (149, 4), (144, 4)
_VARIABLE = 65_535  # RFC 7011 section 7: the length stands before the value
_TEMPLATES = {
    # Metering Process Statistics, section 4.1: exportedMessageTotalCount, exportedFlowRecordTotalCount, exportedOctetTotalCount.
    264: (_OBSERVATION_DOMAIN_ID, (41, 8), (42, 8), (40, 8)),
    # Metering Process Reliability Statistics, section 4.2: ignoredPacketTotalCount, droppedPacketTotalCount. Octets and times of
    # packets that were never looked at are not known.
    265: (_OBSERVATION_DOMAIN_ID, (164, 8), (135, 8)),
    # Exporting Process Reliability Statistics, section 4.3: notSentFlowTotalCount, notSentPacketTotalCount, notSentOctetTotalCount.
    266: (_EXPORTING_PROCESS_ID, (166, 8), (167, 8), (168, 8)),
    # The observation domain's interface: interfaceName.
    267: (_OBSERVATION_DOMAIN_ID, (82, _VARIABLE)),
}


@dataclass(frozen=True, slots=True)
class DomainStatistics:
    """Of one observation domain since the start; the last three of the exporting process as a whole."""

    interface: str
    messages: int = 0
    flow_records: int = 0
    octets: int = 0
    ignored_packets: int = 0  # captured but not metered: undecodable, or the table was full
    dropped_packets: int = 0  # never captured: dropped by the kernel
    not_sent_flows: int = 0
    not_sent_packets: int = 0
    not_sent_octets: int = 0


def options_template_records() -> bytes:
    """The Options Template Records (RFC 7011 section 3.4.2.2)."""
    records = []
    for template_id, fields in _TEMPLATES.items():
        records.append(struct.pack("!HHH", template_id, len(fields), 1))
        records += [struct.pack("!HH", number, octets) for number, octets in fields]
    return b"".join(records)


def statistics_sets(domain: int, process: int, statistics: DomainStatistics) -> list[DataSet]:
    """The data sets, one record each."""
    name = statistics.interface.encode()[:254]
    records = {
        264: struct.pack("!IQQQ", domain, statistics.messages, statistics.flow_records, statistics.octets),
        265: struct.pack("!IQQ", domain, statistics.ignored_packets, statistics.dropped_packets),
        266: struct.pack("!IQQQ", process, statistics.not_sent_flows, statistics.not_sent_packets, statistics.not_sent_octets),
        267: struct.pack("!IB", domain, len(name)) + name,
    }
    return [DataSet(template_id, len(record), record) for template_id, record in records.items()]
