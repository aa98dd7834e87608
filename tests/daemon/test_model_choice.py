"""Promotion and rollback in a running daemon: at once, without losing a window, and still so after the next start."""

import json
import shutil
from pathlib import Path

import pytest
from bundle_workshop import make_bundle
from daemon_legs import until
from running_daemon import ask, config, running

from netmote.control.client import CommandRefusedError
from netmote.daemon.config import Config
from netmote.daemon.model_choice import ModelChoice
from netmote.models.selection import Choice, read_selection
from netmote.telemetry.health import Health


def _settings(models: Path, **changes: object) -> Config:
    return config(models={"bundles": [str(models)], "allow_unsigned": True, **changes})


async def _states(state_dir: Path) -> dict[str, str]:
    snapshot = (await ask(state_dir, "status"))["snapshot"]
    return {each["version"]: each["state"] for each in snapshot["models"] if each["name"] == "sample"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Version 1.0.0 of one model; later ones come while the daemon runs."""
    make_bundle(tmp_path / "models", version="1.0.0", seed=0)
    return tmp_path / "models"


async def test_a_new_version_is_tried_promoted_and_rolled_back(tmp_path: Path, models: Path) -> None:
    """The whole life of a version: in shadow after a reload, in use when promoted, still so after a restart, back by one command."""
    state_dir, settings = tmp_path / "state", _settings(models)
    async with running(state_dir, settings, load=lambda: settings):
        assert await _states(state_dir) == {"1.0.0": "active"}
        make_bundle(models, version="1.1.0", seed=1)
        assert "analysis" in (await ask(state_dir, "reload"))["said"]
        assert await _states(state_dir) == {"1.1.0": "shadow", "1.0.0": "active"}
        assert (await ask(state_dir, "promote", name="sample"))["said"] == "sample 1.1.0 is in use"
        assert await _states(state_dir) == {"1.1.0": "active", "1.0.0": "shadow"}
    async with running(state_dir, settings, load=lambda: settings) as daemon:
        assert await _states(state_dir) == {"1.1.0": "active", "1.0.0": "shadow"}
        assert [each.version for each in daemon.analyse.analysis.detectors] == ["1.1.0"]
        assert (await ask(state_dir, "rollback", name="sample"))["said"] == "sample 1.0.0 is in use"
        assert await _states(state_dir) == {"1.1.0": "idle", "1.0.0": "active"}
    assert read_selection(state_dir / "models.json").choices["sample"] == Choice("1.0.0", None, ("1.1.0",))


async def test_a_change_keeps_what_analysis_had(tmp_path: Path, models: Path) -> None:
    """Analysis goes on from its checkpoint: the same event time and position, and nothing read twice or left out."""
    make_bundle(models, version="1.1.0", seed=1)
    async with running(tmp_path / "state", _settings(models)) as daemon:
        await until(lambda: daemon.analyse.position is not None)
        before = daemon.analyse
        await ask(tmp_path / "state", "promote", name="sample", version="1.0.0")
        assert daemon.analyse is not before
        await until(lambda: daemon.analyse.view.event_time_ns)
        assert before.position is not None
        assert daemon.analyse.position is not None
        assert daemon.analyse.position.order >= before.position.order
        assert daemon.analyse.view.event_time_ns >= before.view.event_time_ns


async def test_what_cannot_be_is_refused_in_words(tmp_path: Path, models: Path) -> None:
    """An unknown model or version, one that is damaged, and a rollback to nothing; each says why, and nothing has changed."""
    (make_bundle(models, version="0.9.0") / "model.onnx").write_bytes(b"x")
    state_dir = tmp_path / "state"
    async with running(state_dir, _settings(models)):
        for asked, said in (
            ({"command": "promote", "name": "other"}, "no model 'other'; there are: sample"),
            ({"command": "promote", "name": "sample"}, "no version in shadow"),
            ({"command": "promote", "name": "sample", "version": "3.0.0"}, "no version 3.0.0; there are: 1.0.0, 0.9.0"),
            ({"command": "promote", "name": "sample", "version": "0.9.0"}, "is refused: checksum"),
            ({"command": "promote", "name": "sample", "version": "1.0.0"}, "in use already"),
            ({"command": "rollback", "name": "sample"}, "no version to go back to"),
        ):
            with pytest.raises(CommandRefusedError, match=said):
                await ask(state_dir, **asked)
        assert (await _states(state_dir))["1.0.0"] == "active"
    assert read_selection(state_dir / "models.json").choices["sample"] == Choice("1.0.0")


async def test_a_version_that_vanished_before_its_promotion(tmp_path: Path, models: Path) -> None:
    """It was listed and is gone when it is wanted: refused, the one in use stays."""
    state_dir = tmp_path / "state"
    make_bundle(models, version="0.9.0")
    async with running(state_dir, _settings(models)):
        shutil.rmtree(models / "sample" / "0.9.0")
        with pytest.raises(CommandRefusedError, match="no longer there"):
            await ask(state_dir, "promote", name="sample", version="0.9.0")
        assert (await _states(state_dir))["1.0.0"] == "active"


async def test_a_model_that_fails_gives_way_to_the_one_before(tmp_path: Path, models: Path) -> None:
    """It begins to fail while in use: the version before is in use within seconds, without anybody's word, and it is said why."""
    state_dir = tmp_path / "state"
    make_bundle(models, version="0.9.0", seed=1)
    async with running(state_dir, _settings(models)) as daemon:
        await ask(state_dir, "promote", name="sample", version="0.9.0")
        await until(lambda: daemon.analyse.progress > 1)
        daemon.analyse.analysis.scoring._failures["sample"] = "RuntimeError: worn out"
        await until(lambda: [each.version for each in daemon.analyse.analysis.detectors] == ["1.0.0"])
        assert (await _states(state_dir))["1.0.0"] == "active"
    assert read_selection(state_dir / "models.json").choices["sample"].rejected == ("0.9.0",)


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The newest versions are in use, the log says so, and the file is kept for whoever wants to look."""
    (tmp_path / "models.json").write_text("{")
    choice = ModelChoice(tmp_path, health=Health(_Clock()))
    choice.load()
    assert choice.selection.choices == {}
    assert (tmp_path / "models.bad").read_text() == "{"
    assert "the choice of models is lost" in caplog.text


def test_a_choice_that_cannot_be_written_is_said(tmp_path: Path, models: Path) -> None:
    """Nothing stops; health carries the reason until it can be written."""
    from netmote.models.config import ModelsConfig
    from netmote.models.registry import load_detectors
    from netmote.windows.schemas import ALL

    bundles = load_detectors(ModelsConfig(bundles=(str(models),), allow_unsigned=True), schemas=ALL).bundles
    health = Health(_Clock())
    choice = ModelChoice(tmp_path / "nowhere", health=health)
    choice.note_loaded(bundles)
    assert choice.selection.choices == {"sample": Choice("1.0.0")}
    assert [reason.component for reason in health.reasons] == ["model_choice"]


def test_the_file_is_for_people_too(tmp_path: Path, models: Path) -> None:
    """JSON with the names and versions in words."""
    from netmote.models.config import ModelsConfig
    from netmote.models.registry import load_detectors
    from netmote.windows.schemas import ALL

    bundles = load_detectors(ModelsConfig(bundles=(str(models),), allow_unsigned=True), schemas=ALL).bundles
    ModelChoice(tmp_path, health=Health(_Clock())).note_loaded(bundles)
    assert json.loads((tmp_path / "models.json").read_text()) == {
        "format": 1,
        "choices": {"sample": {"active": "1.0.0", "previous": None, "rejected": []}},
    }


class _Clock:
    def now_ns(self) -> int:
        return 1
