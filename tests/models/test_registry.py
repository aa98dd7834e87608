"""Loading: the newest usable version of each name, older ones stand by, bad ones say why; nothing raises."""

from pathlib import Path

import pytest
from bundle_workshop import make_bundle
from feature_vectors import SMALL

from netmote.models.config import ModelsConfig
from netmote.models.graph_detector import GraphDetector
from netmote.models.registry import load_detectors
from netmote.windows.schemas import ALL, TRAFFIC


def _config(*directories: Path) -> ModelsConfig:
    return ModelsConfig(bundles=tuple(map(str, directories)), allow_unsigned=True)


def test_the_shipped_model_is_active() -> None:
    """The bundle in the tree fits the features of this version, passes its self-test, and is small: model 16 KB at most."""
    loaded = load_detectors(ModelsConfig(), schemas=ALL)
    assert [(status.name, status.state, status.runtime, status.reason) for status in loaded.bundles] == [
        ("traffic-autoencoder", "active", "onnxruntime", "")
    ]
    manifest = loaded.bundles[0].manifest
    assert manifest is not None
    assert manifest.files["model.onnx"].size <= 16 * 1024
    assert manifest.quantisation.kind == "int8-weights"
    assert manifest.evaluation
    assert all(0.3 < one.auc_random < 0.7 for one in manifest.evaluation.values())
    assert loaded.detectors[0].schema is TRAFFIC


def test_the_newest_version_wins(tmp_path: Path) -> None:
    """1.10.0 is newer than 1.9.0; the older stands by and is not run."""
    for version in ("1.9.0", "1.10.0"):
        make_bundle(tmp_path, version=version)
    loaded = load_detectors(_config(tmp_path), schemas=ALL)
    assert [(status.version, status.state) for status in loaded.bundles] == [("1.10.0", "active"), ("1.9.0", "standby")]
    assert len(loaded.detectors) == 1


def test_a_refused_version_gives_way_to_the_one_before(tmp_path: Path) -> None:
    """A damaged new version: the last good one is active, the new one says why not."""
    make_bundle(tmp_path, version="1.0.0")
    (make_bundle(tmp_path, version="2.0.0") / "model.onnx").write_bytes(b"x")
    loaded = load_detectors(_config(tmp_path), schemas=ALL)
    assert [(status.version, status.state, status.reason) for status in loaded.bundles] == [
        ("2.0.0", "refused", "checksum"),
        ("1.0.0", "active", ""),
    ]


def test_bundles_of_features_not_computed_here_are_refused(tmp_path: Path) -> None:
    """A model for another schema is refused by schema, a model for a user's schema loads where it is computed."""
    make_bundle(tmp_path, schema=SMALL)
    assert load_detectors(_config(tmp_path), schemas=ALL).bundles[0].reason == "schema"
    assert load_detectors(_config(tmp_path), schemas=[SMALL]).bundles[0].state == "active"


def test_a_directory_that_is_itself_a_bundle(tmp_path: Path) -> None:
    """The path of one bundle is accepted as well as that of their parent."""
    loaded = load_detectors(_config(make_bundle(tmp_path)), schemas=ALL)
    assert [status.state for status in loaded.bundles] == ["active"]


def test_the_first_directory_wins(tmp_path: Path) -> None:
    """A name found in two directories is active from the first, standby in the second."""
    first, second = (make_bundle(tmp_path / place).parent.parent for place in ("one", "two"))
    loaded = load_detectors(_config(first, second), schemas=ALL)
    assert [(status.state, status.path.startswith(str(first))) for status in loaded.bundles] == [
        ("active", True),
        ("standby", False),
    ]


def test_no_directories_no_models() -> None:
    """Empty configuration: rules only, nothing to complain about."""
    loaded = load_detectors(ModelsConfig(bundles=()), schemas=ALL)
    assert (loaded.detectors, loaded.bundles) == ((), ())


def test_a_directory_without_bundles_is_said(tmp_path: Path) -> None:
    """A configured place that does not exist, or holds nothing, is a refusal and not silence."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray.txt").write_text("")
    loaded = load_detectors(_config(tmp_path / "nothing", tmp_path / "empty"), schemas=ALL)
    assert [status.reason for status in loaded.bundles] == ["missing-file", "missing-file"]


def test_hidden_and_stray_entries_are_no_bundles(tmp_path: Path) -> None:
    """Files beside the bundles, hidden directories and odd version names: only real bundles count, odd ones say why."""
    make_bundle(tmp_path)
    (tmp_path / ".tmp").mkdir()
    (tmp_path / "README").write_text("")
    (tmp_path / "sample" / "current").mkdir()
    loaded = load_detectors(_config(tmp_path), schemas=ALL)
    assert [(status.version, status.state) for status in loaded.bundles] == [("1.0.0", "active"), ("current", "refused")]


@pytest.mark.parametrize("runtime", ["onnxruntime", "numpy"])
def test_the_runtime_can_be_chosen(tmp_path: Path, runtime: str) -> None:
    """Either runtime by name; the status says which."""
    make_bundle(tmp_path)
    loaded = load_detectors(_config(tmp_path), schemas=ALL, runtime=runtime)
    assert loaded.bundles[0].runtime == runtime
    (detector,) = loaded.detectors
    assert isinstance(detector, GraphDetector)
    assert detector.runtime.kind == runtime


def test_without_onnxruntime_numpy_takes_over(tmp_path: Path) -> None:
    """In an interpreter where onnxruntime cannot be imported, `auto` loads with numpy and `onnxruntime` says why it cannot."""
    import subprocess
    import sys

    make_bundle(tmp_path)
    code = f"""
import sys
sys.modules["onnxruntime"] = None
from netmote.models.config import ModelsConfig
from netmote.models.registry import load_detectors
from netmote.windows.schemas import ALL
for runtime in ("auto", "onnxruntime"):
    (status,) = load_detectors(ModelsConfig(bundles=({str(tmp_path)!r},), allow_unsigned=True), schemas=ALL, runtime=runtime).bundles
    print(status.state, status.runtime, status.reason)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["active numpy ", "refused  runtime"]


def test_configuration_chooses_the_runtime() -> None:
    """A small box may run the models with numpy; status then says so."""
    loaded = load_detectors(ModelsConfig(runtime="numpy"), schemas=ALL)
    assert {status.runtime for status in loaded.bundles if status.state == "active"} == {"numpy"}
