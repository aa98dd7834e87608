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
    from rich.table import Table

    bundles = _load(config)
    if json_lines:
        for bundle in bundles:
            typer.echo(json.dumps(_record(bundle)))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("name", "version", "state", "runtime", "bytes", "load ms", "reason"):
        table.add_column(heading)
    for bundle in bundles:
        record = _record(bundle)
        table.add_row(*(str(record[key]) for key in ("name", "version", "state", "runtime", "size_bytes", "load_ms", "reason")))
    Console().print(table)


@app.command("show")
def show_bundle(
    name: Annotated[str, typer.Argument(help="Name of the bundle, or <name>/<version>.")],
    config: ConfigOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Show the manifest and the card of one bundle.

    Example: netmote models show traffic-autoencoder
    """
    import json

    import yaml
    from rich.console import Console
    from rich.markdown import Markdown

    found = [bundle for bundle in _load(config) if name in (bundle.name, f"{bundle.name}/{bundle.version}")]
    if not found:
        typer.echo(f"no bundle {name!r} in the configured directories", err=True)
        raise typer.Exit(1)
    for bundle in found:
        manifest = bundle.manifest.model_dump(mode="json", by_alias=True) if bundle.manifest else {}
        if json_lines:
            typer.echo(json.dumps({**_record(bundle), "manifest": manifest}, default=str))
            continue
        console = Console()
        console.print(f"[bold]{bundle.name}[/] {bundle.version}  {bundle.state}  {bundle.reason or ''}")
        console.print(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True), markup=False)
        card = Path(bundle.path) / "MODEL_CARD.md"
        if card.is_file():
            console.print(Markdown(card.read_text()))


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
        "reason": f"{bundle.reason}: {bundle.detail}" if bundle.detail else bundle.reason,
        "runtime": bundle.runtime,
        "path": bundle.path,
        "size_bytes": bundle.size,
        "load_ms": round(bundle.load_ms, 1),
    }
