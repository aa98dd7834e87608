"""`netmote models`: the bundles, which of them is active, why one was refused, who vouches for them, and the change from one to another."""

from pathlib import Path
from typing import Annotated, Any

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Show, sign, compare and exchange model bundles: which is active, and why one was refused."""


@app.command("list")
def list_bundles(config: ConfigOption = None, state_dir: StateDirOption = None, json_lines: JsonOption = False) -> None:
    """List the bundles of the configuration, each checked as the daemon would check it. `netmote status` shows those of a running daemon.

    Example: netmote models list --config config/netmote.yaml
    """
    import json

    from rich.console import Console

    from netmote.cli.model_output import print_bundles

    bundles = _load(config, state_dir)
    if json_lines:
        for bundle in bundles:
            typer.echo(json.dumps(_record(bundle)))
        return
    print_bundles(Console(), bundles)


@app.command("show")
def show_bundle(
    name: Annotated[str, typer.Argument(help="Name of the bundle, or <name>/<version>.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_lines: JsonOption = False,
    card: Annotated[bool, typer.Option("--card", help="Show the model card as its maker wrote it.")] = False,
) -> None:
    """Show what a bundle fits, how its quantisation was proven, what was measured and where it fails.

    Example: netmote models show traffic-autoencoder
    """
    import json

    from rich.console import Console
    from rich.markdown import Markdown

    from netmote.cli.model_output import print_bundle
    from netmote.models.manifest import CARD_FILE

    found = [bundle for bundle in _load(config, state_dir) if name in (bundle.name, f"{bundle.name}/{bundle.version}")]
    if not found:
        typer.echo(f"no bundle {name!r} in the configured directories", err=True)
        raise typer.Exit(1)
    console = Console()
    for number, bundle in enumerate(found):
        if json_lines:
            manifest = bundle.manifest.model_dump(mode="json", by_alias=True) if bundle.manifest else {}
            typer.echo(json.dumps({**_record(bundle), "manifest": manifest}, default=str))
            continue
        if number:
            console.print()
        written = Path(bundle.path) / CARD_FILE
        # Of a refused bundle nothing is believed, so its card is not shown either.
        if card and bundle.manifest is not None and written.is_file():
            console.print(Markdown(written.read_text()))
        else:
            print_bundle(console, bundle)


@app.command("keygen")
def generate_signing_key(
    path: Annotated[Path, typer.Argument(help="Where the private key goes; the public one goes beside it, with .pub behind.")],
) -> None:
    """Make a key that signs bundles. The private half stays with you; sensors are told the public one (`models.trusted_keys`).

    Example: netmote models keygen release.key
    """
    from netmote.models.signature import generate_key, public_path

    try:
        name = generate_key(path)
    except OSError as error:
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"key {name}: {path} is private, {public_path(path)} is for sensors")


@app.command("sign")
def sign_bundle(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle: <name>/<version>.")],
    key: Annotated[Path, typer.Option("--key", help="Private key of Ed25519 in PEM, as keygen makes it.")],
) -> None:
    """Check a bundle as the daemon would, and vouch for it.

    Example: netmote models sign models/traffic-autoencoder/1.1.0 --key release.key
    """
    from netmote.models.bundle import read_bundle
    from netmote.models.manifest import MANIFEST_FILE
    from netmote.models.refusal import BundleRefused
    from netmote.models.signature import SIGNATURE_FILE, KeyUnusable, key_id, read_private_key, sign_manifest
    from netmote.windows.schemas import ALL

    try:
        private = read_private_key(key)
        read_bundle(bundle, schemas=ALL)
        document = sign_manifest((bundle / MANIFEST_FILE).read_bytes(), private)
        (bundle / SIGNATURE_FILE).write_bytes(document)
    except (BundleRefused, KeyUnusable, OSError) as error:
        typer.echo(f"{bundle}: not signed: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{bundle}: signed by key {key_id(private.public_key())}")


@app.command("verify")
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle: <name>/<version>.")],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="Public key, or a directory of *.pub; may be repeated. Unset: models.trusted_keys."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Check that a trusted key vouches for a bundle and that nothing in it has changed since. Exit status 1 when not.

    Example: netmote models verify models/traffic-autoencoder/1.1.0 --key release.key.pub
    """
    from netmote.cli.state import config_of
    from netmote.models.bundle import read_bundle
    from netmote.models.refusal import BundleRefused
    from netmote.models.signature import KeyUnusable, read_trusted_keys
    from netmote.windows.schemas import ALL

    places = key or config_of(config).models.trusted_keys
    try:
        found = read_bundle(bundle, schemas=ALL, trusted=read_trusted_keys(places))
    except (BundleRefused, KeyUnusable) as error:
        typer.echo(f"{bundle}: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{bundle}: sound, signed by key {found.signed_by}, content {found.content_hash}")


@app.command("diff")
def compare_bundles(
    one: Annotated[Path, typer.Argument(help="Directory of a bundle: <name>/<version>.")],
    other: Annotated[Path, typer.Argument(help="Directory of another.")],
) -> None:
    """Show in what two bundles differ: features, quantisation, calibration, training and measurements. Exit status 1 when they do.

    Example: netmote models diff models/traffic-autoencoder/1.0.0 models/traffic-autoencoder/1.1.0
    """
    from rich.console import Console

    from netmote.cli.model_output import print_differences
    from netmote.models.bundle import read_bundle
    from netmote.models.refusal import BundleRefused
    from netmote.windows.schemas import ALL

    manifests = []
    for place in (one, other):
        try:
            manifests.append(read_bundle(place, schemas=ALL).manifest)
        except BundleRefused as refusal:
            typer.echo(f"{place}: {refusal}", err=True)
            raise typer.Exit(2) from refusal
    if print_differences(Console(), manifests[0], manifests[1]):
        raise typer.Exit(1)


@app.command("promote")
def promote_version(
    name: Annotated[str, typer.Argument(help="Name of the model, or <name>/<version>. Without a version: the one in shadow.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Put another version of a model into use; the one before goes on in shadow, ready for `rollback`.

    Example: netmote models promote traffic-autoencoder/1.1.0
    """
    name, _, version = name.partition("/")
    _command(config, state_dir, "promote", name=name, version=version or None)


@app.command("rollback")
def roll_back_version(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Put the version before into use again; the one given up is not tried again by itself.

    Example: netmote models rollback traffic-autoencoder
    """
    _command(config, state_dir, "rollback", name=name)


def _command(config: Path | None, state_dir: Path | None, command: str, **arguments: Any) -> None:
    from netmote.cli.state import state_dir_of
    from netmote.control.client import CommandRefusedError, NotRunningError, request

    try:
        # Bundles are verified and analysis is begun anew meanwhile.
        typer.echo(request(state_dir_of(config, state_dir), command, timeout=60.0, **arguments)["said"])
    except (CommandRefusedError, NotRunningError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _load(config: Path | None, state_dir: Path | None) -> tuple[Any, ...]:
    from netmote.cli.state import config_of, state_dir_of
    from netmote.models.registry import load_detectors
    from netmote.models.selection import FILE_NAME, SelectionUnreadable, read_selection
    from netmote.windows.schemas import ALL

    try:
        selection = read_selection(state_dir_of(config, state_dir) / FILE_NAME)
    except SelectionUnreadable as error:
        typer.echo(f"{error}; shown as if nothing had been chosen", err=True)
        selection = None
    return load_detectors(config_of(config).models, schemas=ALL, selection=selection).bundles


def _record(bundle: Any) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "version": bundle.version,
        "state": bundle.state,
        "reason": bundle.why,
        "runtime": bundle.runtime,
        "path": bundle.path,
        "size_bytes": bundle.size,
        "load_ms": round(bundle.load_ms, 1),
        "signed_by": bundle.signed_by,
    }
