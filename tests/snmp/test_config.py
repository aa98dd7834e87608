"""What may be written about SNMP, and what is refused before a socket is opened."""

import pytest
from pydantic import ValidationError

from netmote.snmp.config import SnmpConfig, TargetConfig, UsmConfig

USER = {"security_name": "u", "auth_password": "file:/a", "priv_password": "file:/p"}


def target(**keywords: object) -> dict[str, object]:
    return {"name": "sw-1", "address": "192.0.2.1", **keywords}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (target(name="a/b"), "name"),
        (target(name="a:b"), "name"),
        (target(community="public"), "by reference"),
        (target(version="3"), "version 3 needs a user"),
        (target(user=USER), 'needs version: "3"'),
        (target(version="2"), "version"),
        (target(version="1", user=USER), 'needs version: "3"'),
        (target(version="1", backend="pysnmp"), "native back end only"),
        (target(backend="gufo"), "backend"),
        (target(port=0), "port"),
        (target(interval="100ms"), "interval"),
        (target(version="3", user={**USER, "auth_password": None}), "auth_password is missing"),
        (target(version="3", user={**USER, "auth_protocol": "none"}), "priv_protocol needs an auth_protocol"),
        (target(colour="red"), "colour"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object], says: str) -> None:
    """Each mistake is refused with a sentence that names it."""
    with pytest.raises(ValidationError) as caught:
        TargetConfig.model_validate(wrong)
    assert says in str(caught.value)


def test_names_are_unique() -> None:
    """Two devices of one name would share an identity."""
    with pytest.raises(ValidationError, match="given twice: sw-1"):
        SnmpConfig.model_validate({"targets": [target(), target(address="192.0.2.2")]})


def test_levels_of_security() -> None:
    """noAuthNoPriv, authNoPriv and authPriv can be written."""
    assert UsmConfig.model_validate({"security_name": "u", "auth_protocol": "none", "priv_protocol": "none"})
    assert UsmConfig.model_validate({"security_name": "u", "auth_password": "file:/a", "priv_protocol": "none"})
    assert UsmConfig.model_validate(USER).auth_protocol == "sha256"
