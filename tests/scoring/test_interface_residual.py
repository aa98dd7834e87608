"""The residual detector: silent on a steady port, loud at the fault, whatever counters the device lacks."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from feature_vectors import hosts, vectors

from netmote.scoring.interface_residual import InterfaceResidual
from netmote.scoring.state_bytes import pack
from netmote.training.measure import auc
from netmote.windows.schemas import INTERFACE, TRAFFIC

WIDTH = len(INTERFACE)


def _steady(random: np.random.Generator, rows: int = 1) -> np.ndarray:
    rates = np.full((rows, WIDTH), 1000.0)
    rates[:, 5:9] = 0.0
    return rates * random.lognormal(0.0, 0.1, (rows, WIDTH))


def _run(detector: InterfaceResidual, windows: int, seed: int = 0, rows: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array([detector.score(vectors(_steady(random, rows), schema=INTERFACE, step=step))[0] for step in range(windows)])


def test_a_fault_stands_out() -> None:
    """When a port stops, its score is several times the greatest of the steady course; the contributions add up to it."""
    detector = InterfaceResidual(INTERFACE)
    steady = _run(detector, 100)
    score, contribution = detector.score(vectors(np.zeros((1, WIDTH)), schema=INTERFACE, step=100))
    assert score[0] > 2.0 * steady[20:].max()
    assert contribution.sum() == pytest.approx(score[0])
    assert contribution[0, 5:9].max() < contribution[0, :4].min()


def test_nothing_is_known_at_first() -> None:
    """The first windows score 0: there is no course yet."""
    assert _run(InterfaceResidual(INTERFACE), 6).tolist() == [[0.0]] * 6


def test_absent_counters_are_left_out() -> None:
    """A device without half of the counters scores by the other half; the zeros under them say nothing."""
    detector, random = InterfaceResidual(INTERFACE), np.random.default_rng(0)
    present = np.arange(WIDTH)[None, :] < 4
    for step in range(60):
        detector.score(vectors(np.where(present, _steady(random), 0.0), schema=INTERFACE, step=step, present=present))
    score, contribution = detector.score(vectors(np.zeros((1, WIDTH)), schema=INTERFACE, present=present))
    assert score[0] > 1.0
    assert not contribution[0, 4:].any()


def test_bad_windows_do_not_train() -> None:
    """A window that is not good is scored and forgotten."""
    detector = InterfaceResidual(INTERFACE)
    _run(detector, 50)
    before = detector.state()
    detector.score(vectors(np.zeros((1, WIDTH)), schema=INTERFACE, quality=[1]))
    assert detector.state() == before


def test_ports_beyond_the_bound_have_no_score() -> None:
    """Surplus ports score 0 and cost nothing."""
    detector = InterfaceResidual(INTERFACE, max_entities=2)
    assert _run(detector, 20, rows=3)[-1, 2] == 0.0


def test_restored_state_goes_on_alike() -> None:
    """Bit-identical scores after state -> restore."""
    detector, restored = InterfaceResidual(INTERFACE), InterfaceResidual(INTERFACE)
    _run(detector, 40, rows=3)
    restored.restore(detector.state())
    for step in range(10):
        window = vectors(_steady(np.random.default_rng(step), 4), schema=INTERFACE)
        assert np.array_equal(detector.score(window)[1], restored.score(window)[1])


@pytest.mark.parametrize(
    "blob",
    [
        b"junk",
        InterfaceResidual(TRAFFIC).state(),
        pack({"schema": INTERFACE.hash, "entities": [str(hosts(1)[0])]}, {"mean": np.zeros((2, WIDTH))}),
    ],
)
def test_foreign_state_is_refused(blob: bytes) -> None:
    """Damaged bytes and another schema's state are errors."""
    with pytest.raises(ValueError):
        InterfaceResidual(INTERFACE).restore(blob)


@pytest.mark.realdata
def test_real_router_faults_are_ranked_high(data: Path) -> None:
    """Port shutdowns and broken BFD on a real Cisco router (3 h, 24 ports): ranking by the worst port has AUC >= 0.9, random 0.5."""
    folder = data / "counters" / "cisco" / "ds11_leaf7_ifshut_bfd"
    by_port: dict[str, list[list[float]]] = {}
    with gzip.open(folder / "leaf7.csv.gz", "rt") as file:
        reader = csv.DictReader(file)
        columns = [name for name in reader.fieldnames or () if name not in ("t", "ifname")]
        for row in reader:
            by_port.setdefault(row["ifname"], []).append([float(row["t"]), *(float(row[name] or 0) for name in columns)])
    ports = {name: np.unique(np.array(rows), axis=0) for name, rows in by_port.items() if len(rows) >= 20}
    first, last = (
        bound(rows[:, 0]) for bound, rows in ((np.min, next(iter(ports.values()))), (np.max, next(iter(ports.values()))))
    )
    moments = np.arange(np.ceil(first) + 15.0, last, 10.0)
    rates = np.stack(
        [
            np.stack(
                [np.maximum(np.diff(np.interp(moments, rows[:, 0], rows[:, 1 + c])) / 10.0, 0.0) for c in range(len(columns))], 1
            )
            for rows in ports.values()
        ],
        axis=1,
    )
    rates = rates[:, rates.sum(axis=(0, 2)) > 0, :WIDTH]
    detector = InterfaceResidual(INTERFACE)
    padded = np.zeros((*rates.shape[:2], WIDTH))
    padded[:, :, : rates.shape[2]] = rates
    present = np.zeros(padded.shape[1:], bool)
    present[:, : rates.shape[2]] = True
    course = np.array([detector.score(vectors(step, schema=INTERFACE, present=present))[0].max() for step in padded])
    with (folder / "events.csv").open() as file:
        events = [
            float(row["timestamp"])
            for row in csv.DictReader(file)
            if not any(word in (row.get("event") or "") for word in ("telemetry", "apply_device", "traffic", "collect"))
        ]
    times = moments[1:]
    is_fault = np.any([(times >= event) & (times < event + 60.0) for event in events], axis=0)
    assert is_fault[60:].sum() > 20
    assert auc(course[60:][~is_fault[60:]], course[60:][is_fault[60:]]) >= 0.9
