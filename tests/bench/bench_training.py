"""Training the shipped model again from the recordings: the time, and whether its content hash is that of the bundle in the tree.

Run: python tests/bench/bench_training.py [DATA]. Limit: 1 s for the fit of one model (E4). Without the recordings it says so and ends.
"""

import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from rich.progress import Progress

from netmote.models.config import ModelsConfig
from netmote.models.manifest import content_hash
from netmote.models.registry import load_detectors
from netmote.training.fit import fit_autoencoder
from netmote.training.preparation import Preparation
from netmote.training.split import Part
from netmote.training.train_traffic import SEED, gather, train
from netmote.windows.schemas import ALL

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def main() -> int:
    """Print the figures; 1 when the bundle is not reproduced though libraries are the same."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not data.is_dir():
        print("  the recordings are not on this machine")
        return 0
    shipped = load_detectors(ModelsConfig(), schemas=ALL).bundles[0].manifest
    assert shipped is not None
    with tempfile.TemporaryDirectory() as folder, Progress(disable=True) as progress:
        began = perf_counter()
        corpus = gather(data, progress)
        gathered = perf_counter()
        manifest = train(corpus, Path(folder), progress)
        trained = perf_counter()
    windows = corpus.values(Part.TRAIN)
    preparation = Preparation.fit(windows)
    before = perf_counter()
    fit = fit_autoencoder(preparation.apply(windows), preparation.apply(corpus.values(Part.VALIDATION)), seed=SEED)
    took = perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  windows from recordings {gathered - began:.1f} s; fit, quantise, evaluate, write {trained - gathered:.1f} s")
    print(
        f"  fit alone {took:.2f} s for {len(windows):,} windows, {len(fit.losses)} epochs; {took:.2f} of the limit; peak {peak:.0f} MB"
    )
    same = content_hash(manifest) == content_hash(shipped)
    print(
        f"  content hash {'reproduced' if same else 'differs'}; libraries {'the same' if manifest.libraries == shipped.libraries else 'differ'}"
    )
    return int(not same and manifest.libraries == shipped.libraries)


if __name__ == "__main__":
    raise SystemExit(main())
