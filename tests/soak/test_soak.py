"""A short soak: nothing is unaccounted for and nothing grows, with every part of the daemon at work at once."""

import os
import sys
from pathlib import Path

import pytest
from frames_in_memory import decode_frames

sys.path.insert(0, str(Path(__file__).parent))
from soak_load import PROFILES, is_possible, scan_frames
from soak_run import rows, soak
from soak_watch import growth, value

SECONDS = float(os.environ.get("SOAK_TEST_SECONDS", "40"))


@pytest.mark.root
@pytest.mark.timeout(300)
def test_short_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At 20,000 packets and 500 new flows a second, 50 polled switches, scans and a collector that comes and goes."""
    reason = is_possible()
    if reason:
        pytest.skip(reason)
    outcome = soak(PROFILES["standard"], SECONDS, tmp_path)
    with capsys.disabled():
        print()
        for row in rows(outcome):
            print(f"  {row.what}: {row.figure:,.1f} {row.unit} {row.beside}")
        print("  " + ("; ".join(outcome.shortfalls) or "nothing lost"))
    assert outcome.complaints == []
    assert outcome.books.received > outcome.sent / 2  # others run beside it, but not that many
    assert outcome.outages >= 1
    assert len(outcome.samples) >= 6


def test_growth() -> None:
    """What comes after the warm-up counts: a jump at the start is none, a slope is told by the hour, noise around a level is near zero."""
    settled = growth([(float(at), 10.0 if at < 100 else 50.0) for at in range(400)])
    assert (settled.first, settled.last, settled.per_hour) == (50.0, 50.0, 0.0)
    rising = growth([(float(at), 2.0 * at) for at in range(300)])
    assert rising.per_hour == pytest.approx(7200.0)
    assert rising.last > rising.first
    noisy = growth([(float(at), 50.0 + at % 2) for at in range(300)])
    assert abs(noisy.per_hour) < 1.0
    with pytest.raises(ValueError, match="few"):
        growth([(0.0, 1.0)])


def test_value() -> None:
    """Series of one metric are added up; another whose name begins alike is not."""
    text = 'netmote_a{x="1",y="2"} 3.0\nnetmote_a{x="2",y="2"} 4.0\nnetmote_a_total 9.0\n# HELP netmote_a a\nnetmote_b 5.0\n'
    assert value(text, "netmote_a") == 7.0
    assert value(text, "netmote_a", 'x="1"', 'y="2"') == 3.0
    assert value(text, "netmote_b") == 5.0


def test_scan_frames_are_what_the_decoder_reads() -> None:
    """A SYN of one source to as many ports as wanted."""
    columns = decode_frames(list(scan_frames("10.200.0.7", ports=5)))
    assert columns.tcp_control_bits.tolist() == [0x02] * 5
    assert len(set(columns.destination_word.tolist())) == 5
    assert len(set(columns.source_word.tolist())) == 1
