"""Does this model, in this runtime, on this machine, answer as it did when it was made? Asked once, at load."""

from itertools import pairwise
from statistics import median

import numpy as np

from netmote.clock import Clock
from netmote.models.bundle import Bundle
from netmote.models.graph_detector import Runtime
from netmote.models.refusal import BundleRefused, Refusal

# Runtimes may differ in the last bit before a rounding to 8 bits; a wrong weight differs far more.
RELATIVE, ABSOLUTE = 0.02, 1e-3
LATENCY_RUNS = 15
EXTREMES = (0.0, 1e-30, -1e-30, 1.0, 1e9, 1e30, -1e30, float(np.finfo(np.float32).max), float(np.finfo(np.float32).min))


def self_test(bundle: Bundle, runtime: Runtime, *, clock: Clock, latency_limit: float = 0.005) -> None:
    """Raise BundleRefused (RUNTIME, INTERFACE, NOT_FINITE, GOLDEN or SLOW). `latency_limit`: seconds for one vector, median."""
    golden = bundle.golden
    extremes = np.repeat(np.array(EXTREMES, np.float32)[:, None], len(bundle.schema), axis=1)
    try:
        score, contribution = runtime.run(golden.features)
        wild_score, wild_contribution = runtime.run(extremes)
    except Exception as error:
        raise BundleRefused(Refusal.RUNTIME, f"{type(error).__name__}: {error}") from error
    if score.shape != golden.score.shape or contribution.shape != golden.contribution.shape:
        raise BundleRefused(Refusal.INTERFACE, f"answers shapes {score.shape} and {contribution.shape}")
    if not all(np.isfinite(part).all() for part in (score, contribution, wild_score, wild_contribution)):
        raise BundleRefused(Refusal.NOT_FINITE, "answers NaN or infinity to golden or extreme vectors")
    if not np.allclose(score, golden.score, rtol=RELATIVE, atol=ABSOLUTE):
        worst = float(np.abs(score - golden.score).max())
        raise BundleRefused(Refusal.GOLDEN, f"scores differ by up to {worst:.3g} from those at its making")
    moments = [clock.monotonic()]
    for _ in range(LATENCY_RUNS):
        runtime.run(golden.features[:1])
        moments.append(clock.monotonic())
    took = median(after - before for before, after in pairwise(moments))
    if took > latency_limit:
        raise BundleRefused(Refusal.SLOW, f"{took * 1e3:.1f} ms for one vector; allowed {latency_limit * 1e3:.1f} ms")
