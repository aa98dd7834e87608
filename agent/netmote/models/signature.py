"""Who vouches for a bundle: an Ed25519 signature over its manifest, which holds the SHA-256 of every other file. (RFC 8032)

    manifest.sig:   netmote-signature: 1
                    key: <key id, 16 hexadecimal digits>
                    ed25519: <64 octets, base64>

Keys are PEM files (PKCS #8, RFC 5958; SubjectPublicKeyInfo, RFC 5480), as `openssl genpkey -algorithm ed25519` makes them.
Imports cryptography late: 10 MB that a sensor with the shipped models alone does not need.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netmote.errors import NetmoteError
from netmote.models.refusal import BundleRefused, Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_FILE = "manifest.sig"
# So that a signature over a manifest can never be one over anything else that the same key signs.
_DOMAIN = b"netmote model bundle manifest 1\n"
_DOCUMENT = re.compile(rb"netmote-signature: 1\nkey: ([0-9a-f]{16})\ned25519: ([A-Za-z0-9+/]{86}==)\n")
_MOST_KEY_BYTES = 4_096
_KEY_MODE = 0o600


class KeyUnusable(NetmoteError):
    """A key file that cannot be read, or holds no Ed25519 key."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys by their id. Whose signature counts."""

    keys: Mapping[str, "Ed25519PublicKey"]


def key_id(public: "Ed25519PublicKey") -> str:
    """The first 64 bits of SHA-256 over the raw key, hexadecimal: names a key, proves nothing."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def sign_manifest(manifest: bytes, private: "Ed25519PrivateKey") -> bytes:
    """The document of `SIGNATURE_FILE`. The same manifest and key give the same bytes (RFC 8032 section 8.2)."""
    signature = base64.b64encode(private.sign(_DOMAIN + manifest))
    return b"netmote-signature: 1\nkey: %s\ned25519: %s\n" % (key_id(private.public_key()).encode(), signature)


def verify_manifest(manifest: bytes, document: bytes, trusted: TrustedKeys) -> str:
    """The id of the key that vouches for this manifest. Raises BundleRefused (BAD_SIGNATURE, UNTRUSTED_KEY)."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see the module's docstring

    parts = _DOCUMENT.fullmatch(document)
    if parts is None:
        raise BundleRefused(Refusal.BAD_SIGNATURE, f"{SIGNATURE_FILE} is not a signature of version 1")
    name = parts[1].decode()
    public = trusted.keys.get(name)
    if public is None:
        known = ", ".join(sorted(trusted.keys)) or "none"
        raise BundleRefused(Refusal.UNTRUSTED_KEY, f"signed by key {name}; models.trusted_keys holds {known}")
    try:
        public.verify(base64.b64decode(parts[2], validate=True), _DOMAIN + manifest)
    except (InvalidSignature, binascii.Error) as error:
        raise BundleRefused(Refusal.BAD_SIGNATURE, f"the manifest is not what key {name} signed") from error
    return name


def generate_key(private_path: Path) -> str:
    """Write a new private key (mode 0600) and its public half beside it (`.pub`). Returns the key's id.

    Raises FileExistsError: a key is never overwritten.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private_path, pem, _KEY_MODE)
    _write_new(public_path(private_path), public, 0o644)
    return key_id(private.public_key())


def public_path(private_path: Path) -> Path:
    """Where the public half of a private key lies."""
    return private_path.with_name(private_path.name + ".pub")


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """Raises KeyUnusable."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(_read_key(path), password=None)
    except (ValueError, TypeError) as error:
        raise KeyUnusable(f"{path}: not an unencrypted private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path}: holds another kind of key; bundles are signed with Ed25519")
    return key


def read_trusted_keys(places: Iterable[Path]) -> TrustedKeys:
    """The public keys of these files, and of the `*.pub` files of these directories. Raises KeyUnusable naming the file."""
    keys: dict[str, Ed25519PublicKey] = {}
    for place in places:
        for path in sorted(place.glob("*.pub")) if place.is_dir() else (place,):
            public = _read_public_key(path)
            keys[key_id(public)] = public
    return TrustedKeys(keys)


def _read_public_key(path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(_read_key(path))
    except ValueError as error:
        raise KeyUnusable(f"{path}: not a public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{path}: holds another kind of key; bundles are signed with Ed25519")
    return key


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            document = stream.read(_MOST_KEY_BYTES + 1)
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}") from error
    if len(document) > _MOST_KEY_BYTES:
        raise KeyUnusable(f"{path}: larger than {_MOST_KEY_BYTES:,} bytes")
    return document


def _write_new(path: Path, document: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(document)
        stream.flush()
        os.fsync(descriptor)
