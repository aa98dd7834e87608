"""The split: in time order, whole captures, purged borders; and the leak test fails where it should."""

import numpy as np
import pytest

from netmote.training.split import Part, Shares, by_capture, by_time, leaks

MINUTE = 60_000_000_000
HOP = 10_000_000_000
SHARES = Shares()


def test_time_parts_follow_each_other_with_gaps() -> None:
    """Train, validation, calibration, test in order; a window length between two parts is purged; shares are as asked."""
    end = np.arange(2_000, dtype=np.int64) * HOP
    parts = by_time(end, SHARES, purge_ns=MINUTE)
    kept = [part for part in parts.tolist() if part != Part.PURGED]
    order = list(dict.fromkeys(kept))
    assert order == ["train", "validation", "calibration", "test"]
    assert kept == sorted(kept, key=order.index)
    assert (parts == Part.PURGED).sum() == 3 * 6
    assert (parts == Part.TRAIN).mean() == pytest.approx(0.6, abs=0.01)
    assert list(leaks(parts, np.full(2_000, "one"), end, window_ns=MINUTE)) == []


def test_an_unpurged_split_leaks() -> None:
    """Without the gap the same windows stand on both sides: the leak test names each border."""
    end = np.arange(2_000, dtype=np.int64) * HOP
    found = list(leaks(by_time(end, SHARES, purge_ns=0), np.full(2_000, "one"), end, window_ns=MINUTE))
    assert len(found) == 3
    assert "one: train and validation overlap" in found[0]


def test_a_shuffled_split_leaks() -> None:
    """Windows drawn at random: hundreds of leaks."""
    end = np.arange(500, dtype=np.int64) * HOP
    parts = np.random.default_rng(0).choice(["train", "test"], 500)
    assert len(list(leaks(parts, np.full(500, "one"), end, window_ns=MINUTE))) > 100


def test_a_capture_has_one_part() -> None:
    """All windows of a capture share a part, by name alone: adding captures moves none."""
    names = np.array([f"capture-{index % 200}" for index in range(2_000)])
    parts = by_capture(names, SHARES)
    assert all(len(set(parts[names == name].tolist())) == 1 for name in np.unique(names))
    assert {part: (parts == part).mean() > 0.02 for part in np.unique(parts).tolist()} == dict.fromkeys(
        ["calibration", "test", "train", "validation"], True
    )
    assert by_capture(names[:50], SHARES).tolist() == parts[:50].tolist()


def test_no_windows_no_parts() -> None:
    """Empty in, empty out."""
    assert by_time(np.empty(0, np.int64), SHARES, purge_ns=MINUTE).shape == (0,)
    assert by_time(np.array([5]), SHARES, purge_ns=MINUTE).tolist() == ["train"]
