"""The manifest: written and read alike, every mistake named, the content hash over what matters."""

from pathlib import Path

import pytest
from bundle_workshop import make_bundle

from netmote.models.manifest import Manifest, content_hash, read_manifest, write_manifest
from netmote.models.refusal import BundleRefused, Refusal


@pytest.fixture
def document(tmp_path: Path) -> bytes:
    """A manifest as it lies in a bundle."""
    return (make_bundle(tmp_path) / "manifest.yaml").read_bytes()


def test_read_and_written_alike(document: bytes) -> None:
    """Reading and writing gives the same bytes; no time stands in it."""
    manifest = read_manifest(document)
    assert write_manifest(manifest) == document
    assert manifest.order == (1, 0, 0)
    assert "time" not in Manifest.model_fields


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (b"name: sample", b"name: ../evil", "name"),
        (b"version: 1.0.0", b"version: '1'", "version"),
        (b"licence: Apache-2.0", b"unknown: 1", "licence"),
        (b"kind: int8-weights", b"kind: int4", "quantisation.kind"),
        (b"opset: 17", b"opset: many", "opset"),
        (b"name: sample", b"name: [", ""),
        (b"name: sample", b"name: !!python/object/apply:os.system ['true']", ""),
    ],
)
def test_each_mistake_is_named(document: bytes, old: bytes, new: bytes, key: str) -> None:
    """Refused as a manifest, naming the key."""
    with pytest.raises(BundleRefused) as refusal:
        read_manifest(document.replace(old, new, 1))
    assert refusal.value.reason is Refusal.MANIFEST
    assert refusal.value.detail.startswith(key)


@pytest.mark.parametrize("junk", [b"", b"- 1", b"\xff\xfe\x00", b"a: \x07"])
def test_junk_is_refused(junk: bytes) -> None:
    """Nothing, a list and binary junk are no manifests."""
    with pytest.raises(BundleRefused) as refusal:
        read_manifest(junk)
    assert refusal.value.reason is Refusal.MANIFEST


def test_content_hash_covers_what_matters(tmp_path: Path) -> None:
    """Equal for equal trainings; another model has another; words do not count."""
    one, other = (read_manifest((make_bundle(tmp_path / str(seed), seed=seed) / "manifest.yaml").read_bytes()) for seed in (0, 1))
    again = read_manifest((make_bundle(tmp_path / "again") / "manifest.yaml").read_bytes())
    assert content_hash(one) == content_hash(again) != content_hash(other)
    assert content_hash(one.model_copy(update={"description": "other words"})) == content_hash(one)
