"""`netmote models`: each bundle checked as the daemon checks it."""

import json
import shutil
from pathlib import Path

import yaml
from bundle_workshop import change_manifest, make_bundle
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.config.builtin import builtin_path
from netmote.windows.schemas import TRAFFIC

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
    config.write_text(f"models: {{allow_unsigned: true, bundles: [{tmp_path / 'models'}, builtin]}}\n")
    result = runner.invoke(app, ["models", "list", "--config", str(config), "--json"])
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in result.output.splitlines()]
    assert [record["state"] for record in records] == ["refused", "active"]
    assert "checksum" in records[0]["reason"]
    assert "refused" in runner.invoke(app, ["models", "list", "--config", str(config)], env={"COLUMNS": "200"}).output


def _show(*arguments: str, width: int = 100) -> str:
    result = runner.invoke(app, ["models", "show", *arguments], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.output


def test_show_reads_on_a_terminal() -> None:
    """What it fits, how it was proven, what was measured and where it fails, within 100 columns and two screens, no line cut off."""
    manifest = json.loads(_show("traffic-autoencoder", "--json"))["manifest"]
    lines = _show("traffic-autoencoder").splitlines()
    said = "\n".join(lines)
    flowing = " ".join(said.split())
    assert max(map(len, lines)) <= 100
    assert len(lines) < 90
    assert "…" not in said
    assert f"traffic version 1, windows of 60 s every 10 s, hash {TRAFFIC.hash[:16]}" in flowing
    assert ", ".join(TRAFFIC.names) in flowing
    assert f"int8-weights: {manifest['quantisation']['reason']}" in flowing
    assert f"int8-dynamic was refused: {manifest['quantisation']['refused']['int8-dynamic']}" in flowing
    recorded = manifest["quantisation"]["recorded"]
    row = f"recorded {recorded['windows']:,} {recorded['spearman']:.4f} {recorded['alert_agreement']:.4f}"
    assert row in flowing
    for name, one in manifest["evaluation"].items():
        assert f"{name} {one['windows_attack']:,} {one['auc']:.3f} {one['auc_robust_z']:.3f} {one['auc_random']:.3f}" in flowing
    for limit in manifest["known_limits"]:
        assert limit in flowing
    assert f"{len(manifest['training']['excluded'])} captures" in flowing
    assert not set(manifest["training"]["excluded"]) & set(flowing.split())


def test_show_is_readable_on_a_narrow_terminal() -> None:
    """Within 80 columns nothing is cut off either."""
    lines = _show("traffic-autoencoder", width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "\n".join(lines)


def test_the_record_for_programs_is_whole() -> None:
    """JSON carries the status and the manifest as it stands in the bundle."""
    record = json.loads(_show("traffic-autoencoder", "--json"))
    assert set(record) == {
        "name",
        "version",
        "state",
        "reason",
        "runtime",
        "path",
        "size_bytes",
        "load_ms",
        "signed_by",
        "manifest",
    }
    assert record["manifest"] == yaml.safe_load((Path(record["path"]) / "manifest.yaml").read_text()) | {"parent": None}


def test_the_card_can_be_read() -> None:
    """`--card` shows what the maker wrote."""
    assert "Where it fails" in _show("traffic-autoencoder", "--card")


def test_a_refused_bundle_says_why_and_no_more(tmp_path: Path) -> None:
    """Nothing of what a refused bundle claims of itself is shown."""
    bundle = tmp_path / "traffic-autoencoder" / "9.0.0"
    bundle.mkdir(parents=True)
    (bundle / "manifest.yaml").write_text("name: [not a name]\n")
    (bundle / "MODEL_CARD.md").write_text("Trust me.\n")
    config = tmp_path / "c.yaml"
    config.write_text(f"models: {{allow_unsigned: true, bundles: [{tmp_path}]}}\n")
    for option in ([], ["--card"]):
        said = _show("traffic-autoencoder/9.0.0", "--config", str(config), *option)
        assert "refused" in said
        assert "missing-file: " in said
        assert "Trust me" not in said


def test_a_name_that_is_none_is_refused() -> None:
    """Exit status 1 and a reason."""
    result = runner.invoke(app, ["models", "show", "nothing"])
    assert result.exit_code == 1
    assert "no bundle 'nothing'" in result.output


def test_a_bundle_is_signed_and_verified(tmp_path: Path) -> None:
    """keygen, sign, verify: what was signed verifies with the public key; changed afterwards, or asked with another key, it does not."""
    bundle = make_bundle(tmp_path / "models")
    key, other = tmp_path / "release.key", tmp_path / "other.key"
    for path in (key, other):
        assert runner.invoke(app, ["models", "keygen", str(path)]).exit_code == 0
    verify = ["models", "verify", str(bundle), "--key", f"{key}.pub"]
    assert "unsigned" in runner.invoke(app, verify).output
    signed = runner.invoke(app, ["models", "sign", str(bundle), "--key", str(key)])
    assert signed.exit_code == 0, signed.output
    sound = runner.invoke(app, verify)
    assert (sound.exit_code, "sound, signed by key" in sound.output) == (0, True)
    stranger = runner.invoke(app, ["models", "verify", str(bundle), "--key", f"{other}.pub"])
    assert (stranger.exit_code, "untrusted-key" in stranger.output) == (1, True)
    change_manifest(bundle, ("description",), "changed")
    assert runner.invoke(app, verify).exit_code == 1


def test_a_damaged_bundle_is_not_signed(tmp_path: Path) -> None:
    """Signing checks as the daemon would: nobody vouches for a bundle that would be refused."""
    bundle = make_bundle(tmp_path / "models")
    (bundle / "model.onnx").write_bytes(b"x")
    key = tmp_path / "release.key"
    runner.invoke(app, ["models", "keygen", str(key)])
    result = runner.invoke(app, ["models", "sign", str(bundle), "--key", str(key)])
    assert (result.exit_code, "not signed: checksum" in result.output) == (1, True)
    assert not (bundle / "manifest.sig").exists()


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    """A second keygen to the same place says so and changes nothing."""
    key = tmp_path / "release.key"
    runner.invoke(app, ["models", "keygen", str(key)])
    before = key.read_bytes()
    result = runner.invoke(app, ["models", "keygen", str(key)])
    assert (result.exit_code, "exists" in result.output, key.read_bytes() == before) == (1, True, True)
