"""The bundles of the configured directories: newest usable version of each name becomes a detector, the others say why not.

    <directory>/<name>/<version>/        several versions may lie side by side

Never raises for a bad bundle: rules and the other bundles go on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from netmote.clock import Clock, SystemClock
from netmote.config.builtin import builtin_path
from netmote.models.bundle import Bundle, read_bundle
from netmote.models.config import ModelsConfig, RuntimeChoice
from netmote.models.graph_detector import GraphDetector, Runtime
from netmote.models.manifest import MANIFEST_FILE, Manifest
from netmote.models.numpy_detector import NumpyRuntime
from netmote.models.refusal import BundleRefused, Refusal
from netmote.models.self_test import self_test
from netmote.models.signature import KeyUnusable, TrustedKeys, read_trusted_keys
from netmote.scoring.detector import Detector
from netmote.windows.schema import FeatureSchema


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """What `netmote models list` shows of one bundle."""

    name: str
    version: str
    state: Literal["active", "standby", "refused"]  # standby: an older version of an active one
    reason: str  # of the refusal, else ""
    detail: str
    path: str
    size: int  # bytes, 0 unless read
    load_ms: float
    runtime: str  # "onnxruntime", "numpy", or "" unless active
    signed_by: str = ""  # key id; "" for the shipped ones, the unsigned and the refused
    manifest: Manifest | None = None

    @property
    def why(self) -> str:
        """The refusal in words, else empty."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class Loaded:
    """The detectors in use and the status of every bundle found."""

    detectors: tuple[Detector, ...]
    bundles: tuple[BundleStatus, ...]


def load_detectors(
    config: ModelsConfig,
    *,
    schemas: Iterable[FeatureSchema],
    clock: Clock | None = None,
    runtime: RuntimeChoice | None = None,
) -> Loaded:
    """Load the newest usable version of every bundle. `runtime`: default the configuration's.

    `clock` times the self-test and every run of the detectors; the machine's own unless given.
    """
    clock = clock or SystemClock()
    runtime = runtime or config.runtime
    known = tuple(schemas)
    trusted = _Trust(config)
    detectors: dict[str, Detector] = {}
    statuses: list[BundleStatus] = []
    for written in config.bundles:
        root = builtin_path("models") if written == "builtin" else Path(written)
        places = _places(root)
        if not places and written != "builtin":
            statuses.append(_refused(root, BundleRefused(Refusal.MISSING_FILE, "no bundle lies here"), 0.0))
        for place in places:
            began = clock.monotonic()
            try:
                bundle = read_bundle(
                    place,
                    schemas=known,
                    trusted=None if written == "builtin" else trusted.keys(),
                    allow_unsigned=config.allow_unsigned,
                )
                _require_place(bundle, place)
                name = bundle.manifest.name
                if name in detectors:
                    statuses.append(_status(bundle, place, "standby", clock.monotonic() - began, ""))
                    continue
                engine = _runtime(bundle, runtime)
                self_test(bundle, engine, clock=clock)
            except BundleRefused as refusal:
                statuses.append(_refused(place, refusal, clock.monotonic() - began))
                continue
            detectors[name] = GraphDetector(name, bundle.schema, engine, clock=clock)
            statuses.append(_status(bundle, place, "active", clock.monotonic() - began, engine.kind))
    return Loaded(tuple(detectors[name] for name in sorted(detectors)), tuple(statuses))


class _Trust:
    """The configured keys, read once and only when a bundle asks for them."""

    def __init__(self, config: ModelsConfig) -> None:
        self._places = config.trusted_keys
        self._keys: TrustedKeys | None = None

    def keys(self) -> TrustedKeys:
        """Raises BundleRefused (UNTRUSTED_KEY) when a key cannot be read: nobody is trusted by mistake."""
        if self._keys is None:
            try:
                self._keys = read_trusted_keys(self._places)
            except KeyUnusable as error:
                raise BundleRefused(Refusal.UNTRUSTED_KEY, f"models.trusted_keys: {error}") from error
        return self._keys


def _places(root: Path) -> list[Path]:
    """Bundle directories, by name and from the newest version on; the root itself when it is one."""
    if (root / MANIFEST_FILE).is_file():
        return [root]
    names = sorted(path for path in _children(root) if path.is_dir())
    return [place for name in names for place in sorted(_children(name), key=_version_order, reverse=True) if place.is_dir()]


def _children(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []  # not there or not readable: no bundles, which the caller says


def _version_order(path: Path) -> tuple[tuple[int, ...], str]:
    parts = path.name.split(".")
    return (tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (), path.name)


def _require_place(bundle: Bundle, place: Path) -> None:
    wanted = (bundle.manifest.name, bundle.manifest.version)
    if (place.resolve().parent.name, place.resolve().name) != wanted:
        raise BundleRefused(Refusal.MANIFEST, f"it is {'/'.join(wanted)} and lies in {place.parent.name}/{place.name}")


def _runtime(bundle: Bundle, choice: RuntimeChoice) -> Runtime:
    if choice != "numpy":
        try:
            # Imported late: 20 MB that a sensor without models, or without a wheel, does not need.
            from netmote.models.onnx_detector import OnnxRuntime  # noqa: PLC0415
        except ImportError as error:
            if choice == "onnxruntime":
                raise BundleRefused(Refusal.RUNTIME, f"onnxruntime cannot be imported: {error}") from error
        else:
            return OnnxRuntime(bundle.model)
    return NumpyRuntime(bundle.graph)


def _status(bundle: Bundle, place: Path, state: Literal["active", "standby"], seconds: float, runtime: str) -> BundleStatus:
    manifest = bundle.manifest
    return BundleStatus(
        name=manifest.name,
        version=manifest.version,
        state=state,
        reason="",
        detail="",
        path=str(place),
        size=bundle.size,
        load_ms=seconds * 1e3,
        runtime=runtime,
        signed_by=bundle.signed_by or "",
        manifest=manifest,
    )


def _refused(place: Path, refusal: BundleRefused, seconds: float) -> BundleStatus:
    return BundleStatus(
        place.parent.name, place.name, "refused", refusal.reason, refusal.detail, str(place), 0, seconds * 1e3, ""
    )
