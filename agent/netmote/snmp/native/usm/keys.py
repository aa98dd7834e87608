"""Keys of a user at an engine: from passwords, localised, and extended where a cipher wants more than the digest gives.

Owns the one cache of keys, bounded, by password and engine id. Two devices with one engine id (a cloned machine) share keys and
nothing else; two passwords of one user share nothing. Two drafts extend a short key, and devices speak either:

- *blumenthal* (draft-blumenthal-aes-usm-04 section 3.1.2.1): append the digest of the key so far. net-snmp and most others.
- *reeder* (draft-reeder-snmpv3-usm-3desede-00 section 2.1, made for triple DES): take the key so far for a password, make it a key,
  localise it, append that. Cisco and those who follow it; net-snmp calls it AES-192-C and AES-256-C.
"""

import hashlib
from functools import lru_cache
from typing import NamedTuple

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.usm.authentication import AUTH_PROTOCOLS, AuthProtocol, localise, password_to_key
from netmote.snmp.native.usm.privacy import PRIV_PROTOCOLS, Privacy, PrivProtocol
from netmote.snmp.session import UnsupportedSecurityLevel

_SHORTEST_PASSWORD = 8  # RFC 3414 section 11.2; net-snmp refuses shorter ones too


class LocalKeys(NamedTuple):
    """What a user's messages with one engine need; empty and None where the security level does not ask for it."""

    auth: bytes
    privacy: Privacy | None


class KeyRing:
    """Keys of all users at all engines. One per back end; safe to use from several threads."""

    def __init__(self, *, max_passwords: int = 256, max_engines: int = 4_096) -> None:
        """Bounds: passwords, and pairs of password and engine id. The least recently used is forgotten, and costs its time again."""
        self._master = lru_cache(max_passwords)(password_to_key)
        self._local = lru_cache(max_engines)(self._localise)

    def prepare(self, user: UsmUser) -> None:
        """Derive the keys of a user's passwords: some milliseconds, so not on an event loop. Raises UnsupportedSecurityLevel."""
        auth, _ = protocols(user)
        for password in _passwords(user):
            assert auth is not None
            self._master(password, auth.digest)

    def local_keys(self, user: UsmUser, engine_id: bytes) -> LocalKeys:
        """The user's keys at an engine. Raises UnsupportedSecurityLevel when protocols or passwords cannot be used."""
        auth, priv = protocols(user)
        passwords = _passwords(user)
        if auth is None:
            return LocalKeys(b"", None)
        auth_key = self._local(passwords[0], auth.digest, engine_id, None)
        if priv is None:
            return LocalKeys(auth_key, None)
        return LocalKeys(auth_key, priv.cipher(self._local(passwords[1], auth.digest, engine_id, priv)))

    def _localise(self, password: bytes, digest: str, engine_id: bytes, priv: PrivProtocol | None) -> bytes:
        key = localise(self._master(password, digest), engine_id, digest)
        if priv is None:
            return key
        while len(key) < priv.key_length:
            if priv.extension == "reeder":
                key += localise(password_to_key(key, digest), engine_id, digest)
            else:
                key += hashlib.new(digest, key).digest()
        return key[: priv.key_length]


def protocols(user: UsmUser) -> tuple[AuthProtocol | None, PrivProtocol | None]:
    """The protocols of a user. Raises UnsupportedSecurityLevel when there is no such protocol, or privacy stands alone."""
    try:
        auth = None if user.auth_protocol == "none" else AUTH_PROTOCOLS[user.auth_protocol]
        priv = None if user.priv_protocol == "none" else PRIV_PROTOCOLS[user.priv_protocol]
    except KeyError as error:
        raise UnsupportedSecurityLevel(f"no protocol {error} here") from None
    if priv is not None and auth is None:
        raise UnsupportedSecurityLevel("there is no privacy without authentication (RFC 3411 section 3.4.3)")
    return auth, priv


def _passwords(user: UsmUser) -> list[bytes]:
    """Authentication and privacy password, as far as the level asks for them."""
    wanted = []
    for kind, protocol, password in (
        ("authentication", user.auth_protocol, user.auth_password),
        ("privacy", user.priv_protocol, user.priv_password),
    ):
        if protocol == "none":
            continue
        octets = (password or "").encode()
        if len(octets) < _SHORTEST_PASSWORD:
            raise UnsupportedSecurityLevel(
                f"the {kind} password has fewer than {_SHORTEST_PASSWORD} octets (RFC 3414 section 11.2)"
            )
        wanted.append(octets)
    return wanted
