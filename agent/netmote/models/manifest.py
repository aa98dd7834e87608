"""The manifest of a model bundle: what the model is, what it was made from, and how it was proven."""

import hashlib
import json
import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from netmote.models.refusal import BundleRefused, Refusal

MODEL_FILE, GOLDEN_FILE, CARD_FILE, MANIFEST_FILE = "model.onnx", "golden.npz", "MODEL_CARD.md", "manifest.yaml"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_VERSION = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Part):
    """One file of the bundle."""

    size: int = Field(ge=1)
    sha256: Sha256


class SchemaEntry(_Part):
    """The features the model was made for."""

    name: str
    version: int
    hash: Sha256
    features: tuple[str, ...] = Field(min_length=1)
    window_seconds: float
    hop_seconds: float


class Agreement(_Part):
    """A quantised graph against its float32 twin on one set of windows."""

    windows: int
    spearman: float
    alert_agreement: float
    same_top_contributor: float
    batch_invariance: float
    """Largest difference of a score alone and in a batch, relative; 0 = none."""


class Quantisation(_Part):
    """How the weights are stored, and how that was proven harmless."""

    kind: Literal["float32", "int8-weights", "int8-dynamic"]
    reason: str
    recorded: Agreement | None = None
    injected_extremes: Agreement | None = None
    refused: dict[str, str] = {}
    """Kinds that were tried and did not pass, with the reason."""


class CalibrationReference(_Part):
    """Quantiles of the score on benign windows that trained nothing. For people: thresholds are learnt on the sensor."""

    windows: int
    quantiles: dict[str, float]


class Evaluation(_Part):
    """One measurement, with its random twin."""

    windows_benign: int
    windows_attack: int
    auc: float
    auc_robust_z: float
    """Of the mean square of robustly scaled features: what no training gives."""
    auc_random: float
    false_positive_rate: float
    """Share of benign test windows above the 99 % quantile of the calibration windows."""
    true_positive_rate: float
    """Share of attack windows above the same threshold."""


class TrainingDescription(_Part):
    """On what and how it was trained."""

    sources: dict[str, int]
    """Windows per source that trained, calibrated or tested."""
    windows_train: int
    windows_validation: int
    windows_calibration: int
    windows_test: int
    seed: int
    epochs: int
    data_sha256: Sha256
    """Over the feature matrices of all parts."""
    excluded: dict[str, str] = {}
    """Captures that did not train, with the reason."""


class Manifest(_Part):
    """Everything about a bundle that is not weights."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    version: Annotated[str, StringConstraints(pattern=_VERSION)]
    description: str
    licence: str
    opset: int
    ir_version: int
    feature_schema: SchemaEntry
    files: dict[str, FileEntry]
    quantisation: Quantisation
    calibration: CalibrationReference
    training: TrainingDescription
    evaluation: dict[str, Evaluation]
    known_limits: tuple[str, ...]
    parent: str | None = None
    """`<name>/<version>` this model was fine-tuned from."""
    libraries: dict[str, str]
    """Versions of the libraries that made it."""

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers, for comparing."""
        return tuple(int(part) for part in self.version.split("."))


def read_manifest(document: bytes) -> Manifest:
    """Parse a manifest. Raises BundleRefused (MANIFEST) naming what is wrong."""
    try:
        return Manifest.model_validate(yaml.safe_load(document))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleRefused(Refusal.MANIFEST, f"{key}: {first['msg']}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BundleRefused(Refusal.MANIFEST, re.sub(r"\s+", " ", str(error))) from error


def write_manifest(manifest: Manifest) -> bytes:
    """The document of a manifest: the same value gives the same bytes."""
    body = manifest.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120).encode()


def content_hash(manifest: Manifest) -> str:
    """SHA-256 over the model, golden vectors, schema and calibration: two trainings that agree have the same."""
    body: dict[str, Any] = {
        "schema": manifest.feature_schema.hash,
        "model": manifest.files[MODEL_FILE].sha256,
        "golden": manifest.files[GOLDEN_FILE].sha256,
        "calibration": manifest.calibration.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
