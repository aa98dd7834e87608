"""Time in which an interface was not observed is missing from its windows, whatever panes say of it."""

import pytest
from window_records import ORIGIN, SECOND, Slice, pane_batch

from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.windows.config import WindowsConfig
from netmote.windows.observation_gaps import GAP_FACTS, ObservationGaps
from netmote.windows.sliding import Windows
from netmote.windows.vector import Quality, VectorBatch

HOST, SERVER = "10.0.0.1", "203.0.113.5"


def fact(name: str, seconds: float, value: float, *, interface: str = "s1/eth0") -> FactBatch:
    time_ns = ORIGIN + round(seconds * SECOND)
    return FactBatch("capture:eth0", time_ns, time_ns, (Fact(Entity(EntityKind.INTERFACE, interface), name, time_ns, value),))


def run(*facts: FactBatch) -> dict[tuple[int, str], tuple[float, Quality]]:
    """Two minutes of one host's traffic, silent from 20 to 40 s; coverage and quality by (end, entity)."""
    batches = [pane_batch(number, [] if 4 <= number < 8 else [Slice(number * 5, HOST, SERVER)]) for number in range(24)]
    windows = Windows(WindowsConfig(), sensor="s1")
    found: list[VectorBatch] = []
    for batch in sorted([*batches, *facts], key=lambda each: (each.end_ns, isinstance(each, FactBatch))):
        windows.add(batch)
        found += [each for each in windows.advance() if each.schema.name == "traffic"]
    return {
        ((each.end_ns - ORIGIN) // SECOND, str(entity)): (float(each.coverage[row]), Quality(int(each.quality[row])))
        for each in found
        for row, entity in enumerate(each.entities)
    }


@pytest.mark.parametrize("name", GAP_FACTS)
def test_a_gap_is_missing_time_not_silence(name: str) -> None:
    """17 s without observation make the windows that overlap them partial, to the second; without the facts they look silent."""
    seen = run(fact(name, 22, 1.0), fact(name, 39, 0.0))
    for entity in (f"host:{HOST}", "interface:s1/eth0"):
        assert seen[60, entity] == (pytest.approx(43 / 60), Quality.PARTIAL)
        assert seen[90, entity] == (pytest.approx(51 / 60), Quality.GOOD)
        assert seen[100, entity] == (1.0, Quality.GOOD)
        assert run()[60, entity] == (1.0, Quality.GOOD)


def test_gaps_of_others_and_endings_without_beginnings() -> None:
    """Another interface's gap, another sensor's, and the 0 that every opening says leave the windows as they are."""
    others = (
        fact("capture_interface_gone", 22, 1.0, interface="s1/eth1"),
        fact("capture_interface_gone", 22, 1.0, interface="s2/eth0"),
    )
    assert run(*others, fact("capture_unavailable", 23, 0.0)) == run()


def test_a_gap_that_goes_on_and_two_that_overlap() -> None:
    """An interface that is not back yet is not observed until the window's end; overlapping gaps count once."""
    seen = run(fact("capture_link_down", 45, 1.0), fact("capture_interface_gone", 50, 1.0))
    assert seen[60, "interface:s1/eth0"][0] == pytest.approx(45 / 60)
    assert seen[120, "interface:s1/eth0"] == (0.0, Quality.PARTIAL)


def test_bounded() -> None:
    """However many interfaces come and go, what is remembered is bounded, and what no window needs is let go."""
    gaps = ObservationGaps()
    for number in range(10_000):
        gaps.note(f"veth{number}", "capture_interface_gone", number, is_gap=True)
        gaps.note("eth0", "capture_interface_gone", number, is_gap=number % 2 == 0)
    assert len(gaps._open) <= 257
    assert len(gaps.of("eth0", 1 << 62)) <= 257
    gaps.forget(1 << 62)
    assert gaps.of("eth0", 1 << 62) == []
    gaps.rebase()
    assert gaps.of("veth9999", 10) == [(-(1 << 63), 10)]
