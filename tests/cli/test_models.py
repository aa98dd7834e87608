"""`netmote models`: each bundle checked as the daemon checks it."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.config.builtin import builtin_path

runner = CliRunner()


def test_list_names_active_and_refused(tmp_path: Path) -> None:
    """The shipped bundle is active; a copy with a flipped byte is refused with its reason."""
    shipped = next(path for path in builtin_path("models").glob("*/*") if (path / "model.onnx").is_file())
    broken = tmp_path / "models" / shipped.parent.name / shipped.name
    shutil.copytree(shipped, broken)
    model = bytearray((broken / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (broken / "model.onnx").write_bytes(model)
    config = tmp_path / "c.yaml"
    config.write_text(f"models: {{bundles: [{tmp_path / 'models'}, builtin]}}\n")
    result = runner.invoke(app, ["models", "list", "--config", str(config), "--json"])
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in result.output.splitlines()]
    assert [record["state"] for record in records] == ["refused", "active"]
    assert "checksum" in records[0]["reason"]
    assert "refused" in runner.invoke(app, ["models", "list", "--config", str(config)], env={"COLUMNS": "200"}).output


def test_show_prints_manifest_and_card() -> None:
    """What it was trained on and where it fails can be read; an unknown name is refused."""
    result = runner.invoke(app, ["models", "show", "traffic-autoencoder"])
    assert result.exit_code == 0
    assert "feature_schema" in result.output
    manifest = json.loads(runner.invoke(app, ["models", "show", "traffic-autoencoder", "--json"]).output)["manifest"]
    assert manifest["name"] == "traffic-autoencoder"
    assert runner.invoke(app, ["models", "show", "nothing"]).exit_code == 1
