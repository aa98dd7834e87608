"""The ordered, versioned names of the features of one kind of window. A model is bound to a schema by its hash."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Feature:
    """One column: its name, its unit (UCUM-like: `By/s`, `1`, `bit`), its formula in words."""

    name: str
    unit: str
    formula: str


@dataclass(frozen=True)
class FeatureSchema:
    """The columns of a feature vector, in order, and the window they are computed over."""

    name: str  # "traffic", "interface", "device", "sensor"
    version: int
    window_ns: int
    hop_ns: int
    features: tuple[Feature, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 over everything that changes a vector's meaning, 64 hexadecimal digits."""
        body = [self.name, self.version, self.window_ns, self.hop_ns, [[f.name, f.unit, f.formula] for f in self.features]]
        return hashlib.sha256(json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.features)
