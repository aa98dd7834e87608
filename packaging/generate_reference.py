"""Writes the reference pages from the code: `python packaging/generate_reference.py docs`."""

import ast
import inspect
import itertools
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from netmote.config.section import Section
from netmote.daemon.config import Config
from netmote.scoring.rules.rule_set import RuleSet
from netmote.telemetry.metrics import Metrics
from netmote.windows.schemas import ALL

HEADER = """# Configuration reference

Generated from the configuration models by `make docs`; do not edit. The commented sample is `config/netmote.yaml`.
An empty document is valid: every key has a default unless it says *required*.

"""


def reference() -> str:
    """The page, Markdown."""
    lines = [HEADER.rstrip(), ""]
    _section(lines, Config, "the document", level=2)
    return "\n".join(lines) + "\n"


def _section(lines: list[str], model: type[BaseModel], title: str, *, level: int) -> None:
    lines += [f"{'#' * level} {title}", "", (model.__doc__ or "").strip().splitlines()[0], ""]
    nested: list[tuple[str, type[BaseModel]]] = []
    lines += ["| key | kind | default | meaning |", "| --- | --- | --- | --- |"]
    # What it is and what it is called stand first, also where a model inherits the rest.
    order = {"type": 0, "name": 1}
    docstrings = _docstrings(model)
    for name, field in sorted(model.model_fields.items(), key=lambda item: order.get(item[0], 2)):
        inner = _models(field.annotation)
        nested += [(f"{name}" if len(inner) == 1 else f"{name} ({_tag(each)})", each) for each in inner]
        meaning = docstrings.get(name, "").replace("\n", " ").replace("|", "\\|")
        lines.append(f"| `{name}` | {_kind(field)} | {_default(model, name, field)} | {meaning} |")
    lines.append("")
    for name, inner_model in nested:
        path = name if title == "the document" else f"{title}.{name}"
        _section(lines, inner_model, path, level=level + 1 if level < 4 else level)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field, its own class's before those of its bases."""
    found: dict[str, str] = {}
    for each in reversed([base for base in model.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]):
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in itertools.pairwise(body.body):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
            if is_text and isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[field.target.id] = inspect.cleandoc(below.value.value)
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]


def _tag(model: type[BaseModel]) -> str:
    field = model.model_fields.get("type")
    return str(typing.get_args(field.annotation)[0]) if field else model.__name__


def _kind(field: FieldInfo) -> str:
    text = _annotation(field.annotation, field.metadata)
    bounds = [f"{word} {getattr(m, name):g}" for m in field.metadata for name, word in _BOUNDS.items() if hasattr(m, name)]
    return text + (f", {', '.join(bounds)}" if bounds else "")


_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _annotation(annotation: Any, metadata: list[Any]) -> str:
    validators = {getattr(getattr(m, "func", None), "__name__", "") for m in metadata}
    for name, word in (("duration_seconds", "duration"), ("size_bytes", "size"), ("_secret_reference", "secret reference")):
        if name in validators:
            return word
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotation(arguments[0], list(arguments[1:]))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_annotation(a, []) for a in arguments if a is not type(None)))
    if origin in (tuple, list):
        return f"list of {_annotation(arguments[0], [])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return names.get(
        annotation,
        getattr(annotation, "__name__", str(annotation)).replace("IPv4Network", "network").replace("IPv6Network", "network"),
    )


def _default(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Section):
        return "see below"
    if default is None:
        return "unset"
    dumped = model.model_construct(**{name: default}).model_dump(mode="json", include={name})[name]
    return f"`{yaml.safe_dump(dumped, default_flow_style=True, width=10_000).removesuffix(chr(10)).removesuffix('...').strip()}`"


RULES_HEADER = """# Rules

Generated from `config/rules/` by `make docs`; do not edit. The reason for each limit stands beside it in those files.
`scoring.rules` adds files of your own, `scoring.disabled_rules` takes rules out by id.

| id | over | severity | ATT&CK | what it says | what to check |
| --- | --- | --- | --- | --- | --- |
"""


def rules_page() -> str:
    """Every shipped rule, Markdown."""
    rules = RuleSet.load(["builtin"], disabled=()).rules
    rows = [
        f"| `{rule.id}` | {rule.fact or rule.over} | {rule.severity} | {rule.technique or ''} | {_cell(rule.title)} | {_cell(rule.check)} |"
        for rule in sorted(rules, key=lambda rule: (rule.over, rule.id))
    ]
    return RULES_HEADER + "\n".join(rows) + "\n"


FEATURES_HEADER = """# Features

Generated from the feature schemas by `make docs`; do not edit. A model is bound to a schema by its hash, over names, order,
units and formulas. W is the length of the window.
"""


def features_page() -> str:
    """Every feature of every schema, Markdown."""
    lines = [FEATURES_HEADER]
    for schema in ALL:
        window, hop = schema.window_ns // 10**9, schema.hop_ns // 10**9
        lines += [f"## {schema.name}", "", f"Version {schema.version}, {window} s every {hop} s, hash `{schema.hash[:16]}`.", ""]
        lines += ["| # | feature | unit | formula |", "| --- | --- | --- | --- |"]
        lines += [f"| {n} | `{f.name}` | {f.unit} | {_cell(f.formula)} |" for n, f in enumerate(schema.features, 1)]
        lines.append("")
    return "\n".join(lines)


METRICS_HEADER = """# Metrics

Generated from the code by `make docs`; do not edit. Served in the text format of Prometheus at `http://127.0.0.1:9464/metrics`
(`web.address`, `web.port`). Names follow Prometheus: seconds and bytes, `_total` on counters, no address in a label. Beyond 200
different values of its labels (histograms: 20) a metric counts the rest under `other`. `process_*` are those of the process itself:
resident memory, CPU seconds, open descriptors.

[Alert rules and a dashboard](operations.md#prometheus-and-grafana) over them are shipped.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def metrics_page() -> str:
    """Every metric, Markdown."""
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {_cell(each.documentation)} |"
        for each in Metrics().catalogue()
    ]
    return METRICS_HEADER + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("{", "&#123;").replace("}", "&#125;").replace("\n", " ")


PAGES = {"configuration.md": reference, "rules.md": rules_page, "features.md": features_page, "metrics.md": metrics_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (Path(sys.argv[1]) / name).write_text(page())
