"""Which version is in use: a value that is changed step by step, and a file that is whole whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundle_workshop import make_bundle

from netmote.models.config import ModelsConfig
from netmote.models.registry import Loaded, load_detectors
from netmote.models.selection import Choice, Selection, SelectionUnreadable, read_selection, write_selection
from netmote.windows.schemas import ALL


def _load(root: Path, selection: Selection | None) -> Loaded:
    return load_detectors(ModelsConfig(bundles=(str(root),), allow_unsigned=True), schemas=ALL, selection=selection)


def _states(loaded: Loaded) -> dict[str, str]:
    return {status.version: status.state for status in loaded.bundles}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Versions 1.0.0, 1.1.0 and 2.0.0 of one model."""
    for seed, version in enumerate(("1.0.0", "1.1.0", "2.0.0")):
        make_bundle(tmp_path / "models", version=version, seed=seed)
    return tmp_path / "models"


def test_promotion_and_rollback_are_each_others_inverse() -> None:
    """What was in use comes back, nothing lies before it then, and what was given up is remembered."""
    first = Selection().settled("m", "1.0.0")
    second = first.promoted("m", "1.1.0")
    assert second.choices["m"] == Choice("1.1.0", "1.0.0")
    back = second.rolled_back("m")
    assert back.choices["m"] == Choice("1.0.0", None, ("1.1.0",))
    assert first.choices["m"] == Choice("1.0.0")
    with pytest.raises(ValueError, match="no version to go back to"):
        back.rolled_back("m")
    with pytest.raises(ValueError, match="in use already"):
        back.promoted("m", "1.0.0")
    # Promoted by hand, a rejected version is one like any other again.
    assert back.promoted("m", "1.1.0").choices["m"] == Choice("1.1.0", "1.0.0")


def test_what_is_rejected_is_bounded() -> None:
    """The oldest gives way."""
    selection = Selection().settled("m", "0.0.0")
    for number in range(1, 100):
        selection = selection.promoted("m", f"{number}.0.0").rolled_back("m")
    assert len(selection.choices["m"].rejected) == 32
    assert selection.choices["m"].rejected[-1] == "99.0.0"


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Every field; and no file is no choice."""
    path = tmp_path / "models.json"
    assert read_selection(path) == Selection()
    selection = (
        Selection().settled("a", "1.0.0").promoted("a", "2.0.0").rolled_back("a").promoted("a", "3.0.0").settled("b", "1.0.0")
    )
    write_selection(path, selection)
    assert read_selection(path) == selection


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 9}', b'{"format": 1}', b'{"format": 1, "choices": {"m": {}}}']
)
def test_damage_is_named(tmp_path: Path, content: bytes) -> None:
    """Whatever stands there, the file is named and nothing else is raised."""
    path = tmp_path / "models.json"
    path.write_bytes(content)
    with pytest.raises(SelectionUnreadable, match=r"models\.json"):
        read_selection(path)


def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """A process that writes without end is killed ten times: what stands there reads, and never goes back."""
    path = tmp_path / "models.json"
    script = (
        "import sys, itertools; from pathlib import Path; from netmote.models.selection import *\n"
        "path = Path(sys.argv[1]); start = int(sys.argv[2])\n"
        "for n in itertools.count(start): write_selection(path, Selection({'m': Choice(str(n), str(n - 1))}))"
    )
    reached = 0
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", script, str(path), str(reached)])
        while not path.exists() or int(read_selection(path).choices["m"].active) < reached + 3:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = int(read_selection(path).choices["m"].active)
        assert now > reached
        reached = now


def test_without_a_selection_the_newest_is_in_use_and_none_in_shadow(three: Path) -> None:
    """Replay and training try nothing."""
    assert _states(_load(three, None)) == {"2.0.0": "active", "1.1.0": "standby", "1.0.0": "standby"}


def test_at_first_the_newest_is_in_use(three: Path) -> None:
    """Nothing chosen yet: there is nothing newer to try."""
    loaded = _load(three, Selection())
    assert _states(loaded) == {"2.0.0": "active", "1.1.0": "standby", "1.0.0": "standby"}
    assert loaded.shadows == ()


def test_a_newer_version_is_tried_in_shadow(three: Path) -> None:
    """What was chosen stays in use, the newest is tried, and it is another detector of the same name."""
    loaded = _load(three, Selection().settled("sample", "1.0.0"))
    assert _states(loaded) == {"2.0.0": "shadow", "1.1.0": "standby", "1.0.0": "active"}
    assert [(each.name, each.version) for each in (*loaded.detectors, *loaded.shadows)] == [
        ("sample", "1.0.0"),
        ("sample", "2.0.0"),
    ]


def test_what_was_replaced_goes_on_in_shadow(three: Path) -> None:
    """After a promotion the version before is ready for a rollback; after the rollback the rejected one is not tried again."""
    promoted = Selection().settled("sample", "1.0.0").promoted("sample", "2.0.0")
    assert _states(_load(three, promoted)) == {"2.0.0": "active", "1.1.0": "standby", "1.0.0": "shadow"}
    back = promoted.rolled_back("sample")
    assert _states(_load(three, back)) == {"2.0.0": "standby", "1.1.0": "shadow", "1.0.0": "active"}


def test_a_chosen_version_that_is_damaged_gives_way_to_the_one_before(three: Path) -> None:
    """Refused with its reason; what it replaced is in use, before any newer one that was never chosen."""
    (three / "sample" / "1.1.0" / "model.onnx").write_bytes(b"x")
    loaded = _load(three, Selection().settled("sample", "1.0.0").promoted("sample", "1.1.0"))
    assert _states(loaded) == {"2.0.0": "shadow", "1.1.0": "refused", "1.0.0": "active"}


def test_a_damaged_newer_version_is_not_tried(three: Path) -> None:
    """Refused, and the next newer one is tried instead."""
    (three / "sample" / "2.0.0" / "model.onnx").write_bytes(b"x")
    loaded = _load(three, Selection().settled("sample", "1.0.0"))
    assert _states(loaded) == {"2.0.0": "refused", "1.1.0": "shadow", "1.0.0": "active"}
