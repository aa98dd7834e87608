"""Captures to windows: through the daemon's own code, only good ones, balanced."""

from pathlib import Path

import numpy as np
import pytest
from tiny_recordings import START, conversation, scan, tcp, write_pcap

from netmote.capture.pcap_file import UnreadableCapture
from netmote.training.benign_captures import Selection
from netmote.training.dataset import TrafficWindows, windows_of_capture, windows_of_captures, with_lead_in
from netmote.windows.schemas import TRAFFIC


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Ninety seconds of one client."""
    write_pcap(tmp_path / "talk.pcap", conversation(np.random.default_rng(0), seconds=90.0))
    return tmp_path / "talk.pcap"


def test_a_capture_gives_windows_of_its_hosts_and_link(talk: Path) -> None:
    """Hosts of ours and the link, from the first pane on, finite, labelled as told."""
    windows = windows_of_capture(talk, capture="talk", label="x")
    assert {"host:10.0.0.2", "host:10.0.0.9", "interface:training/capture"} <= set(windows.entities.tolist())
    assert windows.values.shape == (len(windows), len(TRAFFIC))
    assert np.isfinite(windows.values).all()
    assert set(windows.captures.tolist()) == {"talk"}
    assert set(windows.labels.tolist()) == {"x"}
    assert windows.end_ns.min() <= (START + 15.0) * 1e9


def test_a_scan_shows_in_its_features(tmp_path: Path) -> None:
    """Ten ports a second for a minute: hundreds of distinct ports, no answers."""
    write_pcap(tmp_path / "scan.pcap", scan(seconds=60.0))
    windows = windows_of_capture(tmp_path / "scan.pcap", capture="scan")
    scanner = windows.values[windows.entities == "host:10.0.0.2"]
    assert scanner[:, TRAFFIC.index["uniq_dport"]].max() > 300
    assert scanner[:, TRAFFIC.index["noanswer_ratio"]].min() == 1.0


def test_captures_without_windows_say_why(talk: Path, tmp_path: Path) -> None:
    """A file that is no capture and one without packets give a reason each; the others give windows; progress is told."""
    (tmp_path / "junk.pcap").write_bytes(b"junk junk")
    write_pcap(tmp_path / "silent.pcap", [])
    seen: list[str] = []
    chosen = [Selection(name, "benign", "") for name in ("junk.pcap", "silent.pcap", "talk.pcap")]
    windows, without = windows_of_captures(chosen, root=tmp_path, on_capture=seen.append)
    assert set(windows.captures.tolist()) == {"talk.pcap"}
    assert without["junk.pcap"].startswith("unreadable")
    assert without["silent.pcap"].startswith("no good window")
    assert seen == ["junk.pcap", "silent.pcap", "talk.pcap"]
    with pytest.raises(UnreadableCapture):
        windows_of_capture(tmp_path / "junk.pcap", capture="junk")


def test_thinning_is_even_and_per_entity(talk: Path) -> None:
    """At most so many windows of each entity, first and last kept; fewer stay as they are."""
    windows = windows_of_capture(talk, capture="talk")
    thin = windows.thinned(3)
    for entity in set(windows.entities.tolist()):
        kept, all_ends = thin.end_ns[thin.entities == entity], windows.end_ns[windows.entities == entity]
        assert len(kept) == min(3, len(all_ends))
        assert (kept[0], kept[-1]) == (all_ends[0], all_ends[-1])
    assert len(windows.thinned(10**6)) == len(windows)


def test_silence_is_left_out(tmp_path: Path) -> None:
    """Two packets four minutes apart: the windows between them hold nothing and are dropped."""
    write_pcap(tmp_path / "gap.pcap", [(START + at, tcp("10.0.0.2", "10.0.0.9", 1, 2, 0x02)) for at in (0.0, 240.0)])
    windows = windows_of_capture(tmp_path / "gap.pcap", capture="gap")
    loud = windows.without_silence()
    assert 0 < len(loud) < len(windows)
    assert (loud.values[:, [TRAFFIC.index["out_pkts_ps"], TRAFFIC.index["in_pkts_ps"]]].sum(axis=1) > 0).all()


def test_nothing_joined_is_nothing() -> None:
    """No parts: empty with the right width; an empty list has no lead-in."""
    assert TrafficWindows.joined([]).values.shape == (0, len(TRAFFIC))
    assert list(with_lead_in([])) == []
