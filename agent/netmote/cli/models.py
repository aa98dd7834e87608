"""`netmote models`: the bundles, which of them is active, and why one was refused."""

from pathlib import Path
from typing import Annotated, Any

import typer

from netmote.cli.options import ConfigOption, JsonOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Show model bundles: which is active, and why one was refused."""


@app.command("list")
def list_bundles(config: ConfigOption = None, json_lines: JsonOption = False) -> None:
    """List the bundles of the configuration, each checked as the daemon would check it.

    Example: netmote models list --config config/netmote.yaml
    """
    import json

    from rich.console import Console

    from netmote.cli.model_output import print_bundles

    bundles = _load(config)
    if json_lines:
        for bundle in bundles:
            typer.echo(json.dumps(_record(bundle)))
        return
    print_bundles(Console(), bundles)


@app.command("show")
def show_bundle(
    name: Annotated[str, typer.Argument(help="Name of the bundle, or <name>/<version>.")],
    config: ConfigOption = None,
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

    found = [bundle for bundle in _load(config) if name in (bundle.name, f"{bundle.name}/{bundle.version}")]
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


def _load(config: Any) -> tuple[Any, ...]:
    from netmote.cli.state import config_of
    from netmote.models.registry import load_detectors
    from netmote.windows.schemas import ALL

    return load_detectors(config_of(config).models, schemas=ALL).bundles


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
    }
