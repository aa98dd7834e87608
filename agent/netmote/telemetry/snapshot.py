"""What the agent shows of itself at one moment: the nouns of the status page, `netmote status` and the control socket.

Frozen values and their JSON, nothing that gathers them (the daemon does) or draws them (web and cli do). A figure that is
not known is None, never zero. States are words, open to new ones: an older reader shows a word that it does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from pydantic import ConfigDict, TypeAdapter, ValidationError

from netmote.telemetry.health import Level, Reason

SNAPSHOT_VERSION = 1


@dataclass(frozen=True, slots=True)
class LegStatus:
    """One of the three legs: ingest, analysis, delivery."""

    name: str
    is_alive: bool
    progress_age_seconds: float | None = None  # since it last finished a piece of work (an idle turn counts)


@dataclass(frozen=True, slots=True)
class InputStatus:
    """One collector: a captured interface, a poller, this host."""

    name: str  # "eth0", "snmp", "host"
    kind: str  # capture, snmp, host
    state: str  # running, starting, degraded, failed
    lag_seconds: float | None = None  # how far its newest event time lies behind now
    rate: float | None = None  # over the last few seconds, in `rate_unit`
    rate_unit: str = "packets/s"
    received_total: int = 0  # packets or readings since the start
    dropped: Mapping[str, int] = field(default_factory=dict)  # by reason, since the start
    reason: str = ""  # why it is not running


@dataclass(frozen=True, slots=True)
class InterfaceStatus:
    """The rates of one port of a device, or of one of this machine's interfaces."""

    name: str  # ifName
    state: str  # ifOperStatus in words
    receive_bits_per_second: float | None = None
    transmit_bits_per_second: float | None = None
    speed_bits_per_second: float | None = None  # ifHighSpeed; None: the device does not say
    error_rate: float | None = None  # errors and discards, both directions, 1/s
    alias: str = ""  # ifAlias


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One polled device."""

    name: str
    address: str
    state: str  # up, snmp_broken, unreachable, probation, unknown
    last_answer_ns: int | None = None  # wall time
    poll_seconds: float | None = None  # how long the last poll took
    interval_seconds: float | None = None
    description: str = ""  # sysDescr, shortened by the collector
    reason: str = ""
    interfaces: tuple[InterfaceStatus, ...] = ()
    backend: str = ""  # native, pysnmp
    fallback_reason: str = ""  # why that is not the first choice
    quirks: tuple[str, ...] = ()  # what the device was found to need
    timeout_seconds: float | None = None  # how long a request waits before it is sent again, as measured
    identity: str = ""  # who the device says it is: serial number, else engine id


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model bundle."""

    name: str
    version: str
    state: str  # active, shadow, refused, idle
    reason: str = ""  # why it was refused
    schema: str = ""
    p50_ms: float | None = None  # latency of scoring one batch
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LearningStatus:
    """How many watched things have a baseline of their own."""

    cold: int = 0  # seen, too little to say anything
    learning: int = 0
    armed: int = 0  # the models may raise alerts


@dataclass(frozen=True, slots=True)
class AlertSummary:
    """One alert in a list."""

    alert_id: str
    state: str  # firing, resolved
    severity: str  # word of RFC 5424: "critical", "warning" ...
    title: str
    entity: str  # "<kind>:<name>"
    group: str
    score: float  # 0..1
    started_at_ns: int  # event time
    last_seen_ns: int  # event time
    count: int
    technique: str | None = None
    is_silenced: bool = False


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One way upstream and what waits for it."""

    name: str
    state: str  # ok, retrying, starting, failed
    queued: int = 0  # revisions in the ledger after its cursor
    oldest_age_seconds: float | None = None
    delivered_total: int = 0  # since the start
    quarantined_total: int = 0  # in the ledger
    last_error: str = ""
    retry_in_seconds: float | None = None
    # The ledger's books since the sink was registered: created = acknowledged + queued + expired + quarantined.
    created_total: int = 0
    acknowledged_total: int = 0
    expired_total: int = 0
    do_books_balance: bool = True


@dataclass(frozen=True, slots=True)
class ExportStatus:
    """One way out for flow records and what waits for it."""

    name: str
    kind: str  # ipfix, eve
    state: str  # ok, retrying, starting
    queued: int = 0  # flows
    exported_total: int = 0  # flows, since the start
    lost: Mapping[str, int] = field(default_factory=dict)  # flows by reason, since the start
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The state directory."""

    ledger_bytes: int = 0
    telemetry_bytes: int = 0
    free_bytes: int | None = None
    days_left: float | None = None  # until the free space floor at the present rate; None: not known, or never
    last_seq: int = 0
    ledger_epoch: str = ""
    written_per_day: float | None = None  # bytes written for telemetry, in logs and files; None: not known yet


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything shown, taken at one moment."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    taken_at_ns: int
    sensor: str
    version: str
    level: Level
    started_at_ns: int
    reasons: tuple[Reason, ...] = ()
    legs: tuple[LegStatus, ...] = ()
    inputs: tuple[InputStatus, ...] = ()
    devices: tuple[DeviceStatus, ...] = ()
    interfaces: tuple[InterfaceStatus, ...] = ()  # of this machine
    drops: Mapping[str, int] = field(default_factory=dict)  # "<stage>/<reason>" -> records, since the start
    models: tuple[ModelStatus, ...] = ()
    learning: LearningStatus = LearningStatus()
    alerts: tuple[AlertSummary, ...] = ()  # firing ones first, then the latest; bounded by the daemon
    alerts_firing: int = 0  # in all, also those not listed
    sinks: tuple[SinkStatus, ...] = ()
    exports: tuple[ExportStatus, ...] = ()
    store: StoreStatus = StoreStatus()
    memory_rss_bytes: int | None = None
    snapshot_version: int = SNAPSHOT_VERSION

    @property
    def is_degraded(self) -> bool:
        return self.level is not Level.FULL or bool(self.reasons)

    @property
    def is_alive(self) -> bool:
        """Whether every leg is alive."""
        return all(leg.is_alive for leg in self.legs)

    def to_json(self) -> bytes:
        """One JSON object, UTF-8; a number that is not finite becomes null."""
        return _adapter().dump_json(self)

    @classmethod
    def from_json(cls, document: bytes | str) -> "Snapshot":
        """Inverse of `to_json`; unknown keys (of a later version) are ignored. Raises ValueError."""
        try:
            return _adapter().validate_json(document)
        except ValidationError as error:
            raise ValueError(f"not a snapshot: {error}") from error


@cache
def _adapter() -> TypeAdapter[Snapshot]:
    return TypeAdapter(Snapshot)
