"""The bundles of the configured directories: of each name one version becomes a detector, one may be tried in shadow, the rest say why not.

    <directory>/<name>/<version>/        several versions may lie side by side

Without a selection the newest usable version is in use. With one, what was chosen stays in use, and a newer version is tried in
shadow until it is promoted; after a promotion, what was replaced goes on in shadow, so that a rollback relearns nothing.

Never raises for a bad bundle: rules and the other bundles go on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
from netmote.models.selection import Choice, Selection
from netmote.models.self_test import self_test
from netmote.models.signature import KeyUnusable, TrustedKeys, read_trusted_keys
from netmote.scoring.detector import Detector
from netmote.windows.schema import FeatureSchema

State = Literal["active", "shadow", "standby", "refused"]


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """What `netmote models list` shows of one bundle."""

    name: str
    version: str
    state: State  # shadow: judges beside the active one and alerts nobody; standby: another version of an active one
    reason: str  # of the refusal, else ""
    detail: str
    path: str
    size: int  # bytes, 0 unless read
    load_ms: float
    runtime: str  # "onnxruntime", "numpy", or "" unless active or in shadow
    signed_by: str = ""  # key id; "" for the shipped ones, the unsigned and the refused
    manifest: Manifest | None = None

    @property
    def why(self) -> str:
        """The refusal in words, else empty."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class Loaded:
    """The detectors in use, those in shadow, and the status of every bundle found."""

    detectors: tuple[Detector, ...]
    bundles: tuple[BundleStatus, ...]
    shadows: tuple[Detector, ...] = ()


@dataclass(slots=True)
class _Candidate:
    """One bundle on its way from a directory to a status."""

    place: Path
    bundle: Bundle | None = None
    refusal: BundleRefused | None = None
    state: State = "standby"
    runtime: Runtime | None = None
    seconds: float = 0.0

    @property
    def order(self) -> tuple[int, ...]:
        return self.bundle.manifest.order if self.bundle else ()

    @property
    def version(self) -> str:
        return self.bundle.manifest.version if self.bundle else ""


@dataclass(slots=True)
class _Loader:
    """Reads, verifies and starts bundles, and keeps the time each took."""

    config: ModelsConfig
    schemas: tuple[FeatureSchema, ...]
    clock: Clock
    runtime: RuntimeChoice
    trust: "_Trust" = field(init=False)

    def __post_init__(self) -> None:
        self.trust = _Trust(self.config)

    def read(self, place: Path, *, is_shipped: bool) -> _Candidate:
        """Read and verify; runs nothing."""
        candidate = _Candidate(place)
        began = self.clock.monotonic()
        try:
            bundle = read_bundle(
                place,
                schemas=self.schemas,
                trusted=None if is_shipped else self.trust.keys(),
                allow_unsigned=self.config.allow_unsigned,
            )
            _require_place(bundle, place)
            candidate.bundle = bundle
        except BundleRefused as refusal:
            candidate.refusal = refusal
        candidate.seconds = self.clock.monotonic() - began
        return candidate

    def start(self, candidate: _Candidate, state: State) -> bool:
        """Give it a runtime and let it prove itself. Returns whether it is usable; else it is refused."""
        if candidate.bundle is None:
            return False
        began = self.clock.monotonic()
        try:
            engine = _runtime(candidate.bundle, self.runtime)
            self_test(candidate.bundle, engine, clock=self.clock)
        except BundleRefused as refusal:
            candidate.refusal, candidate.bundle = refusal, None
        else:
            candidate.runtime, candidate.state = engine, state
        candidate.seconds += self.clock.monotonic() - began
        return candidate.runtime is not None

    def detector(self, candidate: _Candidate) -> GraphDetector:
        """The detector of a candidate that was started."""
        if candidate.bundle is None or candidate.runtime is None:
            raise ValueError("not started")
        manifest = candidate.bundle.manifest
        return GraphDetector(manifest.name, manifest.version, candidate.bundle.schema, candidate.runtime, clock=self.clock)


def load_detectors(
    config: ModelsConfig,
    *,
    schemas: Iterable[FeatureSchema],
    clock: Clock | None = None,
    runtime: RuntimeChoice | None = None,
    selection: Selection | None = None,
) -> Loaded:
    """Load the chosen, else the newest usable version of every bundle. `runtime`: default the configuration's.

    `selection`: what was chosen; None tries nothing in shadow, which is what replay and training want. `clock` times the self-test and
    every run of the detectors; the machine's own unless given.
    """
    loader = _Loader(config, tuple(schemas), clock or SystemClock(), runtime or config.runtime)
    candidates: list[_Candidate] = []
    for written in config.bundles:
        is_shipped = written == "builtin"
        root = builtin_path("models") if is_shipped else Path(written)
        places = _places(root)
        if not places and not is_shipped:
            candidates.append(_Candidate(root, refusal=BundleRefused(Refusal.MISSING_FILE, "no bundle lies here")))
        candidates.extend(loader.read(place, is_shipped=is_shipped) for place in places)
    detectors: dict[str, Detector] = {}
    shadows: dict[str, Detector] = {}
    for name, versions in _by_name(candidates).items():
        choice = selection.choices.get(name) if selection is not None else None
        active = next((each for each in _chosen_first(versions, choice) if loader.start(each, "active")), None)
        if active is None:
            continue
        detectors[name] = loader.detector(active)
        if selection is None:
            continue
        wanted = _worth_a_trial(versions, active, choice)
        shadow = next((each for each in wanted if loader.start(each, "shadow")), None)
        if shadow is not None:
            shadows[name] = loader.detector(shadow)
    return Loaded(
        tuple(detectors[name] for name in sorted(detectors)),
        tuple(map(_status, candidates)),
        tuple(shadows[name] for name in sorted(shadows)),
    )


def _by_name(candidates: Sequence[_Candidate]) -> dict[str, list[_Candidate]]:
    """Sound bundles by name, in the order of the directories; of one version that lies in two the first counts."""
    names: dict[str, list[_Candidate]] = {}
    for candidate in candidates:
        if candidate.bundle is not None:
            versions = names.setdefault(candidate.bundle.manifest.name, [])
            if all(candidate.version != other.version for other in versions):
                versions.append(candidate)
    return names


def _chosen_first(versions: Sequence[_Candidate], choice: Choice | None) -> Iterator[_Candidate]:
    """The chosen version, then the one before it, then the others as they come. What was rolled back comes last."""
    if choice is None:
        yield from versions
        return

    def rank(candidate: _Candidate) -> int:
        if candidate.version == choice.active:
            return 0
        if candidate.version == choice.previous:
            return 1
        return 3 if candidate.version in choice.rejected else 2

    yield from sorted(versions, key=rank)


def _worth_a_trial(versions: Sequence[_Candidate], active: _Candidate, choice: Choice | None) -> list[_Candidate]:
    """Newer versions than the active one, the newest first, then what it replaced. Never what was rolled back."""
    rejected = choice.rejected if choice is not None else ()
    newer = sorted(
        (each for each in versions if each.order > active.order and each.version not in rejected),
        key=lambda each: each.order,
        reverse=True,
    )
    replaced = [each for each in versions if choice is not None and each.version == choice.previous and each not in newer]
    return [each for each in (*newer, *replaced) if each is not active]


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


def _status(candidate: _Candidate) -> BundleStatus:
    place, load_ms = candidate.place, candidate.seconds * 1e3
    if candidate.refusal is not None or candidate.bundle is None:
        refusal = candidate.refusal
        reason, detail = (refusal.reason, refusal.detail) if refusal else ("", "")
        return BundleStatus(place.parent.name, place.name, "refused", reason, detail, str(place), 0, load_ms, "")
    bundle = candidate.bundle
    return BundleStatus(
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        state=candidate.state,
        reason="",
        detail="",
        path=str(place),
        size=bundle.size,
        load_ms=load_ms,
        runtime=candidate.runtime.kind if candidate.runtime else "",
        signed_by=bundle.signed_by or "",
        manifest=bundle.manifest,
    )
