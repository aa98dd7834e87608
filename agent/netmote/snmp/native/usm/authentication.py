"""Authentication protocols of USM: HMAC over the whole message, truncated (RFC 3414 sections 6 and 7, RFC 7860 section 4).

Owns digests and the way from a password to a key (RFC 3414 appendix A.2). Refuses keeping keys: `keys` does, with a bound.
MD5 and SHA-1 are here because devices in the field speak nothing else; neither is broken as the key of an HMAC.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_PASSWORD_OCTETS = 1 << 20  # the password repeated to one megabyte (RFC 3414 appendix A.2.1)


@dataclass(frozen=True, slots=True)
class AuthProtocol:
    """One authentication protocol."""

    name: str
    """As `UsmConfig` names it."""
    digest: str
    """As hashlib names it."""
    mac_length: int
    """Octets of msgAuthenticationParameters: the leading ones of the HMAC."""

    def mac(self, key: bytes, message: bytes) -> bytes:
        """The digest of `message`, whose msgAuthenticationParameters are zeros (RFC 3414 section 6.3.1)."""
        return hmac.digest(key, message, self.digest)[: self.mac_length]

    def is_authentic(self, key: bytes, message: bytes, start: int, end: int) -> bool:
        """Whether message[start:end] is the digest of the rest; compared in constant time."""
        if end - start != self.mac_length:
            return False
        blank = b"".join((message[:start], bytes(self.mac_length), message[end:]))
        return hmac.compare_digest(self.mac(key, blank), message[start:end])


AUTH_PROTOCOLS: Mapping[str, AuthProtocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            AuthProtocol("md5", "md5", 12),  # usmHMACMD5AuthProtocol, RFC 3414 section 6
            AuthProtocol("sha", "sha1", 12),  # usmHMACSHAAuthProtocol, RFC 3414 section 7
            AuthProtocol("sha224", "sha224", 16),  # usmHMAC128SHA224AuthProtocol, RFC 7860 section 4
            AuthProtocol("sha256", "sha256", 24),  # usmHMAC192SHA256AuthProtocol
            AuthProtocol("sha384", "sha384", 32),  # usmHMAC256SHA384AuthProtocol
            AuthProtocol("sha512", "sha512", 48),  # usmHMAC384SHA512AuthProtocol
        )
    }
)


def password_to_key(password: bytes, digest: str) -> bytes:
    """Ku of a password (RFC 3414 appendix A.2). Costs 1 to 3 ms, so that guessing passwords is slow. `password` is not empty."""
    repeated = password * (_PASSWORD_OCTETS // len(password) + 1)
    return hashlib.new(digest, memoryview(repeated)[:_PASSWORD_OCTETS]).digest()


def localise(key: bytes, engine_id: bytes, digest: str) -> bytes:
    """Kul: the key at one engine, so that a key stolen there opens no other (RFC 3414 section 2.6)."""
    return hashlib.new(digest, key + engine_id + key).digest()
