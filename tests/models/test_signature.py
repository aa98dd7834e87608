"""Signatures: only a bundle that a trusted key vouches for is used, whatever else is right about it."""

import stat
import subprocess
from pathlib import Path

import pytest
from bundle_workshop import change_manifest, make_bundle

from netmote.models.bundle import read_bundle
from netmote.models.config import ModelsConfig
from netmote.models.refusal import BundleRefused, Refusal
from netmote.models.registry import load_detectors
from netmote.models.signature import (
    SIGNATURE_FILE,
    KeyUnusable,
    generate_key,
    public_path,
    read_private_key,
    read_trusted_keys,
    sign_manifest,
)
from netmote.windows.schemas import ALL


def _sign(bundle: Path, key: Path) -> None:
    (bundle / SIGNATURE_FILE).write_bytes(sign_manifest((bundle / "manifest.yaml").read_bytes(), read_private_key(key)))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; the public one lies beside it."""
    path = tmp_path / "keys" / "release.key"
    path.parent.mkdir()
    generate_key(path)
    return path


def _refusal(bundle: Path, *keys: Path) -> Refusal:
    with pytest.raises(BundleRefused) as refused:
        read_bundle(bundle, schemas=ALL, trusted=read_trusted_keys(keys))
    return refused.value.reason


def test_a_signed_bundle_is_used_and_says_by_whom(tmp_path: Path, key: Path) -> None:
    """The registry takes it when its key is configured, as a file or as a directory of keys, and names the key."""
    bundle = make_bundle(tmp_path / "models")
    _sign(bundle, key)
    (name,) = read_trusted_keys([key.parent]).keys
    for place in (public_path(key), key.parent):
        config = ModelsConfig(bundles=(str(tmp_path / "models"),), trusted_keys=(place,))
        (status,) = load_detectors(config, schemas=ALL).bundles
        assert (status.state, status.signed_by) == ("active", name)


def test_an_unsigned_bundle_is_refused_unless_that_is_allowed(tmp_path: Path, key: Path) -> None:
    """The default refuses it and says what to do; allowed, it names no signer."""
    bundle = make_bundle(tmp_path / "models")
    (status,) = load_detectors(ModelsConfig(bundles=(str(tmp_path / "models"),)), schemas=ALL).bundles
    assert (status.state, status.reason) == ("refused", "unsigned")
    assert "netmote models sign" in status.detail
    trusted = read_trusted_keys([public_path(key)])
    assert read_bundle(bundle, schemas=ALL, trusted=trusted, allow_unsigned=True).signed_by is None


def test_a_changed_manifest_is_refused(tmp_path: Path, key: Path) -> None:
    """One word of the description changed after signing; allowing unsigned bundles does not help."""
    bundle = make_bundle(tmp_path)
    _sign(bundle, key)
    change_manifest(bundle, ("description",), "Better than it is.")
    assert _refusal(bundle, public_path(key)) is Refusal.BAD_SIGNATURE
    with pytest.raises(BundleRefused):
        read_bundle(bundle, schemas=ALL, trusted=read_trusted_keys([public_path(key)]), allow_unsigned=True)


def test_a_changed_model_is_refused_under_a_good_signature(tmp_path: Path, key: Path) -> None:
    """The signature covers the manifest, the manifest covers the files."""
    bundle = make_bundle(tmp_path)
    _sign(bundle, key)
    (bundle / "model.onnx").write_bytes(b"x")
    assert _refusal(bundle, public_path(key)) is Refusal.CHECKSUM


def test_a_stranger_is_refused(tmp_path: Path, key: Path) -> None:
    """Signed properly by a key that nobody trusts: the refusal names both."""
    other = tmp_path / "other.key"
    generate_key(other)
    bundle = make_bundle(tmp_path / "models")
    _sign(bundle, other)
    assert _refusal(bundle, public_path(key)) is Refusal.UNTRUSTED_KEY
    assert _refusal(bundle) is Refusal.UNTRUSTED_KEY


@pytest.mark.parametrize("position", range(0, 130, 7))
def test_no_bit_of_a_signature_may_change(tmp_path: Path, key: Path, position: int) -> None:
    """A flipped bit anywhere in the document is a refusal, never a pass and never a crash."""
    bundle = make_bundle(tmp_path)
    _sign(bundle, key)
    document = bytearray((bundle / SIGNATURE_FILE).read_bytes())
    document[position % len(document)] ^= 1
    (bundle / SIGNATURE_FILE).write_bytes(document)
    assert _refusal(bundle, public_path(key)) in (Refusal.BAD_SIGNATURE, Refusal.UNTRUSTED_KEY)


def test_the_signature_must_be_a_small_regular_file(tmp_path: Path, key: Path) -> None:
    """Neither a link nor a large file is read."""
    bundle = make_bundle(tmp_path)
    _sign(bundle, key)
    signature = bundle / SIGNATURE_FILE
    signature.rename(tmp_path / "elsewhere")
    signature.symlink_to(tmp_path / "elsewhere")
    assert _refusal(bundle, public_path(key)) is Refusal.NOT_A_FILE
    signature.unlink()
    signature.write_bytes(b"\0" * 1_000)
    assert _refusal(bundle, public_path(key)) is Refusal.OVERSIZED


def test_the_same_manifest_has_the_same_signature(tmp_path: Path, key: Path) -> None:
    """Ed25519 draws nothing, so a bundle signed again is the same octets."""
    bundle = make_bundle(tmp_path)
    manifest = (bundle / "manifest.yaml").read_bytes()
    assert sign_manifest(manifest, read_private_key(key)) == sign_manifest(manifest, read_private_key(key))


def test_keys_are_private_new_and_those_of_openssl(tmp_path: Path, key: Path) -> None:
    """Mode 0600; a second key never overwrites one; OpenSSL reads our key and we read one of its making."""
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        generate_key(key)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-noout"], check=True, capture_output=True)
    foreign = tmp_path / "foreign.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(foreign)], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", str(foreign), "-pubout", "-out", str(public_path(foreign))], check=True)
    bundle = make_bundle(tmp_path / "models")
    _sign(bundle, foreign)
    assert read_bundle(bundle, schemas=ALL, trusted=read_trusted_keys([public_path(foreign)])).signed_by


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    """A missing file, junk, and a key of another kind each name the file and the reason."""
    rsa = tmp_path / "rsa.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", str(rsa)], check=True, capture_output=True)
    junk = tmp_path / "junk"
    junk.write_text("junk")
    for path, said in ((tmp_path / "none", "No such file"), (junk, "not an unencrypted private key"), (rsa, "Ed25519")):
        with pytest.raises(KeyUnusable, match=said) as unusable:
            read_private_key(path)
        assert str(path) in str(unusable.value)
    with pytest.raises(KeyUnusable, match="not a public key"):
        read_trusted_keys([junk])


def test_an_unreadable_key_trusts_nobody(tmp_path: Path, key: Path) -> None:
    """The bundles that need it are refused with the file's name; the shipped one needs none and loads."""
    bundle = make_bundle(tmp_path / "models")
    _sign(bundle, key)
    config = ModelsConfig(bundles=(str(tmp_path / "models"), "builtin"), trusted_keys=(tmp_path / "none.pub",))
    refused, shipped = load_detectors(config, schemas=ALL).bundles
    assert (refused.state, refused.reason, shipped.state) == ("refused", "untrusted-key", "active")
    assert "none.pub" in refused.detail
