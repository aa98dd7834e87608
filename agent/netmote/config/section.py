"""The base of every configuration model and the kinds of value a user writes."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, PlainValidator

from netmote.errors import Retryable

_DURATION_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


class Section(BaseModel):
    """A part of the document: frozen, unknown keys refused; a field's docstring is its reference entry.

    Only packaging/generate_reference.py reads those docstrings: pydantic would parse every class anew at each start, for 35 ms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def _quantity(value: Any, units: dict[str, Any], example: str) -> Any:
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"{value!r} is not understood; write a number and one of {', '.join(units)}, such as {example}")
    return float(match[1]) * units[match[2]]


def duration_seconds(value: Any) -> Any:
    """Seconds of a duration such as "30s"; numbers that are already seconds (defaults in code) pass."""
    if isinstance(value, float):
        return value
    return _quantity(value, _DURATION_SECONDS, '"30s"')


def duration_text(seconds: float) -> str:
    """The shortest way to write a duration in the document."""
    for unit in ("d", "h", "m", "s"):
        amount = seconds / _DURATION_SECONDS[unit]
        if seconds and amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def size_bytes(value: Any) -> Any:
    """Bytes of a size such as "64MB"; whole numbers of bytes (defaults in code) pass."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(_quantity(value, _SIZE_BYTES, '"64MB"'))


def size_text(count: int) -> str:
    """The shortest way to write a size in the document."""
    for unit in ("GB", "MB", "kB"):
        if count and count % _SIZE_BYTES[unit] == 0:
            return f"{count // _SIZE_BYTES[unit]}{unit}"
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _SIZE_BYTES[unit] == 0:
            return f"{count // _SIZE_BYTES[unit]}{unit}"
    return f"{count}B"


# In the document "30s"; in code float seconds.
Duration = Annotated[float, BeforeValidator(duration_seconds), PlainSerializer(duration_text, return_type=str)]
# In the document "64MB" (powers of ten) or "64MiB" (powers of two); in code whole bytes.
ByteSize = Annotated[int, BeforeValidator(size_bytes), PlainSerializer(size_text, return_type=str)]


class SecretReference(str):
    """Where a secret lies: `file:PATH`, `env:NAME` or `credential:NAME` (systemd LoadCredential). Prints as written, never the secret."""

    __slots__ = ()

    def reveal(self) -> str:
        """The secret itself, without a trailing newline. Raises Retryable when it is not there (it may be provisioned later)."""
        kind, _, name = self.partition(":")
        try:
            if kind == "env":
                return os.environ[name]
            if kind == "credential":
                return (Path(os.environ["CREDENTIALS_DIRECTORY"]) / name).read_text().rstrip("\n")
            return Path(name).read_text().rstrip("\n")
        except (OSError, KeyError, UnicodeDecodeError) as error:
            raise Retryable(f"secret {self!s} is not there: {type(error).__name__}") from error


def _secret_reference(value: Any) -> SecretReference:
    if isinstance(value, str):
        kind, _, name = value.partition(":")
        if kind in ("file", "env", "credential") and name:
            return SecretReference(value)
    raise ValueError("a secret is written by reference: file:PATH, env:NAME or credential:NAME, never in the document itself")


# PlainValidator: any other would turn the reference back into a plain text.
Secret = Annotated[SecretReference, PlainValidator(_secret_reference), PlainSerializer(str, return_type=str)]
