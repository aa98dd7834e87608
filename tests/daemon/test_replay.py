"""A capture through the pipeline in event time: totals that add up, and the same again every time."""

from pathlib import Path

import pytest

from netmote.analysis.analysis import Analysis
from netmote.analysis.assembly import assemble
from netmote.analysis.outcome import Outcome
from netmote.daemon.config import Config
from netmote.daemon.replay import MAX_INTERFACES, flow_batches, replay_capture
from netmote.errors import NetmoteError

pytestmark = pytest.mark.realdata


CONFIG = Config.model_validate({"sensor": "s1", "metering": {"max_flows": 4096}})


def captures(data: Path) -> list[Path]:
    found = sorted((data / "pcap").rglob("*.pcap*"), key=lambda path: path.stat().st_size)
    return [path for path in found if path.stat().st_size < 3_000_000][:12]


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return assemble(CONFIG, sensor="s1").analysis


def replayed(capture: Path, analysis: Analysis) -> tuple[dict, list[str], list[str]]:
    outcomes: list[Outcome] = []
    packets: list[int] = []
    summary = replay_capture(
        capture,
        CONFIG,
        analysis,
        interface="eth0",
        outcome=outcomes.append,
        advanced=packets.append,
    )
    assert sum(packets) == summary.packets
    whole = Outcome.joined(outcomes)
    assert len(whole.alerts) == summary.alerts
    return summary.as_dict(), [window.hash for window in whole.vectors], [alert.event_id for alert in whole.alerts]


def test_totals_add_up_and_a_second_run_is_the_same(data: Path, analysis: Analysis) -> None:
    """Every packet is metered, refused or not decodable for a reason; two runs agree to the last bit and the last id."""
    seen = 0
    for capture in captures(data):
        summary, hashes, ids = replayed(capture, analysis)
        assert summary["packets"] == summary["metered"] + summary["refused"] + sum(summary["undecodable"].values()), capture
        assert replayed(capture, analysis) == (summary, hashes, ids), capture
        seen += summary["packets"]
    assert seen > 0


@pytest.mark.timeout(600)  # a hundred seconds of computing, and twice that under coverage
def test_every_recording_ends_without_a_traceback(data: Path, analysis: Analysis) -> None:
    """All captures, malformed ones included, go through the whole pipeline, and every packet of them is accounted for."""
    files = sorted(path for path in (data / "pcap").rglob("*") if path.suffix in (".pcap", ".pcapng", ".cap", ".trace"))
    assert len(files) > 1_000
    packets = 0
    for capture in files:
        summary, _, _ = replayed(capture, analysis)
        assert summary["packets"] == summary["metered"] + summary["refused"] + sum(summary["undecodable"].values()), capture
        packets += summary["packets"]
    assert packets > 30_000


def test_what_is_no_capture_is_said(tmp_path: Path) -> None:
    """A file of anything else raises one of ours, naming it."""
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"not a capture at all")
    with pytest.raises(NetmoteError, match=r"bad\.pcap"):
        list(flow_batches(bad, Config(), interface="eth0"))
    assert MAX_INTERFACES == 64
