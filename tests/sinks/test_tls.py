"""TLS of the sinks: verified, loaded anew when files change, and its end known."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from pydantic import ValidationError
from sink_certificates import Authority, Pair

from netmote.errors import Retryable
from netmote.sinks.tls import ClientTls, TlsConfig, explained


def tls_of(folder: Path, pair: Pair, authority: Authority) -> ClientTls:
    config = TlsConfig(ca_file=authority.file, client_certificate=pair.certificate, client_key=pair.key)
    return ClientTls(config, sink="upstream")


def replace_pair(old: Pair, new: Pair) -> None:
    """As a renewal does it: each file by another one."""
    new.certificate.replace(old.certificate)
    new.key.replace(old.key)


def test_verified_by_name_and_not_by_old_protocols(tmp_path: Path) -> None:
    """TLS 1.2 is the least (RFC 9325 section 3.1.1), also with the authorities of this machine."""
    for config in (TlsConfig(), TlsConfig(ca_file=Authority(tmp_path).file)):
        context = ClientTls(config, sink="upstream").context()
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


def test_one_context_until_a_file_changes(tmp_path: Path) -> None:
    """Asking is cheap; a renewed certificate is noticed and loaded."""
    authority = Authority(tmp_path)
    pair = authority.issue("sensor")
    tls = tls_of(tmp_path, pair, authority)
    assert not tls.is_changed()
    first = tls.context()
    assert tls.context() is first
    assert not tls.is_changed()
    replace_pair(pair, authority.issue("renewed"))
    assert tls.is_changed()
    second = tls.context()
    assert second is not first
    assert not tls.is_changed()


def test_files_that_do_not_fit_leave_the_old_ones_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Certificate and key are rarely replaced in one instant: it is said once, and tried when they change once more."""
    authority = Authority(tmp_path)
    pair, renewed = authority.issue("sensor"), authority.issue("renewed")
    tls = tls_of(tmp_path, pair, authority)
    first = tls.context()
    renewed.certificate.replace(pair.certificate)
    assert tls.is_changed()
    assert tls.context() is first
    assert tls.context() is first
    assert not tls.is_changed()
    (record,) = caplog.records
    assert "the ones before stay in use" in record.message
    renewed.key.replace(pair.key)
    assert tls.is_changed()
    assert tls.context() is not first


def test_what_is_missing_may_come(tmp_path: Path) -> None:
    """Retryable with the reason, and no more than the path in it."""
    authority = Authority(tmp_path)
    pair = authority.issue("sensor")
    key = pair.key.read_bytes()
    pair.key.unlink()
    tls = tls_of(tmp_path, pair, authority)
    with pytest.raises(Retryable, match="certificates of sink upstream cannot be used"):
        tls.context()
    pair.key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(Retryable) as caught:
        tls.context()
    assert "c2VjcmV0" not in str(caught.value)
    pair.key.write_bytes(key)
    assert tls.context()


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    """A daemon has no terminal: it is an error like any other."""
    authority = Authority(tmp_path)
    pair = authority.issue("sensor", passphrase=b"secret")
    with pytest.raises(Retryable):
        tls_of(tmp_path, pair, authority).context()


def test_when_certificates_end(tmp_path: Path) -> None:
    """The one of a chain that ends first counts; nothing is known before anything is loaded."""
    authority = Authority(tmp_path)
    long, short = authority.issue("sensor"), authority.issue("intermediate", valid_from_hours=-20)
    long.certificate.write_bytes(long.certificate.read_bytes() + short.certificate.read_bytes())
    tls = tls_of(tmp_path, long, authority)
    assert tls.expiries == {}
    tls.context()
    ends = {
        name: dt.datetime.fromtimestamp(ends_ns / 1e9, dt.UTC).replace(microsecond=0) for name, ends_ns in tls.expiries.items()
    }
    assert ends["client"] == x509.load_pem_x509_certificate(short.certificate.read_bytes()).not_valid_after_utc
    assert ends["authority"] == x509.load_pem_x509_certificate(authority.file.read_bytes()).not_valid_after_utc


def test_only_what_fails_by_the_clock_names_the_clock() -> None:
    """Whoever reads it looks at the clock first."""

    def failed(code: int) -> ssl.SSLCertVerificationError:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_code = code
        return error

    now_ns = 1_700_000_000 * 10**9
    for code in (9, 10):
        assert explained(failed(code), now_ns).endswith("this sensor's clock says 2023-11-14T22:13:20+00:00")
    assert "clock" not in explained(failed(20), now_ns)
    assert explained(OSError(), now_ns) == "OSError"
    outer = OSError("no connection")
    outer.__cause__ = failed(10)
    assert "clock" in explained(outer, now_ns)


def test_a_key_needs_a_certificate() -> None:
    """And only set keys are named where TLS is not spoken."""
    with pytest.raises(ValidationError, match="client_key needs a client_certificate"):
        TlsConfig(client_key=Path("/k.pem"))
    assert TlsConfig(ca_file=Path("/ca.pem")).names_files() == ["ca_file"]
