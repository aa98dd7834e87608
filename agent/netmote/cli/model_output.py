"""How a model bundle reads in a terminal: what it fits, how it was proven, where it fails."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netmote.cli.format import size
from netmote.models.manifest import Agreement, Evaluation, Manifest, TrainingDescription
from netmote.models.registry import BundleStatus

_STYLES = {"active": "green", "shadow": "yellow", "standby": "dim", "refused": "red"}
# Digits of a hash that tell two apart.
_HASH_DIGITS = 16
# Reasons for which captures were left out: the most frequent ones.
_REASONS = 5


def print_bundles(console: Console, bundles: Iterable[BundleStatus]) -> None:
    """The list: a line each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in (
        ("name", "left"),
        ("version", "left"),
        ("state", "left"),
        ("runtime", "left"),
        ("size", "right"),
        ("load", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # a Literal in rich
    table.add_column("reason")
    for bundle in bundles:
        load = f"{bundle.load_ms:.0f} ms"
        known_size = size(bundle.size) if bundle.size else ""
        table.add_row(bundle.name, bundle.version, _state(bundle), bundle.runtime, known_size, load, Text(bundle.why))
    console.print(table)


def print_bundle(console: Console, bundle: BundleStatus) -> None:
    """One bundle, from its manifest; of a refused one only why."""
    console.print(Text.assemble((bundle.name, "bold"), f" {bundle.version}  ", _state(bundle)))
    facts: list[tuple[str, str]] = []
    if bundle.reason:
        facts.append(("refused", bundle.why))
    if bundle.runtime:
        facts.append(("runtime", f"{bundle.runtime}; verified, loaded and self-tested in {bundle.load_ms:.1f} ms"))
    facts.append(("path", bundle.path))
    if bundle.signed_by:
        facts.append(("signed by", f"key {bundle.signed_by}"))
    manifest = bundle.manifest
    if manifest is None:
        console.print(_pairs(facts))
        return
    console.print(Padding(Text(manifest.description), (0, 0, 1, 0)))
    console.print(_pairs([*facts, *_facts(manifest)]))
    parts = (
        ("Quantisation", _quantisation(manifest)),
        ("Trained on", _training(manifest.training)),
        ("Measured on windows that trained nothing", _evaluation(manifest.evaluation)),
        ("Quantiles of the score on ordinary windows", _calibration(manifest)),
        ("Where it fails", _bullets(manifest.known_limits)),
    )
    for title, part in parts:
        console.print(Padding(Text(title, "bold"), (1, 0, 0, 0)))
        console.print(Padding(part, (0, 0, 0, 2)))


def print_differences(console: Console, one: Manifest, other: Manifest) -> bool:
    """A line for each value in which two manifests differ. Returns whether there is one."""
    ours, theirs = _flat(one.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", f"{one.name} {one.version}", f"{other.name} {other.version}"):
        table.add_column(heading, overflow="fold")
    different = [key for key in dict.fromkeys((*ours, *theirs)) if ours.get(key) != theirs.get(key)]
    for key in different:
        table.add_row(Text(key), *(Text(str(each[key]) if key in each else "-") for each in (ours, theirs)))
    if different:
        console.print(table)
    else:
        console.print("the same in everything")
    return bool(different)


def _flat(document: object, prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings by their dotted path; a list is one value."""
    if not isinstance(document, dict):
        return {prefix: ", ".join(map(str, document)) if isinstance(document, list) else document}
    leaves: dict[str, object] = {}
    for key, value in document.items():
        leaves |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _state(bundle: BundleStatus) -> Text:
    return Text(bundle.state, _STYLES[bundle.state])


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    schema = manifest.feature_schema
    libraries = ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())
    windows = f"windows of {schema.window_seconds:g} s every {schema.hop_seconds:g} s"
    facts = [
        ("schema", f"{schema.name} version {schema.version}, {windows}, hash {schema.hash[:_HASH_DIGITS]}"),
        (f"{len(schema.features)} features", ", ".join(schema.features)),
        *((name, f"{entry.size:,} bytes, SHA-256 {entry.sha256[:_HASH_DIGITS]}") for name, entry in manifest.files.items()),
        ("made with", f"{libraries}; ONNX opset {manifest.opset}, IR version {manifest.ir_version}"),
        ("licence", manifest.licence),
    ]
    return [*facts, ("parent", manifest.parent)] if manifest.parent else facts


def _quantisation(manifest: Manifest) -> RenderableType:
    proven = manifest.quantisation
    parts: list[RenderableType] = [Text(f"{proven.kind}: {proven.reason}")]
    measured = {"recorded": proven.recorded, "injected extremes": proven.injected_extremes}
    if any(measured.values()):
        headings = ("windows", "rank correlation", "alert agreement", "same top feature", "change with batch")
        table = _figures("against float32", headings)
        for name, agreement in measured.items():
            if agreement is not None:
                table.add_row(name, *_agreement(agreement))
        parts.append(table)
    parts += [Text(f"{kind} was refused: {reason}") for kind, reason in proven.refused.items()]
    return Group(*parts)


def _agreement(found: Agreement) -> tuple[str, ...]:
    shares = (f"{value:.4f}" for value in (found.spearman, found.alert_agreement, found.same_top_contributor))
    return (f"{found.windows:,}", *shares, f"{found.batch_invariance:.1e}")


def _training(training: TrainingDescription) -> RenderableType:
    sources = ", ".join(f"{windows:,} of {name}" for name, windows in training.sources.items())
    used = f"{training.windows_train:,} trained, {training.windows_validation:,} validated"
    kept = f"{training.windows_calibration:,} calibrated, {training.windows_test:,} tested"
    pairs = [
        ("windows", f"{used}, {kept}"),
        ("sources", sources),
        ("run", f"seed {training.seed}, {training.epochs:,} epochs, data SHA-256 {training.data_sha256[:_HASH_DIGITS]}"),
    ]
    if training.excluded:
        pairs.append(("left out", f"{len(training.excluded):,} captures, each named with its reason by --json:"))
        reasons = Counter(training.excluded.values()).most_common()
        pairs += [("", f"{count:>4} {reason}") for reason, count in reasons[:_REASONS]]
        if others := sum(count for _, count in reasons[_REASONS:]):
            pairs.append(("", f"{others:>4} for other reasons"))
    return _pairs(pairs)


def _evaluation(evaluation: dict[str, Evaluation]) -> RenderableType:
    if not evaluation:
        return Text("nothing")
    headings = ("windows", "AUC", "robust z", "random", "true pos.", "false pos.")
    table = _figures("attack", headings)
    for name, one in evaluation.items():
        table.add_row(
            name,
            f"{one.windows_attack:,}",
            *(f"{area:.3f}" for area in (one.auc, one.auc_robust_z, one.auc_random)),
            *(f"{rate:.1%}" for rate in (one.true_positive_rate, one.false_positive_rate)),
        )
    benign = sorted({one.windows_benign for one in evaluation.values()})
    against = " or ".join(f"{count:,}" for count in benign)
    note = f"Against {against} ordinary windows. The two rates: above the 99 % quantile of the calibration windows."
    return Group(table, Text(note, "dim"))


def _calibration(manifest: Manifest) -> RenderableType:
    reference = manifest.calibration
    table = _figures("windows", [f"{float(share) * 100:.4g} %" for share in reference.quantiles])
    table.add_row(f"{reference.windows:,}", *(f"{score:.3g}" for score in reference.quantiles.values()))
    return table


def _bullets(lines: Iterable[str]) -> Table:
    return _grid(("•", Text(line)) for line in lines)


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    return _grid((Text(name, "dim"), Text(value)) for name, value in pairs)


def _grid(rows: Iterable[tuple[str | Text, Text]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


def _figures(first: str, headings: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
