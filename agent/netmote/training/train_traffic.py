"""Train the shipped traffic model from a folder of recordings: `python -m netmote.training.train_traffic --data DIR --output models/`.

    captures, flow log -> windows (as live) -> split -> fit -> quantise -> evaluate -> bundle

The same data, seed and libraries give the same content hash.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from netmote.models.manifest import Manifest, TrainingDescription, content_hash
from netmote.models.onnx_detector import OnnxRuntime
from netmote.training.benign_captures import Selection, select
from netmote.training.bundle_writer import golden_vectors, write_bundle
from netmote.training.conn_log import read_conn_log
from netmote.training.dataset import TrafficWindows, windows_of_batches, windows_of_captures
from netmote.training.evaluate import evaluate, reference
from netmote.training.fit import Fit, fit_autoencoder
from netmote.training.preparation import Preparation
from netmote.training.quantise import inject_extremes, quantise
from netmote.training.split import Part, Shares, by_capture, by_time, leaks
from netmote.windows.schemas import TRAFFIC

NAME, NUMBER, SEED = "traffic-autoencoder", "1.0.0", 20_240_501
DESCRIPTION = (
    "Dense denoising autoencoder 37-24-8-24-37 over the traffic of one host, or of one captured link, in one minute. "
    "It learns how the features of ordinary traffic go together; a window it cannot rebuild is unusual."
)
FLOW_LOG = "flows/iot23/conn.log.labeled"
FLOW_CAPTURE = "iot23 34-1"
# In its first hours the infected device retries its command server under the label Benign.
FLOW_LOG_BENIGN_FROM_NS = round(4.9 * 3600e9)
# Windows of one capture and entity; 19 h of one device to 720, one in ten.
MOST_PER_CAPTURE, MOST_OF_FLOW_LOG = 120, 720
CONTENT = "content only (suricata-verify)"
GOLDEN_BENIGN, GOLDEN_EXTREME = 8, 4
SHARES = Shares()

KNOWN_LIMITS = (
    (
        "It saw 19 hours of one home device and some hundred short recordings of single protocols, most in private networks: it ranks windows, "
        "it judges none. On a busy server or a large segment its scores are high until the sensor has calibrated on them (one hour)."
    ),
    (
        "A fixed threshold does not carry over: one set for 1 % of the calibration windows is passed by several per cent of other benign "
        "windows (last column above). netmote never uses one."
    ),
    (
        "The benign side of the IoT-23 rows is the same device without its malware, so these areas are those of an easy case; that of the "
        "robust z-score beside them shows how much of it is the data."
    ),
    (
        "Attacks that live in content alone (an exploit in one ordinary connection) are invisible to flow features; what the row 'content only' "
        "shows above chance is that these recordings come from other networks than the training, not the attacks."
    ),
    "Repeated attempts to reach a command server differ from ordinary retries only slightly: few such windows pass the threshold.",
    "The flow log has no packet sizes, gaps or DNS names, so the DNS features were learnt from few captures.",
    "Scans slower than a few probes a minute and attacks on layer 2 (ARP, DHCP) are left to the rules.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Benign windows with their part, and attack windows by family."""

    benign: TrafficWindows
    parts: NDArray[np.str_]
    attacks: Mapping[str, NDArray[np.float64]]
    excluded: Mapping[str, str]

    def values(self, part: Part) -> NDArray[np.float64]:
        """Raw windows of one part, (windows, features)."""
        return np.asarray(self.benign.values[self.parts == part], np.float64)

    def sha256(self) -> str:
        """Over every number that trains, calibrates or tests, as the model sees them (float32)."""
        digest = hashlib.sha256(self.benign.values.astype(np.float32).tobytes() + self.parts.astype("U16").tobytes())
        for family, windows in sorted(self.attacks.items()):
            digest.update(family.encode() + windows.astype(np.float32).tobytes())
        return digest.hexdigest()


def gather(root: Path, progress: Progress, *, shares: Shares = SHARES) -> Corpus:
    """Windows of every usable recording below `root`, split. Raises ValueError when the split leaks."""
    selections = select(root)
    excluded = {one.path: one.reason for one in selections if one.use == "excluded" and not one.path.startswith("pcap/tcpdump/")}
    benign, without = _captures(root, [one for one in selections if one.use == "benign"], progress, "ordinary captures")
    excluded |= without
    content, without = _captures(root, [one for one in selections if one.use == "content-attack"], progress, "content attacks")
    excluded |= without
    benign = benign.without_silence().thinned(MOST_PER_CAPTURE)
    parts = by_capture(benign.captures, shares)
    attacks: dict[str, NDArray[np.float64]] = {CONTENT: content.values} if len(content) else {}
    if (root / FLOW_LOG).is_file():
        rest, by_family = _flow_log(root / FLOW_LOG, progress)
        parts = np.concatenate([parts, by_time(rest.end_ns, shares, purge_ns=TRAFFIC.window_ns)])
        benign = TrafficWindows.joined([benign, rest])
        attacks |= by_family
    found = list(leaks(parts, benign.captures, benign.end_ns, window_ns=TRAFFIC.window_ns))
    if found:
        raise ValueError(f"the split leaks: {found[0]}")
    return Corpus(benign, parts, attacks, excluded)


def train(corpus: Corpus, output: Path, progress: Progress, *, seed: int = SEED, epochs: int = 150) -> Manifest:
    """Fit, quantise, evaluate and write the bundle below `output`."""
    fitted_on, validation, calibration = (corpus.values(part) for part in (Part.TRAIN, Part.VALIDATION, Part.CALIBRATION))
    for part, windows in ((Part.TRAIN, fitted_on), (Part.VALIDATION, validation), (Part.CALIBRATION, calibration)):
        if len(windows) < 2:
            raise ValueError(f"the {part} part has {len(windows)} windows")
    preparation = Preparation.fit(fitted_on)
    fit = _fit(preparation.apply(fitted_on), preparation.apply(validation), progress, seed=seed, epochs=epochs)
    task = progress.add_task("quantise, evaluate, write", total=3)
    metadata = {
        "model_name": NAME,
        "model_version": NUMBER,
        "schema_name": TRAFFIC.name,
        "schema_version": str(TRAFFIC.version),
        "schema_hash": TRAFFIC.hash,
        "window_ns": str(TRAFFIC.window_ns),
        "hop_ns": str(TRAFFIC.hop_ns),
    }
    quantised = quantise(
        fit.network,
        preparation,
        np.concatenate([fitted_on, validation, calibration]),
        calibration,
        seed=seed,
        metadata=metadata,
    )
    progress.advance(task)
    runtime = OnnxRuntime(quantised.model)
    test = corpus.values(Part.TEST)
    evaluation = evaluate(runtime, preparation, calibration=calibration, benign=test, attacks=corpus.attacks, seed=seed)
    progress.advance(task)
    extremes = inject_extremes(calibration, preparation, seed=seed + 1)
    golden = np.concatenate([_spaced(calibration, GOLDEN_BENIGN), _spaced(extremes, GOLDEN_EXTREME)])
    manifest = write_bundle(
        output,
        name=NAME,
        number=NUMBER,
        description=DESCRIPTION,
        schema=TRAFFIC,
        model=quantised.model,
        golden=golden_vectors(runtime, golden),
        quantisation=quantised.quantisation,
        calibration=reference(runtime, calibration),
        training=TrainingDescription(
            sources=dict(sorted(Counter(map(_source, corpus.benign.captures.tolist())).items())),
            windows_train=len(fitted_on),
            windows_validation=len(validation),
            windows_calibration=len(calibration),
            windows_test=len(test),
            seed=seed,
            epochs=fit.best_epoch,
            data_sha256=corpus.sha256(),
            excluded=dict(sorted(corpus.excluded.items())),
        ),
        evaluation=evaluation,
        known_limits=KNOWN_LIMITS,
    )
    progress.advance(task)
    return manifest


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m netmote.training.train_traffic", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings (pcap/, flows/)")
    parser.add_argument("--output", type=Path, required=True, help="where bundles lie: <output>/<name>/<version>/")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        manifest = train(gather(given.data, progress), given.output, progress, seed=given.seed)
    console.print(f"{manifest.name} {manifest.version}: content {content_hash(manifest)}")
    for family, one in manifest.evaluation.items():
        console.print(f"  {family}: AUC {one.auc:.3f} (random {one.auc_random:.3f}) on {one.windows_attack} attack windows")


def _captures(
    root: Path, selections: Sequence[Selection], progress: Progress, what: str
) -> tuple[TrafficWindows, dict[str, str]]:
    task = progress.add_task(what, total=len(selections))
    return windows_of_captures(selections, root=root, on_capture=lambda _: progress.advance(task))


def _flow_log(path: Path, progress: Progress) -> tuple[TrafficWindows, dict[str, NDArray[np.float64]]]:
    """Benign windows of the log without its attacks, and the windows of each attack with everything in them."""
    task = progress.add_task("flow log", total=2)
    log = read_conn_log(path)
    everything = windows_of_batches(log.batches(interface=FLOW_CAPTURE), capture=FLOW_CAPTURE)
    labels = np.array([log.label_of(int(end) - TRAFFIC.window_ns, int(end)) for end in everything.end_ns])
    labels, everything = labels[labels != ""], everything.where(labels != "")
    progress.advance(task)
    benign = windows_of_batches(log.benign().batches(interface=FLOW_CAPTURE), capture=FLOW_CAPTURE)
    benign = (
        benign.where(benign.end_ns >= int(log.panes[0]) + FLOW_LOG_BENIGN_FROM_NS).without_silence().thinned(MOST_OF_FLOW_LOG)
    )
    progress.advance(task)
    families = {f"{label} ({FLOW_CAPTURE})": everything.values[labels == label] for label in np.unique(labels).tolist()}
    return benign, families


def _fit(prepared: NDArray[np.float32], validation: NDArray[np.float32], progress: Progress, *, seed: int, epochs: int) -> Fit:
    task = progress.add_task("fit", total=epochs)

    def show(epoch: int, loss: float, held_out: float) -> None:
        progress.update(task, completed=epoch, description=f"fit: loss {loss:.4f}, held out {held_out:.4f}")

    fit = fit_autoencoder(prepared, validation, seed=seed, epochs=epochs, on_epoch=show)
    progress.update(task, completed=epochs)
    return fit


def _spaced(windows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    chosen = np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)
    return np.asarray(windows[chosen], np.float64)


def _source(capture: str) -> str:
    return "/".join(capture.split("/")[:2]) if "/" in capture else capture


if __name__ == "__main__":
    main()
