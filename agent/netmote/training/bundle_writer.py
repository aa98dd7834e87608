"""A bundle on disk: the same model, schema and calibration give the same bytes, whenever and wherever they are written."""

import hashlib
import io
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.models.bundle import CONTRIBUTION, INPUT, SCORE
from netmote.models.graph_detector import Runtime
from netmote.models.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    CalibrationReference,
    Evaluation,
    FileEntry,
    Manifest,
    Quantisation,
    SchemaEntry,
    TrainingDescription,
    write_manifest,
)
from netmote.models.onnx_graph import read_graph
from netmote.training.model_card import model_card
from netmote.windows.schema import FeatureSchema

_LIBRARIES = ("numpy", "onnx", "onnxruntime")
_SECOND_NS = 1e9


def golden_vectors(runtime: Runtime, windows: NDArray[np.float64]) -> bytes:
    """The answers of the runtime to raw windows (windows, features), as `.npz`."""
    features = windows.astype(np.float32)
    score, contribution = runtime.run(features)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{INPUT: features, SCORE: score, CONTRIBUTION: contribution})
    return buffer.getvalue()


def write_bundle(
    output: Path,
    *,
    name: str,
    number: str,
    description: str,
    schema: FeatureSchema,
    model: bytes,
    golden: bytes,
    quantisation: Quantisation,
    calibration: CalibrationReference,
    training: TrainingDescription,
    evaluation: Mapping[str, Evaluation],
    known_limits: tuple[str, ...],
    parent: str | None = None,
) -> Manifest:
    """Write `output`/`name`/`number`/ anew and return its manifest."""
    graph = read_graph(model)
    unsigned = Manifest(
        name=name,
        version=number,
        description=description,
        licence="Apache-2.0",
        opset=graph.opset,
        ir_version=graph.ir_version,
        feature_schema=SchemaEntry(
            name=schema.name,
            version=schema.version,
            hash=schema.hash,
            features=schema.names,
            window_seconds=schema.window_ns / _SECOND_NS,
            hop_seconds=schema.hop_ns / _SECOND_NS,
        ),
        files={},
        quantisation=quantisation,
        calibration=calibration,
        training=training,
        evaluation=dict(evaluation),
        known_limits=known_limits,
        parent=parent,
        libraries={library: version(library) for library in _LIBRARIES},
    )
    documents = {MODEL_FILE: model, GOLDEN_FILE: golden, CARD_FILE: model_card(unsigned, size=len(model)).encode()}
    files = {
        file: FileEntry(size=len(document), sha256=hashlib.sha256(document).hexdigest()) for file, document in documents.items()
    }
    manifest = unsigned.model_copy(update={"files": files})
    directory = output / name / number
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for file, document in {**documents, MANIFEST_FILE: write_manifest(manifest)}.items():
        (directory / file).write_bytes(document)
    return manifest
