"""The geometry of the bars."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from netmote.scoring.finding import Contributor
from netmote.web.chart import WIDTH, bullets, fill, shares


def test_a_row_is_scaled_to_its_largest_number() -> None:
    """Value, usual and limit share one scale; the largest fills the width."""
    (bullet,) = bullets([Contributor("syn_ps", "1/s", 50.0, baseline=10.0, sigma=8.0, threshold=200.0)])
    assert (bullet.bar, bullet.band, bullet.tick) == (250.0, 50.0, 1000.0)
    assert (bullet.value, bullet.baseline, bullet.threshold) == ("50 /s", "10 /s", "200 /s")


def test_direction_and_what_is_unknown() -> None:
    """Below usual is said as such; without a baseline there is neither band nor claim."""
    below, unknown, zero = bullets(
        [
            Contributor("a", "1", 1.0, baseline=5.0, sigma=-4.0),
            Contributor("b", "1", 1.0),
            Contributor("c", "1", 0.0, baseline=0.0),
        ]
    )
    assert below.deviation == "4 \N{GREEK SMALL LETTER SIGMA} below usual"
    assert (unknown.deviation, unknown.band, unknown.tick) == ("", None, None)
    assert (zero.bar, zero.band) == (0.0, 0.0)


@example(1.797693134862316e305, None, None, None)
@given(st.floats(), st.none() | st.floats(), st.none() | st.floats(), st.none() | st.floats())
def test_any_number_stays_within_the_drawing(
    value: float, baseline: float | None, sigma: float | None, threshold: float | None
) -> None:
    """Infinite, negative and not-a-number included."""
    (bullet,) = bullets([Contributor("x", "By/s", value, baseline, sigma, threshold)])
    for length in (bullet.bar, bullet.band, bullet.tick):
        assert length is None or (math.isfinite(length) and 0 <= length <= WIDTH)


def test_shares_and_fill() -> None:
    """Counts against the largest, parts against the whole, never beyond the width."""
    assert shares([4, 2, 0]) == (1000.0, 500.0, 0.0)
    assert shares([]) == ()
    assert shares([0]) == (0.0,)
    assert fill(5e8, 1e9) == 500.0
    assert fill(3e9, 1e9) == 1000.0
    assert fill(None, 1e9) is None
    assert fill(1.0, 0.0) is None
