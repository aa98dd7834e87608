"""The IPFIX exporter: templates and statistics when they are due, flow records as they come, over one transport."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.flow_export.exporter import Parcel
from netmote.flow_export.flow_queue import ExportTally, FlowChunk
from netmote.flow_export.ipfix.config import IpfixConfig
from netmote.flow_export.ipfix.domain import observation_domain
from netmote.flow_export.ipfix.message import Body, DataSet, Session, one_set, pack
from netmote.flow_export.ipfix.statistics import DomainStatistics, options_template_records, statistics_sets
from netmote.flow_export.ipfix.tcp import TcpTransport
from netmote.flow_export.ipfix.templates import OPTIONS_TEMPLATE_SET_ID, TEMPLATE_SET_ID, FlowTemplates
from netmote.flow_export.ipfix.transport import Transport
from netmote.flow_export.ipfix.udp import UdpTransport
from netmote.flow_export.metering_totals import MeteringTotals


@dataclass(slots=True)
class _Domain:
    """One observation domain: what was sent of it since the start, and when its templates and statistics were."""

    interface: str
    messages: int = 0
    flow_records: int = 0
    octets: int = 0
    templates_at: float | None = None  # monotonic, in this session
    statistics_at: float | None = None


class IpfixExporter:
    """See `netmote.flow_export.exporter.FlowExporter` for its life."""

    def __init__(
        self,
        config: IpfixConfig,
        *,
        clock: Clock,
        tally: ExportTally,
        metering: Mapping[str, MeteringTotals],
        transport: Transport | None = None,
    ) -> None:
        """`metering`: totals by interface, read when statistics are due. `transport`: that of the configuration, or a test's."""
        self.name = config.name
        self._config, self._clock, self._tally, self._metering = config, clock, tally, metering
        self._transport = transport or transport_of(config)
        self._templates = FlowTemplates(config.records)
        self._process_id = zlib.crc32(config.name.encode()) or 1
        self._session = Session()
        self._domains: dict[int, _Domain] = {}

    async def open(self) -> None:
        """Begin a transport session: sequence numbers and templates begin anew."""
        await self._transport.open()
        self._session = Session()
        for domain in self._domains.values():
            domain.templates_at = domain.statistics_at = None

    async def prepare(self, chunk: FlowChunk) -> Sequence[Parcel]:
        """Data records in as few messages as hold them."""
        sets = [
            DataSet(template.template_id, template.dtype.itemsize, data.tobytes())
            for template, data in self._templates.encode(chunk.records)
        ]
        bodies = pack(sets, message_octets=self._config.message_size)
        return [Parcel(chunk.interface, body.octets, body.data_records) for body in bodies]

    async def send(self, parcel: Parcel) -> int:
        """One message of flow records, after templates and statistics that are due."""
        number = observation_domain(parcel.interface)
        domain = self._domains.setdefault(number, _Domain(parcel.interface))
        octets = await self._send_due(number, domain)
        octets += await self._send(number, domain, [Body(parcel.octets, parcel.records)])
        domain.flow_records += parcel.records
        return octets

    async def tend(self) -> int:
        """Templates and statistics of every domain that are due; and whether the collector is still there."""
        self._transport.check()
        for interface in self._metering:
            self._domains.setdefault(observation_domain(interface), _Domain(interface))
        return sum([await self._send_due(number, domain) for number, domain in self._domains.items()])

    async def close(self) -> None:
        await self._transport.close()

    async def _send_due(self, number: int, domain: _Domain) -> int:
        now = self._clock.monotonic()
        refresh = self._config.template_refresh if self._transport.repeats_templates else None
        octets = 0
        if _is_due(domain.templates_at, now, refresh):
            templates = b"".join(template.record for template in self._templates.templates)
            bodies = [
                Body(one_set(TEMPLATE_SET_ID, templates)),
                Body(one_set(OPTIONS_TEMPLATE_SET_ID, options_template_records())),
            ]
            octets += await self._send(number, domain, bodies, has_templates=True)
            domain.templates_at = now
        if _is_due(domain.statistics_at, now, self._config.statistics_interval):
            sets = statistics_sets(number, self._process_id, self._statistics(domain))
            octets += await self._send(number, domain, pack(sets, message_octets=self._config.message_size))
            domain.statistics_at = now
        return octets

    async def _send(self, number: int, domain: _Domain, bodies: Sequence[Body], *, has_templates: bool = False) -> int:
        export_time = self._clock.now_ns() // NANOSECONDS_PER_SECOND
        message = self._session.message(bodies, observation_domain=number, export_time=export_time)
        await self._transport.send(message, has_templates=has_templates)
        self._session.sent(bodies, observation_domain=number)
        domain.messages += 1
        domain.octets += len(message)
        return len(message)

    def _statistics(self, domain: _Domain) -> DomainStatistics:
        metering = self._metering.get(domain.interface, MeteringTotals())
        return DomainStatistics(
            interface=domain.interface,
            messages=domain.messages,
            flow_records=domain.flow_records,
            octets=domain.octets,
            ignored_packets=metering.ignored_packets,
            dropped_packets=metering.dropped_packets,
            not_sent_flows=self._tally.lost.total(),
            not_sent_packets=self._tally.lost_packets,
            not_sent_octets=self._tally.lost_octets,
        )


def transport_of(config: IpfixConfig) -> Transport:
    """The transport of this configuration, not opened."""
    if config.transport == "udp":
        return UdpTransport(config.host, config.port, messages_per_second=config.messages_per_second)
    return TcpTransport(
        config.host,
        config.port,
        tls=config.transport == "tls",
        ca_file=config.ca_file,
        client_certificate=config.client_certificate,
        client_key=config.client_key,
    )


def _is_due(last: float | None, now: float, interval: float | None) -> bool:
    return last is None or (interval is not None and now - last >= interval)
