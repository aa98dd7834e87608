"""Authentication protocols against the vectors of the RFCs."""

import hashlib

import pytest
from pyasn1.type import univ
from usm_engine import AUTH_SERVICES

from netmote.snmp.native.usm.authentication import AUTH_PROTOCOLS, localise, password_to_key

ENGINE_ID = bytes.fromhex("000000000000000000000002")

# RFC 3414 appendices A.3.1 and A.3.2: the password "maplesyrup".
MAPLE_SYRUP = [
    ("md5", "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
    ("sha1", "9fb5cc0381497b3793528939ff788d5d79145211", "6695febc9288e36282235fc7151f128497b38f3f"),
]

# (protocol, key, data, the whole HMAC): RFC 2202 cases 1 and 2, RFC 4231 cases 1, 2 and 6.
HMACS = [
    ("md5", "0b" * 16, b"Hi There", "9294727a3638bb1c13f48ef8158bfc9d"),
    ("md5", b"Jefe".hex(), b"what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
    ("sha", "0b" * 20, b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
    ("sha", b"Jefe".hex(), b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ("sha224", "0b" * 20, b"Hi There", "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22"),
    ("sha256", "0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        "sha256",
        b"Jefe".hex(),
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        "sha384",
        "0b" * 20,
        b"Hi There",
        "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
    ),
    (
        "sha512",
        "0b" * 20,
        b"Hi There",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    ),
    (
        "sha256",
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]
# RFC 3414 sections 6 and 7, RFC 7860 section 4.1: octets of the digest that travel.
LENGTHS = {"md5": 12, "sha": 12, "sha224": 16, "sha256": 24, "sha384": 32, "sha512": 48}


@pytest.mark.parametrize(("digest", "key", "localised"), MAPLE_SYRUP)
def test_keys_from_passwords(digest: str, key: str, localised: str) -> None:
    """The vectors of RFC 3414, from password to localised key."""
    assert password_to_key(b"maplesyrup", digest).hex() == key
    assert localise(bytes.fromhex(key), ENGINE_ID, digest).hex() == localised


@pytest.mark.parametrize("name", AUTH_PROTOCOLS)
@pytest.mark.parametrize("password", [b"maplesyrup", b"12345678", b"x" * 1_000, "pässwört".encode()])
def test_keys_of_every_digest_are_those_of_pysnmp(name: str, password: bytes) -> None:
    """Passwords of any length, every digest: the same as an implementation that others wrote."""
    digest = AUTH_PROTOCOLS[name].digest
    expected = AUTH_SERVICES[name].hash_passphrase(univ.OctetString(password))
    assert password_to_key(password, digest) == bytes(expected)
    assert localise(bytes(expected), ENGINE_ID, digest) == bytes(
        AUTH_SERVICES[name].localize_key(expected, univ.OctetString(ENGINE_ID))
    )


@pytest.mark.parametrize(("name", "key", "data", "whole"), HMACS)
def test_digests_are_truncated_hmacs(name: str, key: str, data: bytes, whole: str) -> None:
    """The vectors of RFC 2202 and RFC 4231, cut to what USM sends."""
    assert AUTH_PROTOCOLS[name].mac(bytes.fromhex(key), data).hex() == whole[: 2 * LENGTHS[name]]


@pytest.mark.parametrize("name", AUTH_PROTOCOLS)
def test_only_the_whole_digest_in_its_place_is_authentic(name: str) -> None:
    """One bit, one octet less, one octet elsewhere, another key: each is refused."""
    protocol = AUTH_PROTOCOLS[name]
    key, length = b"k" * hashlib.new(protocol.digest).digest_size, protocol.mac_length
    blank = b"head" + bytes(length) + b"tail"
    message = b"head" + protocol.mac(key, blank) + b"tail"
    assert protocol.is_authentic(key, message, 4, 4 + length)
    for position in range(len(message)):
        flipped = message[:position] + bytes([message[position] ^ 0x10]) + message[position + 1 :]
        assert not protocol.is_authentic(key, flipped, 4, 4 + length)
    assert not protocol.is_authentic(b"K" + key[1:], message, 4, 4 + length)
    assert not protocol.is_authentic(key, message, 4, 3 + length)
    assert not protocol.is_authentic(key, message, 4, 4)
    assert not protocol.is_authentic(key, message, 5, 5 + length)
