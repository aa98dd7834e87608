"""Privacy as the daemon applies it: the key, and which treatment stands before the store and before each sink.

The key of a sensor's own pseudonyms lies in `privacy.key` of the state directory, mode 0600. It is drawn once: losing it gives every
address another pseudonym from then on, and whoever has it can test any address against the pseudonyms.
"""

import hashlib
import secrets
from pathlib import Path

from netmote.config.section import SecretReference
from netmote.daemon.config import Config
from netmote.durable_file import replace_durably
from netmote.errors import Permanent, Retryable
from netmote.privacy.config import Treatment
from netmote.privacy.observations import concealed_batch
from netmote.privacy.treatment import AddressTreatment
from netmote.records.batch import Batch

KEY_NAME = "privacy.key"

_KEY_BYTES = 32


class Privacy:
    """One daemon's treatments. `open` once the state directory is there; before it nothing can be hidden, so nothing is asked."""

    def __init__(self, config: Config, state_dir: Path) -> None:
        self._config, self._state_dir = config, state_dir
        self._key = b""
        self._at_rest: AddressTreatment | None = None

    @property
    def is_hiding_at_rest(self) -> bool:
        """Whether records are treated before they are stored."""
        return self._config.privacy.at_rest != "keep"

    def open(self, *, may_draw: bool = True) -> None:
        """Read the key where one is needed, or draw it. Blocks. Raises Permanent or Retryable: without one nothing may be written or sent."""
        privacy = self._config.privacy
        if any(kind != "keep" for kind in (privacy.at_rest, privacy.upstream, *privacy.sinks.values())):
            self._key = key_of(self._state_dir, privacy.key, may_draw=may_draw)
        self._at_rest = self.at_rest()

    def at_rest(self) -> AddressTreatment:
        """What stands before the store: one more of it, for another thread than ingest's."""
        return self.treatment(self._config.privacy.at_rest)

    def treatment(self, kind: Treatment) -> AddressTreatment:
        """A treatment of this kind, under this daemon's key."""
        privacy = self._config.privacy
        return AddressTreatment(
            kind,
            key=self._key,
            local_networks=self._config.windows.local_networks,
            ipv4_prefix=privacy.ipv4_prefix,
            ipv6_prefix=privacy.ipv6_prefix,
        )

    def of_sink(self, name: str) -> AddressTreatment:
        """What stands before that sink; each has one of its own."""
        return self.treatment(self._config.privacy.treatment_of(name))

    def conceal(self, batches: tuple[Batch, ...]) -> tuple[Batch, ...]:
        """Records as they may be kept. For one worker thread at a time."""
        if self._at_rest is None:
            raise RuntimeError("the key is not read yet")
        return tuple(concealed_batch(batch, self._at_rest) for batch in batches)


def key_of(state_dir: Path, reference: SecretReference | str | None, *, may_draw: bool = True) -> bytes:
    """The key: of the secret that is named, else the state directory's own, drawn when there is none and it may be."""
    if reference is not None:
        secret = SecretReference(reference).reveal().strip().encode()
        if len(secret) < 16:
            raise Permanent(f"secret {reference!s} is too short for a key: at least 16 characters")
        return hashlib.blake2b(secret, digest_size=_KEY_BYTES, person=b"netmote privacy").digest()
    path = state_dir / KEY_NAME
    try:
        return _read(path)
    except FileNotFoundError:
        if not may_draw:
            raise Retryable(f"{path} is not there: the daemon draws it at its first start with privacy") from None
        return _draw(path)


def _read(path: Path) -> bytes:
    try:
        status, text = path.stat(), path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Retryable(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Permanent(
            f"{path} does not hold a key; put back a copy of it, or remove it to begin with new pseudonyms"
        ) from error
    if len(key) != _KEY_BYTES:
        raise Permanent(f"{path} holds {len(key)} bytes, a key has {_KEY_BYTES}")
    if status.st_mode & 0o077:
        raise Permanent(f"{path} can be read by others: chmod 600 it, or remove it to begin with new pseudonyms")
    return key


def _draw(path: Path) -> bytes:
    """Whole or not there: a key of which half is lost would silently rename everybody."""
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        replace_durably(path, f"{key.hex()}\n".encode("ascii"), mode=0o600)
    except OSError as error:
        raise Retryable(f"no key of pseudonyms can be kept in {path}: {error.strerror}") from error
    return key
