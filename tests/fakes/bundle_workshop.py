"""Makes real model bundles, small and quickly, and damages them one way at a time."""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import yaml

from netmote.models.manifest import CalibrationReference, Quantisation, TrainingDescription
from netmote.models.numpy_detector import NumpyRuntime
from netmote.models.onnx_graph import read_graph
from netmote.training.bundle_writer import golden_vectors, write_bundle
from netmote.training.fit import HIDDEN, Network
from netmote.training.graph import build_graph
from netmote.training.preparation import Preparation
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import TRAFFIC


def network(width: int, *, seed: int = 0) -> tuple[Network, Preparation]:
    """An autoencoder with random weights."""
    random = np.random.default_rng(seed)
    sizes = (width, *HIDDEN, width)
    weights = tuple((random.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32) for a, b in pairwise(sizes))
    biases = tuple(random.standard_normal(b).astype(np.float32) * np.float32(0.1) for b in sizes[1:])
    return Network(weights, biases), Preparation(np.ones(width, np.float32), np.full(width, 0.5, np.float32))


def model_bytes(schema: FeatureSchema = TRAFFIC, *, seed: int = 0, int8: bool = True) -> bytes:
    """A serialised model bound to the schema."""
    return build_graph(*network(len(schema), seed=seed), int8=int8, metadata={"schema_hash": schema.hash})


def make_bundle(
    root: Path, *, name: str = "sample", version: str = "1.0.0", schema: FeatureSchema = TRAFFIC, seed: int = 0
) -> Path:
    """Write `root`/`name`/`version`/ and return it."""
    model = model_bytes(schema, seed=seed)
    windows = np.expm1(np.random.default_rng(seed).exponential(2.0, (6, len(schema))))
    write_bundle(
        root,
        name=name,
        number=version,
        description="A sample with random weights.",
        schema=schema,
        model=model,
        golden=golden_vectors(NumpyRuntime(read_graph(model)), windows),
        quantisation=Quantisation(kind="int8-weights", reason="a sample"),
        calibration=CalibrationReference(windows=6, quantiles={"0.5": 1.0}),
        training=TrainingDescription(
            sources={"sample": 6},
            windows_train=6,
            windows_validation=0,
            windows_calibration=0,
            windows_test=0,
            seed=seed,
            epochs=0,
            data_sha256="0" * 64,
        ),
        evaluation={},
        known_limits=("It knows nothing.",),
    )
    return root / name / version


def rewrite_model(bundle: Path, model: bytes) -> None:
    """Replace the model and make the manifest agree with it, so that only what is inside the model is wrong."""
    (bundle / "model.onnx").write_bytes(model)
    change_manifest(bundle, ("files", "model.onnx"), {"size": len(model), "sha256": hashlib.sha256(model).hexdigest()})


def change_manifest(bundle: Path, key: tuple[str, ...], value: object) -> None:
    """Set one entry of the manifest."""
    path = bundle / "manifest.yaml"
    document = yaml.safe_load(path.read_text())
    place = document
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def edited(model: bytes, change: "object") -> bytes:
    """The model after `change(proto)`."""
    proto = onnx.ModelProto.FromString(model)
    change(proto)
    return proto.SerializeToString(deterministic=True)
