"""What a session authenticates with, secrets revealed. Values only; they never print a secret."""

from dataclasses import dataclass, field

from netmote.config.section import SecretReference
from netmote.errors import Retryable
from netmote.snmp.config import TargetConfig, UsmConfig

DEFAULT_COMMUNITY = "public"


class SecretMissing(Retryable):
    """A secret is not where its reference points; it may be provisioned later."""


@dataclass(frozen=True, slots=True)
class Community:
    """A community of SNMPv2c (RFC 1901)."""

    name: str = field(default=DEFAULT_COMMUNITY, repr=False)


@dataclass(frozen=True, slots=True)
class UsmUser:
    """A user of SNMPv3 (RFC 3414); protocols as UsmConfig names them, passwords None where the protocol is "none"."""

    security_name: str
    auth_protocol: str
    priv_protocol: str
    auth_password: str | None = field(repr=False)
    priv_password: str | None = field(repr=False)
    context_name: str = ""


Credentials = Community | UsmUser


def reveal_credentials(target: TargetConfig) -> Credentials:
    """Credentials of a target, read from where the references point now. Raises SecretMissing."""
    if target.user is not None:
        return reveal_user(target.user)
    return Community(DEFAULT_COMMUNITY if target.community is None else _reveal(target.community))


def reveal_community(text: str) -> str:
    """A community given as it is, or by reference. Raises SecretMissing."""
    is_reference = text.partition(":")[0] in ("file", "env", "credential")
    return _reveal(text) if is_reference else text


def reveal_user(config: UsmConfig) -> UsmUser:
    """A user with its passwords. Raises SecretMissing."""
    return UsmUser(
        security_name=config.security_name,
        auth_protocol=config.auth_protocol,
        priv_protocol=config.priv_protocol,
        auth_password=_password(config.auth_protocol, config.auth_password),
        priv_password=_password(config.priv_protocol, config.priv_password),
        context_name=config.context_name,
    )


def _password(protocol: str, reference: str | None) -> str | None:
    return None if protocol == "none" or reference is None else _reveal(reference)


def _reveal(reference: str) -> str:
    try:
        return SecretReference(reference).reveal()
    except Retryable as error:
        raise SecretMissing(str(error)) from error
