"""Configuration of SNMP polling."""

from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration, Secret, Section

BackendChoice = Literal["auto", "native", "pysnmp"]


class UsmConfig(Section):
    """An SNMPv3 user (USM, RFC 3414)."""

    security_name: str = Field(min_length=1, max_length=32)
    """securityName of the user."""

    auth_protocol: Literal["none", "md5", "sha", "sha224", "sha256", "sha384", "sha512"] = "sha256"
    """Authentication protocol."""

    auth_password: Secret | None = None
    """Authentication password, at least 8 characters, by reference."""

    priv_protocol: Literal["none", "des", "aes128", "aes192", "aes256", "aes192c", "aes256c"] = "aes128"
    """Privacy protocol. `aes192c` and `aes256c` are for Cisco and others that lengthen a short key in the way of the Reeder draft."""

    priv_password: Secret | None = None
    """Privacy password, at least 8 characters, by reference."""

    context_name: str = ""
    """contextName; empty is the default context."""

    @model_validator(mode="after")
    def _passwords(self) -> Self:
        if self.auth_protocol == "none" and self.priv_protocol != "none":
            raise ValueError(
                "priv_protocol needs an auth_protocol (RFC 3411 section 3.4.3 knows no privacy without authentication)"
            )
        for kind in ("auth", "priv"):
            if getattr(self, f"{kind}_protocol") != "none" and getattr(self, f"{kind}_password") is None:
                raise ValueError(f"{kind}_password is missing; set it, or {kind}_protocol: none")
        return self


class TargetConfig(Section):
    """One polled device."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^/:\s]+$")
    """The device's name in records and alerts: no slash, colon or blank."""

    address: str = Field(min_length=1)
    """IPv4 or IPv6 address, or a host name."""

    port: int = Field(default=161, ge=1, le=65535)
    """UDP port of the agent."""

    version: Literal["1", "2c", "3"] = "2c"
    """SNMP version."""

    backend: BackendChoice | None = None
    """What speaks SNMP with this device. Unset: the choice for all."""

    community: Secret | None = None
    """Community of versions 1 and 2c, by reference. Unset: `public`."""

    user: UsmConfig | None = None
    """User of version 3."""

    interval: Duration | None = Field(default=None, ge=1.0)
    """Poll interval of this device. Unset: the interval of all."""

    timeout: Duration = Field(default=2.0, ge=0.1, le=30.0)
    """How long one request waits for its answer, until answers were measured; from then on a little longer than they take: no less than a
    second or this, and no more than four times this. The last attempt waits no less than this."""

    retries: int = Field(default=1, ge=0, le=5)
    """How often a request is sent again, each time with twice the wait."""

    max_repetitions: int = Field(default=20, ge=1, le=100)
    """Rows asked for in one GETBULK; shrunk when the device answers tooBig."""

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.version == "3" and self.user is None:
            raise ValueError("version 3 needs a user")
        if self.version != "3" and self.user is not None:
            raise ValueError('a user needs version: "3"')
        return self

    @model_validator(mode="after")
    def _backend(self) -> Self:
        if self.version == "1" and self.backend == "pysnmp":
            raise ValueError('version "1" is spoken by the native back end only; leave out backend: pysnmp')
        return self


class NotificationsConfig(Section):
    """Traps and informs that polled devices send."""

    address: str = ""
    """Address to listen on: `0.0.0.0`, `::` for IPv4 and IPv6, or one of this machine's. Empty: no notification is received."""

    port: int = Field(default=162, ge=1, le=65535)
    """UDP port. Below 1024 the service needs the capability CAP_NET_BIND_SERVICE."""

    communities: tuple[Secret, ...] = ()
    """Communities of v1 and v2c notifications, by reference, beside those with which devices are polled."""

    users: tuple[UsmConfig, ...] = ()
    """Users of v3 notifications, beside those with which devices are polled. Of one name the one here counts."""

    rate: float = Field(default=20.0, gt=0.0, le=100_000.0)
    """Notifications a second that one sender may send on average; ten times as many at once. What is above is dropped and counted."""

    @field_validator("address")
    @classmethod
    def _numeric(cls, address: str) -> str:
        if address:
            try:
                ip_address(address)
            except ValueError:
                raise ValueError(f"{address!r} is no address; write 0.0.0.0, ::, or an address of this machine") from None
        return address


class SnmpConfig(Section):
    """What is polled, and how often."""

    interval: Duration = Field(default=10.0, ge=1.0)
    """Poll interval of devices that name none."""

    backend: BackendChoice = "auto"
    """What speaks SNMP: `native`, netmote's own and by far the cheaper; `pysnmp`; or `auto`: the better one for each device, and the
    other where the first cannot read its answers."""

    max_in_flight: int = Field(default=50, ge=1, le=500)
    """Requests sent and not yet answered, over all devices that do answer."""

    details_interval: Duration = Field(default=60.0, ge=10.0, le=86_400.0)
    """How often what lies beyond the ports is read: CPU, memory, storage, sensors, protocol counters, LLDP neighbours."""

    max_gauges: int = Field(default=500, ge=0, le=10_000)
    """Gauges kept of one device; the others are named in `netmote poll`. 0: nothing beyond the ports is read."""

    profiles: tuple[str, ...] = ("builtin",)
    """Profile files or directories: which of a vendor's objects are read; `builtin` stands for the shipped ones."""

    targets: tuple[TargetConfig, ...] = ()
    """The polled devices. Names are unique."""

    notifications: NotificationsConfig = NotificationsConfig()
    """What polled devices send by themselves."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [target.name for target in self.targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"target names are unique; given twice: {', '.join(twice)}")
        return self

    def resolved(self, target: TargetConfig) -> TargetConfig:
        """The target with its back end chosen: its own choice, or the one for all (version 1 has none but native and auto)."""
        if target.backend is not None:
            return target
        return target.model_copy(update={"backend": "auto" if target.version == "1" else self.backend})
