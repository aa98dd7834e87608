"""The refusal matrix: every way in which a bundle can be wrong has its own reason, and the other bundles still load."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle_workshop import change_manifest, edited, make_bundle, model_bytes, rewrite_model
from onnx import TensorProto, helper, numpy_helper

from netmote.models.bundle import MOST_BYTES, read_bundle
from netmote.models.config import ModelsConfig
from netmote.models.refusal import BundleRefused, Refusal
from netmote.models.registry import load_detectors
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import ALL, TRAFFIC


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _nan_output(bundle: Path) -> None:
    def change(proto: object) -> None:
        for tensor in proto.graph.initializer:
            if tensor.name == "b3":
                tensor.CopyFrom(numpy_helper.from_array(np.full(len(TRAFFIC), np.nan, np.float32), "b3"))

    rewrite_model(bundle, edited(model_bytes(), change))


def _golden(bundle: Path, **arrays: np.ndarray) -> None:
    import hashlib

    np.savez(bundle / "golden.npz", **arrays)
    document = (bundle / "golden.npz").read_bytes()
    change_manifest(bundle, ("files", "golden.npz"), {"size": len(document), "sha256": hashlib.sha256(document).hexdigest()})


def _other_names(proto: object) -> None:
    proto.graph.output[0].name = "verdict"


def _external(proto: object) -> None:
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL


def _link(bundle: Path) -> None:
    real = bundle.parent.parent / "elsewhere.onnx"
    (bundle / "model.onnx").rename(real)
    (bundle / "model.onnx").symlink_to(real)


def _pipe(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    os.mkfifo(bundle / "model.onnx")


OTHER = FeatureSchema("traffic", 99, TRAFFIC.window_ns, TRAFFIC.hop_ns, TRAFFIC.features)

MATRIX: dict[str, tuple[Refusal, Callable[[Path], object]]] = {
    "flipped byte in the model": (Refusal.CHECKSUM, lambda b: _flip(b / "model.onnx")),
    "flipped byte in the golden vectors": (Refusal.CHECKSUM, lambda b: _flip(b / "golden.npz")),
    "flipped byte in the card": (Refusal.CHECKSUM, lambda b: _flip(b / "MODEL_CARD.md")),
    "wrong size": (Refusal.CHECKSUM, lambda b: change_manifest(b, ("files", "model.onnx", "size"), 3)),
    "missing model": (Refusal.MISSING_FILE, lambda b: (b / "model.onnx").unlink()),
    "missing card": (Refusal.MISSING_FILE, lambda b: (b / "MODEL_CARD.md").unlink()),
    "a pickle beside it": (Refusal.UNEXPECTED_FILE, lambda b: (b / "model.pkl").write_bytes(b"\x80\x04.")),
    "oversized model": (Refusal.OVERSIZED, lambda b: (b / "model.onnx").write_bytes(b"\0" * (MOST_BYTES["model.onnx"] + 1))),
    "oversized manifest": (
        Refusal.OVERSIZED,
        lambda b: (b / "manifest.yaml").write_bytes(b"#" * (MOST_BYTES["manifest.yaml"] + 1)),
    ),
    "link out of the bundle": (Refusal.NOT_A_FILE, _link),
    "a pipe": (Refusal.NOT_A_FILE, _pipe),
    "manifest is junk": (Refusal.MANIFEST, lambda b: (b / "manifest.yaml").write_text("[")),
    "manifest lists no model": (Refusal.MANIFEST, lambda b: change_manifest(b, ("files",), {})),
    "unknown schema": (Refusal.SCHEMA, lambda b: change_manifest(b, ("feature_schema", "hash"), "0" * 64)),
    "other feature order": (
        Refusal.SCHEMA,
        lambda b: change_manifest(b, ("feature_schema", "features"), list(reversed(TRAFFIC.names))),
    ),
    "model of another schema": (Refusal.SCHEMA, lambda b: rewrite_model(b, model_bytes(OTHER))),
    "model is junk": (Refusal.NOT_ONNX, lambda b: rewrite_model(b, b"junk")),
    "wrong opset": (
        Refusal.OPSET,
        lambda b: rewrite_model(b, edited(model_bytes(), lambda p: setattr(p.opset_import[0], "version", 9))),
    ),
    "opset other than declared": (Refusal.OPSET, lambda b: change_manifest(b, ("opset",), 16)),
    "unknown IR version": (
        Refusal.IR_VERSION,
        lambda b: rewrite_model(b, edited(model_bytes(), lambda p: setattr(p, "ir_version", 3))),
    ),
    "custom operator": (
        Refusal.OPERATOR,
        lambda b: rewrite_model(
            b, edited(model_bytes(), lambda p: p.graph.node.append(helper.make_node("Evil", ["features"], ["y"], domain="evil")))
        ),
    ),
    "external data": (Refusal.EXTERNAL_DATA, lambda b: rewrite_model(b, edited(model_bytes(), _external))),
    "other outputs": (Refusal.INTERFACE, lambda b: rewrite_model(b, edited(model_bytes(), _other_names))),
    "golden vectors are no archive": (Refusal.GOLDEN, lambda b: _golden_bytes(b, b"junk")),
    "golden vectors of another shape": (
        Refusal.GOLDEN,
        lambda b: _golden(b, features=np.zeros((1, 3)), score=np.zeros(1), contribution=np.zeros((1, 3))),
    ),
    "golden vectors lack the scores": (Refusal.GOLDEN, lambda b: _golden(b, features=np.zeros((1, 37)))),
    "answers NaN": (Refusal.NOT_FINITE, _nan_output),
    "answers otherwise than at its making": (Refusal.GOLDEN, lambda b: rewrite_model(b, model_bytes(seed=5))),
    "another place than its name": (Refusal.MANIFEST, lambda b: change_manifest(b, ("name",), "other")),
}


def _golden_bytes(bundle: Path, document: bytes) -> None:
    import hashlib

    (bundle / "golden.npz").write_bytes(document)
    change_manifest(bundle, ("files", "golden.npz"), {"size": len(document), "sha256": hashlib.sha256(document).hexdigest()})


@pytest.mark.parametrize("case", MATRIX)
@pytest.mark.parametrize("runtime", ["onnxruntime", "numpy"])
def test_each_refusal_has_its_reason_and_the_rest_loads(case: str, runtime: str, tmp_path: Path) -> None:
    """The damaged bundle is refused with its own reason, before and after it in the directory others load, nothing raises."""
    make_bundle(tmp_path, name="aaa")
    make_bundle(tmp_path, name="zzz")
    reason, damage = MATRIX[case]
    damage(make_bundle(tmp_path, name="sample"))
    loaded = load_detectors(ModelsConfig(bundles=(str(tmp_path),), allow_unsigned=True), schemas=ALL, runtime=runtime)
    assert [detector.name for detector in loaded.detectors] == ["aaa", "zzz"]
    (refused,) = [status for status in loaded.bundles if status.state == "refused"]
    assert (refused.reason, refused.name, refused.version) == (reason, "sample", "1.0.0")
    assert refused.detail


def test_every_reason_is_reachable() -> None:
    """No reason exists that no test shows; the self-test and the signature have tests of their own."""
    shown_elsewhere = {Refusal.SLOW, Refusal.RUNTIME, Refusal.UNSIGNED, Refusal.BAD_SIGNATURE, Refusal.UNTRUSTED_KEY}
    assert {reason for reason, _ in MATRIX.values()} == set(Refusal) - shown_elsewhere


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Golden vectors that would unpack to far more than their bound are refused by size before unpacking."""
    bundle = make_bundle(tmp_path)
    np.savez_compressed(bundle / "golden.npz", features=np.zeros((100_000, 37)))
    _golden_bytes(bundle, (bundle / "golden.npz").read_bytes())
    with pytest.raises(BundleRefused) as refusal:
        read_bundle(bundle, schemas=ALL)
    assert refusal.value.reason is Refusal.OVERSIZED


def test_a_good_bundle_is_read_whole(tmp_path: Path) -> None:
    """Manifest, schema, model, graph, golden vectors and the size of all files."""
    directory = make_bundle(tmp_path)
    bundle = read_bundle(directory, schemas=ALL)
    assert bundle.schema is TRAFFIC
    assert bundle.model == (directory / "model.onnx").read_bytes()
    assert bundle.size == sum(path.stat().st_size for path in directory.iterdir())
    assert bundle.golden.features.shape == (6, len(TRAFFIC))
    assert len(bundle.content_hash) == 64


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """Nothing there is a missing file."""
    with pytest.raises(BundleRefused) as refusal:
        read_bundle(tmp_path / "nothing", schemas=ALL)
    assert refusal.value.reason is Refusal.MISSING_FILE
