"""Privacy protocols of USM: AES in CFB mode (RFC 3826 and the drafts for longer keys) and DES in CBC mode (RFC 3414 section 8).

Owns ciphers bound to a localised key, and the salts. Refuses deciding whether a text was meant: it decrypts what was already
authenticated. DES is here because devices in the field speak nothing else; anyone who cares can read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal, Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

SALT_OCTETS = 8  # msgPrivacyParameters of both protocols
_DES_BLOCK_OCTETS = 8
_SALTS = 1 << 64


class Undecipherable(Exception):
    """The parameters cannot belong to this cipher."""


class Privacy(Protocol):
    """A cipher with its key; `boots` and `time` are those of the authoritative engine, as the message carries them."""

    def encrypt(self, plain: bytes, boots: int, time: int, salt: bytes) -> bytes: ...

    def decrypt(self, secret: bytes, boots: int, time: int, salt: bytes) -> bytes:
        """The text, with whatever padding. Raises Undecipherable when lengths are impossible; a wrong key shows nowhere here."""
        ...


class AesPrivacy:
    """AES in CFB mode with 128 bit feedback (RFC 3826 section 3); the key's length chooses AES-128, 192 or 256."""

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = AES(key)

    def encrypt(self, plain: bytes, boots: int, time: int, salt: bytes) -> bytes:
        # The IV is engineBoots, engineTime and the salt (RFC 3826 section 3.1.2.1).
        return Cipher(self._algorithm, CFB(_vector(boots, time, salt))).encryptor().update(plain)

    def decrypt(self, secret: bytes, boots: int, time: int, salt: bytes) -> bytes:
        if len(salt) != SALT_OCTETS:
            raise Undecipherable
        return Cipher(self._algorithm, CFB(_vector(boots, time, salt))).decryptor().update(secret)


class DesPrivacy:
    """DES in CBC mode (RFC 3414 section 8.1.1): the first eight octets of the key encrypt, the last eight mask the salt."""

    __slots__ = ("_algorithm", "_pre_vector")

    def __init__(self, key: bytes) -> None:
        # Three equal keys make triple DES the single DES that cryptography no longer has.
        self._algorithm = TripleDES(key[:8] * 3)
        self._pre_vector = int.from_bytes(key[8:16], "big")

    def encrypt(self, plain: bytes, boots: int, time: int, salt: bytes) -> bytes:  # noqa: ARG002 - DES takes only the salt
        padded = plain + bytes(-len(plain) % _DES_BLOCK_OCTETS)
        return Cipher(self._algorithm, self._mode(salt)).encryptor().update(padded)

    def decrypt(self, secret: bytes, boots: int, time: int, salt: bytes) -> bytes:  # noqa: ARG002
        if len(salt) != SALT_OCTETS or len(secret) % _DES_BLOCK_OCTETS:
            raise Undecipherable
        return Cipher(self._algorithm, self._mode(salt)).decryptor().update(secret)

    def _mode(self, salt: bytes) -> CBC:
        return CBC((self._pre_vector ^ int.from_bytes(salt, "big")).to_bytes(_DES_BLOCK_OCTETS, "big"))


def _vector(boots: int, time: int, salt: bytes) -> bytes:
    return (boots << 32 | time).to_bytes(8, "big") + salt


@dataclass(frozen=True, slots=True)
class PrivProtocol:
    """One privacy protocol: its cipher, its key, and how a digest that is too short becomes that key."""

    name: str
    """As `UsmConfig` names it."""
    cipher: type[AesPrivacy | DesPrivacy]
    key_length: int
    """Octets."""
    extension: Literal["blumenthal", "reeder"] = "blumenthal"
    """The draft that a longer key follows; see `keys`. Without effect where the digest is long enough."""
    block_length: int = 1
    """Octets that the encrypted text is a multiple of."""


PRIV_PROTOCOLS: Mapping[str, PrivProtocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            PrivProtocol("des", DesPrivacy, 16, block_length=_DES_BLOCK_OCTETS),  # usmDESPrivProtocol, RFC 3414 section 8
            PrivProtocol("aes128", AesPrivacy, 16),  # usmAesCfb128Protocol, RFC 3826
            PrivProtocol("aes192", AesPrivacy, 24),
            PrivProtocol("aes256", AesPrivacy, 32),
            PrivProtocol("aes192c", AesPrivacy, 24, "reeder"),
            PrivProtocol("aes256c", AesPrivacy, 32, "reeder"),
        )
    }
)


class SaltCounter:
    """Salts that never repeat in this process, whatever devices and users share a key (RFC 3826 section 3.1.2.1).

    One for the whole back end: a cloned engine id gives two devices one key, and equal boots and times then leave the salt alone
    to keep two IVs apart. It begins at a random number so that two runs do not meet. DES would have engineBoots in the upper
    half (RFC 3414 section 8.1.1.1) for the same purpose; receivers do not look into it.
    """

    __slots__ = ("_next",)

    def __init__(self, random: Random) -> None:
        self._next = random.getrandbits(64)

    def salt(self) -> bytes:
        """Eight octets."""
        value = self._next
        self._next = (value + 1) % _SALTS
        return value.to_bytes(SALT_OCTETS, "big")
