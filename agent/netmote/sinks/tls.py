"""TLS of every sink: a client context out of files, loaded anew when the files change, and when their certificates end.

The receiver is always verified, by name and against the authorities of `ca_file` or of this machine. A sink asks `is_changed` before
it uses a kept connection and `context` before it makes a new one; both are cheap while nothing changes. Files that cannot be loaded
leave the context in use as it was (a certificate and its key are rarely replaced in one instant), until they change once more.
Holds keys in OpenSSL's memory only; no message names anything but paths.
"""

import base64
import datetime as dt
import logging
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import model_validator

from netmote.config.section import Section
from netmote.errors import Retryable

log = logging.getLogger(__name__)

# X.509 verification results that say: wrong by this machine's clock (openssl-verification-options(1)).
_NOT_YET_VALID, _EXPIRED = 9, 10
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_MAX_FILE_BYTES = 4 * 2**20


class TlsConfig(Section):
    """The keys with which a sink names its TLS files; a model of a sink inherits them."""

    ca_file: Path | None = None
    """PEM file of the authorities that may have signed the receiver's certificate. Unset: those of this machine."""

    client_certificate: Path | None = None
    """PEM file of this sensor's certificate chain, for receivers that ask for one. Unset: none is shown."""

    client_key: Path | None = None
    """PEM file of the key of `client_certificate`, without passphrase. Unset: the key lies in the certificate's file."""

    @model_validator(mode="after")
    def _key_has_certificate(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key needs a client_certificate")
        return self

    def names_files(self) -> list[str]:
        """The keys that are set: for sinks to refuse them where they would not be used."""
        return [name for name in ("ca_file", "client_certificate", "client_key") if getattr(self, name) is not None]


class ClientTls:
    """The TLS side of one sink. Blocking where it says so; not for two threads at once."""

    def __init__(self, config: TlsConfig, *, sink: str) -> None:
        self._config, self._sink = config, sink
        self._context: ssl.SSLContext | None = None
        self._loaded: tuple[object, ...] = ()  # the state of the files that the context was made from
        self._refused: tuple[object, ...] = ()  # the state of the files that could not be loaded, said once
        self._expiries: dict[str, int] = {}

    @property
    def expiries(self) -> Mapping[str, int]:
        """When certificates in use end, UTC nanoseconds: `client` the sensor's own chain, `authority` the first of `ca_file`."""
        return dict(self._expiries)

    def is_changed(self) -> bool:
        """Whether a connection made now would use other files than the context in use. Some calls of stat(2)."""
        state = self._state()
        return self._context is not None and state not in (self._loaded, self._refused)

    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Reads files when they have changed: call it in a thread.

        Raises Retryable while there is nothing that can be used: files may be provisioned later.
        """
        state = self._state()
        if self._context is not None and state == self._loaded:
            return self._context
        try:
            context, expiries = self._load()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            if self._context is None:
                raise Retryable(f"certificates of sink {self._sink} cannot be used: {error}") from error
            if state != self._refused:
                log.warning(
                    "changed certificates cannot be used, the ones before stay in use: %s",
                    error,
                    extra={"component": f"sink:{self._sink}"},
                )
            self._refused = state
            return self._context
        self._context, self._expiries, self._loaded, self._refused = context, expiries, state, ()
        return context

    def _load(self) -> tuple[ssl.SSLContext, dict[str, int]]:
        config = self._config
        context = ssl.create_default_context(cafile=config.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 section 3.1.1
        expiries = {}
        if config.ca_file is not None:
            expiries["authority"] = _earliest_end(config.ca_file)
        if config.client_certificate is not None:
            # A password callback, because OpenSSL would otherwise ask the terminal for the passphrase of an encrypted key.
            context.load_cert_chain(config.client_certificate, config.client_key, password=lambda: "")
            expiries["client"] = _earliest_end(config.client_certificate)
        return context, expiries

    def _state(self) -> tuple[object, ...]:
        """What identifies the present content of the files: replaced, rewritten and missing ones differ."""
        config = self._config
        authorities = (config.ca_file,) if config.ca_file is not None else _machine_authorities()
        return tuple(_identity(path) for path in (*authorities, config.client_certificate, config.client_key))


def explained(error: BaseException, now_ns: int) -> str:
    """A failed connection in words; when a certificate is wrong only by time, with the time this sensor believes it is."""
    text = str(error) or type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        verify_code = getattr(cause, "verify_code", None) or getattr(
            getattr(cause, "certificate_error", None), "verify_code", None
        )
        if verify_code in (_NOT_YET_VALID, _EXPIRED):
            now = dt.datetime.fromtimestamp(now_ns // 1_000_000_000, dt.UTC).isoformat()
            return f"{text}; this sensor's clock says {now}"
        cause = cause.__cause__
    return text


def _machine_authorities() -> tuple[Path, ...]:
    paths = ssl.get_default_verify_paths()
    return tuple(Path(path) for path in (paths.cafile, paths.capath) if path)


def _identity(path: Path | None) -> object:
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    # ctime: also when only the permissions were mended.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _earliest_end(path: Path) -> int:
    """The notAfter of the certificate in a PEM file that ends first, UTC nanoseconds. Raises OSError, or ValueError when there is none."""
    from cryptography import x509  # noqa: PLC0415 - this module is imported with every configuration, certificates are not read then

    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES)
    found = [x509.load_der_x509_certificate(base64.b64decode(body)) for body in _PEM.findall(content)]
    if not found:
        raise ValueError(f"{path} holds no certificate in PEM")
    return min(int(each.not_valid_after_utc.timestamp()) for each in found) * 1_000_000_000
