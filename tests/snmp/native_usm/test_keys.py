"""Keys of users at engines: both dialects of key extension, bounds, and what cannot be used."""

from dataclasses import replace

import pytest
from usm_engine import keys_of

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.usm.authentication import AUTH_PROTOCOLS
from netmote.snmp.native.usm.keys import KeyRing, protocols
from netmote.snmp.native.usm.privacy import PRIV_PROTOCOLS
from netmote.snmp.session import UnsupportedSecurityLevel

USER = UsmUser("user", "sha", "aes128", "authentication", "encryption")
ENGINES = [bytes.fromhex("80001f8804aabbccddeeff"), b"\x80\0\0\x09\x03" + b"\x01" * 27]


def local_key(ring: KeyRing, user: UsmUser, engine_id: bytes) -> bytes:
    """The privacy key, before a cipher took it."""
    auth, priv = protocols(user)
    assert auth is not None
    return ring._local((user.priv_password or "").encode(), auth.digest, engine_id, priv)


@pytest.mark.parametrize("engine_id", ENGINES, ids=["short id", "longest id"])
@pytest.mark.parametrize("priv", PRIV_PROTOCOLS)
@pytest.mark.parametrize("auth", AUTH_PROTOCOLS)
def test_every_pair_of_protocols_gives_the_keys_of_pysnmp(auth: str, priv: str, engine_id: bytes) -> None:
    """Six digests, DES and AES in three lengths, both ways to lengthen a key that is too short."""
    user = replace(USER, auth_protocol=auth, priv_protocol=priv)
    ring, expected = KeyRing(), keys_of(user, engine_id)
    assert ring.local_keys(user, engine_id).auth == bytes(expected.auth)
    assert local_key(ring, user, engine_id) == bytes(expected.priv)


def test_the_dialects_differ_where_the_digest_is_short() -> None:
    """SHA-1 has 20 octets, AES-256 wants 32: the drafts disagree on the last twelve. With SHA-256 there is nothing to add."""
    ring = KeyRing()
    for auth, is_short in (("sha", True), ("sha256", False)):
        user = replace(USER, auth_protocol=auth)
        ours, cisco = (local_key(ring, replace(user, priv_protocol=priv), ENGINES[0]) for priv in ("aes256", "aes256c"))
        assert len(ours) == len(cisco) == 32
        assert ours[:20] == cisco[:20]
        assert (ours != cisco) is is_short


def test_levels() -> None:
    """What the level does not ask for is not there."""
    ring = KeyRing()
    nobody = UsmUser("user", "none", "none", None, None)
    assert ring.local_keys(nobody, ENGINES[0]) == (b"", None)
    unencrypted = ring.local_keys(replace(USER, priv_protocol="none", priv_password=None), ENGINES[0])
    assert (len(unencrypted.auth), unencrypted.privacy) == (20, None)


def test_passwords_and_engines_have_keys_of_their_own() -> None:
    """Two passwords of one user, two engines of one password: four keys."""
    ring = KeyRing()
    users = (USER, replace(USER, auth_password="another-one"))
    assert len({ring.local_keys(user, engine_id).auth for user in users for engine_id in ENGINES}) == 4


def test_passwords_are_hashed_once_and_the_cache_is_bounded() -> None:
    """The megabyte is hashed once per password; what is kept has a limit, and what was forgotten is right again."""
    ring = KeyRing(max_passwords=4, max_engines=8)
    ring.prepare(USER)
    for number in range(100):
        ring.local_keys(USER, b"\x80\0\0\0\x04" + bytes([number]))
    assert ring._master.cache_info().misses == 2
    assert ring._local.cache_info().currsize == 8
    first = ring.local_keys(USER, ENGINES[0]).auth
    for number in range(10):
        ring.prepare(replace(USER, auth_password=f"password-{number}"))
    assert ring._master.cache_info().currsize == 4
    assert ring.local_keys(USER, ENGINES[0]).auth == first


@pytest.mark.parametrize(
    "user",
    [
        replace(USER, auth_password="seven77"),
        replace(USER, priv_password=""),
        replace(USER, priv_password=None),
        replace(USER, auth_protocol="none", auth_password=None),
        replace(USER, auth_protocol="sha3"),
        replace(USER, priv_protocol="3des"),
    ],
    ids=["short auth", "empty priv", "no priv", "priv alone", "unknown auth", "unknown priv"],
)
def test_what_cannot_be_used_is_named(user: UsmUser) -> None:
    """RFC 3414 section 11.2 wants eight characters, RFC 3411 no privacy without authentication."""
    with pytest.raises(UnsupportedSecurityLevel):
        KeyRing().prepare(user)
    with pytest.raises(UnsupportedSecurityLevel):
        KeyRing().local_keys(user, ENGINES[0])


def test_users_print_no_secret() -> None:
    """The values that carry passwords keep them out of what is printed."""
    assert "authentication" not in repr(USER)
    assert "encryption" not in repr(USER)
