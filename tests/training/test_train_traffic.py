"""Training end to end on a tiny folder: a bundle that loads and detects, the same bytes twice, honest words."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.progress import Progress
from tiny_recordings import scan, write_pcap, write_recordings

from netmote.models.bundle import read_bundle
from netmote.models.config import ModelsConfig
from netmote.models.manifest import content_hash, read_manifest
from netmote.models.registry import load_detectors
from netmote.training import train_traffic
from netmote.training.dataset import TrafficWindows
from netmote.training.measure import auc
from netmote.training.split import Shares
from netmote.training.train_traffic import CONTENT, Corpus, gather, main, train
from netmote.windows.schemas import ALL, TRAFFIC


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The tiny folder, gathered."""
    root = write_recordings(tmp_path_factory.mktemp("recordings"))
    with Progress(disable=True) as progress:
        return gather(root, progress)


def _train(corpus: Corpus, output: Path, **settings: int):
    with Progress(disable=True) as progress:
        return train(corpus, output, progress, **{"epochs": 30, **settings})


def test_every_part_has_windows_and_every_file_a_reason(corpus: Corpus) -> None:
    """All four parts are filled, attacks are by family, what was left out says why."""
    assert {part: (corpus.parts == part).sum() > 0 for part in ("train", "validation", "calibration", "test")} == dict.fromkeys(
        ["train", "validation", "calibration", "test"], True
    )
    assert set(corpus.attacks) == {CONTENT, "DDoS (iot23 34-1)"}
    assert corpus.excluded["pcap/zeek/traces/crash.pcap"] == "crafted to crash a decoder"
    assert corpus.excluded["pcap/zeek/traces/junk.pcap"].startswith("unreadable")
    assert not set(corpus.benign.labels.tolist()) - {""}


def test_the_bundle_loads_and_ranks_a_scan_high(corpus: Corpus, tmp_path: Path) -> None:
    """Written, verified, self-tested, and a scan it never saw scores above nearly all ordinary windows."""
    manifest = _train(corpus, tmp_path)
    loaded = load_detectors(ModelsConfig(bundles=(str(tmp_path),), allow_unsigned=True), schemas=ALL)
    assert [(status.state, status.reason, status.detail) for status in loaded.bundles] == [("active", "", "")]
    bundle = read_bundle(tmp_path / manifest.name / manifest.version, schemas=ALL)
    assert bundle.graph.metadata["schema_hash"] == TRAFFIC.hash
    write_pcap(tmp_path / "scan.pcap", scan(seconds=60.0))
    from netmote.training.dataset import windows_of_capture

    scanned = windows_of_capture(tmp_path / "scan.pcap", capture="scan").without_silence()
    runtime = loaded.detectors[0].runtime
    ordinary = runtime.run(corpus.benign.values[corpus.parts == "test"].astype(np.float32))[0]
    assert auc(ordinary, runtime.run(scanned.values.astype(np.float32))[0]) > 0.95


def test_twice_gives_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    """Every file of the bundle is identical, written over an older bundle too; another seed gives another content hash."""
    first = _train(corpus, tmp_path / "a")
    _train(corpus, tmp_path / "b", seed=5)
    other = _train(corpus, tmp_path / "b", seed=6)
    second = _train(corpus, tmp_path / "b")
    for file in sorted((tmp_path / "a" / first.name / first.version).iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / first.name / first.version / file.name).read_bytes()
    assert content_hash(first) == content_hash(second) != content_hash(other)


def test_manifest_and_card_are_honest(corpus: Corpus, tmp_path: Path) -> None:
    """Counts, a random score and the robust z beside every area, limits and exclusions; the card says the same."""
    manifest = _train(corpus, tmp_path)
    directory = tmp_path / manifest.name / manifest.version
    assert read_manifest((directory / "manifest.yaml").read_bytes()) == manifest
    assert manifest.training.windows_train == int((corpus.parts == "train").sum())
    assert manifest.training.data_sha256 == corpus.sha256()
    measured = manifest.evaluation["DDoS (iot23 34-1)"]
    assert measured.auc > 0.9
    assert 0.3 < measured.auc_random < 0.7
    card = (directory / "MODEL_CARD.md").read_text()
    for words in (
        f"{measured.auc:.3f}",
        "Where it fails",
        f"{manifest.training.windows_train:,} windows",
        "random",
        *manifest.known_limits,
    ):
        assert words in card
    assert "crash.pcap" in yaml.safe_dump(manifest.training.excluded)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--data DIR --output models/` writes the bundle and prints its content hash."""
    root = write_recordings(tmp_path / "data", captures=14)
    (root / "flows" / "iot23" / "conn.log.labeled").unlink()
    main(["--data", str(root), "--output", str(tmp_path / "models"), "--seed", "3"])
    manifest = read_manifest((tmp_path / "models" / "traffic-autoencoder" / "1.0.0" / "manifest.yaml").read_bytes())
    told = capsys.readouterr().err.replace("\n", "")
    assert content_hash(manifest) in told
    assert "random" in told


def test_too_little_data_is_said(tmp_path: Path) -> None:
    """A part without windows ends the training with its name, before anything is written."""
    empty = Corpus(TrafficWindows.joined([]), np.empty(0, "U16"), {}, {})
    with pytest.raises(ValueError, match="the train part has 0 windows"):
        _train(empty, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_leaking_split_is_refused(tmp_path: Path) -> None:
    """A purge gap taken away makes gathering fail (the leak test works on purpose)."""
    root = write_recordings(tmp_path, captures=2)
    (root / "pcap" / "suricata-verify" / "alert-x" / "input.pcap").unlink()
    original = train_traffic.by_time

    def unpurged(end_ns: np.ndarray, shares: Shares, *, purge_ns: int) -> np.ndarray:
        del purge_ns
        return original(end_ns, shares, purge_ns=0)

    with pytest.MonkeyPatch.context() as patch, Progress(disable=True) as progress:
        patch.setattr(train_traffic, "by_time", unpurged)
        with pytest.raises(ValueError, match="leaks"):
            gather(root, progress)


def test_captures_alone_are_enough(tmp_path: Path) -> None:
    """Without a flow log and without attacks a model is trained all the same, with nothing to report."""
    root = write_recordings(tmp_path / "data", captures=14)
    (root / "flows" / "iot23" / "conn.log.labeled").unlink()
    (root / "pcap" / "suricata-verify" / "alert-x" / "input.pcap").unlink()
    with Progress(disable=True) as progress:
        corpus = gather(root, progress)
    assert corpus.attacks == {}
    assert _train(corpus, tmp_path / "models").evaluation == {}
