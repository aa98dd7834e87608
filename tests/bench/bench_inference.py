"""What one window costs in the model, per batch size and runtime, and what a hop costs with calibration, fusion and baselines around it.

Run: python tests/bench/bench_inference.py. Limits: 10 us for one window in onnxruntime, 50 ms to load, 0.1 ms an entity for a whole hop.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from netmote.models.config import ModelsConfig
from netmote.models.registry import Loaded, RuntimeChoice, load_detectors
from netmote.scoring.config import ScoringConfig
from netmote.scoring.model_scoring import ModelScoring
from netmote.windows.schemas import ALL, TRAFFIC
from netmote.windows.vector import VectorBatch

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from feature_vectors import hosts, vectors

LIMIT_ONE_US, LIMIT_LOAD_MS, LIMIT_ENTITY_MS = 10.0, 50.0, 0.1


def main() -> int:
    """Print the figures; the number of limits that were not met."""
    missed = 0
    _load("auto")  # onnxruntime is imported once a process
    for runtime in ("onnxruntime", "numpy"):
        missed += _inference(runtime)
    for count in (200, 1_000):
        missed += _hop(count)
    return missed


def _inference(runtime: RuntimeChoice) -> int:
    loaded = _load(runtime)
    load_ms = loaded.bundles[0].load_ms
    print(f"  {runtime}: load {load_ms:.1f} ms (limit {LIMIT_LOAD_MS:g})")
    missed = load_ms > LIMIT_LOAD_MS
    run = loaded.detectors[0].runtime.run
    for rows in (1, 64, 1_000):
        features = _raw(rows).astype(np.float32)
        median, worst = _times(lambda features=features: run(features), times=500)
        ratio = f", {median / LIMIT_ONE_US:.2f} of the limit" if rows == 1 else ""
        print(f"  {runtime}: {rows} windows p50 {median:.1f} us, p99 {worst:.1f} us{ratio}")
        missed += runtime == "onnxruntime" and rows == 1 and median > LIMIT_ONE_US
    return missed


def _hop(count: int) -> int:
    scoring = ModelScoring(_load("auto").detectors, ScoringConfig())
    random, entities, usual = np.random.default_rng(0), hosts(count), _raw(count)

    def window(step: int) -> VectorBatch:
        return vectors(usual * random.lognormal(0.0, 0.1, usual.shape), schema=TRAFFIC, entities=entities, step=step)

    for step in range(400):
        scoring.evaluate(window(step))
    took = []
    for batch in [window(400 + step) for step in range(40)]:
        before = perf_counter()
        scoring.evaluate(batch)
        took.append((perf_counter() - before) * 1e3)
    median = statistics.median(took)
    print(f"  {count} entities armed: {median:.2f} ms a hop, {median / count / LIMIT_ENTITY_MS:.3f} of the limit, ", end="")
    print(f"state {len(scoring.state()) / 1e6:.2f} MB after 400 windows")
    return median / count > LIMIT_ENTITY_MS


def _load(runtime: RuntimeChoice) -> Loaded:
    return load_detectors(ModelsConfig(), schemas=ALL, runtime=runtime)


def _raw(rows: int) -> np.ndarray:
    return np.expm1(np.random.default_rng(0).exponential(2.0, (rows, len(TRAFFIC))))


def _times(call: Callable[[], object], *, times: int) -> tuple[float, float]:
    """Median and 99th percentile in microseconds."""
    for _ in range(20):
        call()
    took = []
    for _ in range(times):
        before = perf_counter()
        call()
        took.append((perf_counter() - before) * 1e6)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


if __name__ == "__main__":
    raise SystemExit(main())
