"""Requests as they leave: what they hold, and that nothing in them repeats that must not."""

import random
from dataclasses import replace

import pytest
from pyasn1.codec.ber import decoder
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from usm_engine import PRIV_SERVICES, keys_of
from usm_exchange import KEYS, REQUEST, USER

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.usm.engine import AuthoritativeEngine
from netmote.snmp.native.usm.keys import protocols
from netmote.snmp.native.usm.privacy import SaltCounter
from netmote.snmp.native.usm.sealer import Sealer

ENGINE_ID = b"\x80\0\x1f\x88\x04engine"
PDU = REQUEST.pdu(0x0123_4567)
AUTH_ONLY = replace(USER, priv_protocol="none", priv_password=None)
NOBODY = replace(AUTH_ONLY, auth_protocol="none", auth_password=None)
DES = replace(USER, auth_protocol="md5", priv_protocol="des")


def sealer_of(user: UsmUser, context: bytes = b"") -> tuple[Sealer, AuthoritativeEngine]:
    auth, priv = protocols(user)
    sealer = Sealer(user.security_name.encode(), context, auth=auth, priv=priv, salts=SaltCounter(random.Random(3)))
    return sealer, AuthoritativeEngine(ENGINE_ID, KEYS.local_keys(user, ENGINE_ID), boots=7, time=900, now=0.0)


def read(datagram: bytes) -> tuple[SNMPv3Message, UsmSecurityParameters]:
    message, rest = decoder.decode(datagram, asn1Spec=SNMPv3Message())
    assert not rest
    return message, decoder.decode(bytes(message["msgSecurityParameters"]), asn1Spec=UsmSecurityParameters())[0]


@pytest.mark.parametrize(
    ("user", "flags"), [(USER, 7), (DES, 7), (AUTH_ONLY, 5), (NOBODY, 4)], ids=["AES", "DES", "auth", "noAuth"]
)
def test_a_request_holds_what_it_should(user: UsmUser, flags: int) -> None:
    """Level, engine, clock as it runs on, user, context and the PDU, as pyasn1 and pysnmp read them."""
    sealer, engine = sealer_of(user, b"vlan-7")
    message, security = read(sealer.request(engine, PDU, 0x0123_4567, 12.9))
    assert int(message["msgGlobalData"]["msgID"]) == 0x0123_4567
    assert bytes(message["msgGlobalData"]["msgFlags"]) == bytes([flags])
    assert bytes(security["msgAuthoritativeEngineId"]) == ENGINE_ID
    clock = (int(security["msgAuthoritativeEngineBoots"]), int(security["msgAuthoritativeEngineTime"]))
    assert clock == ((7, 912) if user is not NOBODY else (0, 0))
    assert bytes(security["msgUserName"]) == user.security_name.encode()
    if flags == 7:
        secret = message["msgData"]["encryptedPDU"]
        service = PRIV_SERVICES[user.priv_protocol]
        plain = service.decrypt_data(keys_of(user, ENGINE_ID).priv, (*clock, security["msgPrivacyParameters"]), secret)
        assert PDU not in bytes(secret)
        scoped, padding = decoder.decode(plain, asn1Spec=ScopedPDU())
        assert len(padding) < 8
    else:
        scoped = message["msgData"]["plaintext"]
    assert (bytes(scoped["contextEngineId"]), bytes(scoped["contextName"])) == (ENGINE_ID, b"vlan-7")
    assert int(scoped["data"].getComponent()[0]) == 0x0123_4567


def test_a_probe_names_nothing() -> None:
    """RFC 3414 section 4: no engine, no user, noAuthNoPriv, reportable, an empty list of names; and no context."""
    sealer, _ = sealer_of(USER, b"secret-context")
    datagram = sealer.probe(0x0123_4567)
    message, security = read(datagram)
    assert bytes(message["msgGlobalData"]["msgFlags"]) == b"\4"
    assert [
        len(bytes(security[name])) for name in ("msgAuthoritativeEngineId", "msgUserName", "msgAuthenticationParameters")
    ] == [0] * 3
    assert (int(security["msgAuthoritativeEngineBoots"]), int(security["msgAuthoritativeEngineTime"])) == (0, 0)
    assert len(message["msgData"]["plaintext"]["data"].getComponent()[3]) == 0
    assert USER.security_name.encode() not in datagram
    assert b"secret" not in datagram


def test_equal_requests_are_different_datagrams() -> None:
    """Each its own salt and ciphertext, though all else is equal."""
    sealer, engine = sealer_of(USER)
    sealed = [read(sealer.request(engine, PDU, 0x0123_4567, 0.0)) for _ in range(200)]
    assert len({bytes(security["msgPrivacyParameters"]) for _, security in sealed}) == 200
    assert len({bytes(message["msgData"]["encryptedPDU"]) for message, _ in sealed}) == 200
    assert len({bytes(security["msgAuthenticationParameters"]) for _, security in sealed}) == 200


def test_templates_follow_the_engine() -> None:
    """Another boots, another engine, a clock that grows by an octet: none is written with the old template."""
    sealer, engine = sealer_of(USER)
    for boots, time in ((7, 127), (7, 128), (8, 1), (2**31 - 1, 2**31 - 1)):
        engine.resynchronise(boots, time, 0.0)
        engine.boots = boots
        _, security = read(sealer.request(engine, PDU, 0x0123_4567, 0.0))
        assert int(security["msgAuthoritativeEngineBoots"]) == boots
    other = AuthoritativeEngine(ENGINE_ID + b"2", KEYS.local_keys(USER, ENGINE_ID + b"2"), boots=7, time=127, now=0.0)
    for _ in range(2):
        assert bytes(read(sealer.request(other, PDU, 0x0123_4567, 0.0))[1]["msgAuthoritativeEngineId"]) == ENGINE_ID + b"2"
        sealer.forget_shapes()
    assert not sealer._shapes
