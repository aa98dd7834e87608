"""A YAML document with the line of every key, and its check against a model: all problems at once."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from netmote.config.wording import is_only_a_consequence, wording
from netmote.errors import ConfigError, Problem

Location = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_DOCUMENT_BYTES = 4 * 2**20
# A document nests a handful of levels; more is a mistake or an attack on the parser's stack.
MAX_DEPTH = 32


# libyaml's parser reads the shipped rules and profiles in 9 ms instead of 66 at each start; a build of PyYAML may lack it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TextLoader(_Loader):  # type: ignore[misc, valid-type]
    """SafeLoader that leaves dates alone: a date in a document is text."""


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Document:
    """The plain values of one YAML file and the line (from 1) of each of its nodes."""

    name: str
    data: Any
    lines: Mapping[Location, int]
    files: Mapping[Location, str] = field(default_factory=dict)
    """Where a node came from another file than `name` (a drop-in)."""

    def file(self, location: Location) -> str:
        """The file of the node, or of its nearest ancestor."""
        return next((self.files[part] for part in _ancestry(location) if part in self.files), self.name)

    def line(self, location: Location) -> int | None:
        """Line of the node, or of its nearest ancestor that the document holds."""
        return next((self.lines[part] for part in _ancestry(location) if part in self.lines), None)

    def problem(self, location: Location, message: str) -> Problem:
        """A problem at a node of this document."""
        return Problem(self.file(location), self.line(location), key_text(location), message)


def _ancestry(location: Location) -> Iterator[Location]:
    """The location, and those above it up to the root."""
    return (location[:length] for length in range(len(location), -1, -1))


def key_text(location: Location) -> str:
    """`("snmp", "targets", 0, "name")` as `snmp.targets[0].name`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load_document(path: Path) -> Document:
    """Read and parse a file. Raises ConfigError naming the file (and the line, when it is not YAML)."""
    try:
        with path.open("rb") as stream:
            body = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from error
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ConfigError([Problem(str(path), None, "", f"is larger than {MAX_DOCUMENT_BYTES} bytes")])
    try:
        return parse_document(body.decode(), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), None, "", f"is not UTF-8 (byte {error.start})")]) from error


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text. Raises ConfigError with every duplicate key, or the first syntax error."""
    loader = _TextLoader(text)
    problems: list[Problem] = []
    lines: dict[Location, int] = {}
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(name, {}, {(): 1})
        _note_lines(node, (), lines, problems, name)
        if problems:
            raise ConfigError(problems)
        return Document(name, loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        raise ConfigError([Problem(name, line, "", f"is not YAML: {error.problem}")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([Problem(name, None, "", f"is not YAML: {str(error).splitlines()[0]}")]) from error
    finally:
        loader.dispose()


def _note_lines(node: yaml.Node, location: Location, lines: dict[Location, int], problems: list[Problem], name: str) -> None:
    if len(location) > MAX_DEPTH:
        raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*location, str(key.value))
            if here in lines:
                message = f"is given twice; first on line {lines[here]}"
                problems.append(Problem(name, key.start_mark.line + 1, key_text(here), message))
                continue
            lines[here] = key.start_mark.line + 1
            _note_lines(value, here, lines, problems, name)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _note_lines(value, (*location, position), lines, problems, name)


def check_document(document: Document, model: type[ModelT]) -> ModelT:
    """Validate against a model. Raises ConfigError with every problem, each with its line and what is allowed."""
    if not isinstance(document.data, dict):
        raise ConfigError([document.problem((), f"must be a mapping of {', '.join(model.model_fields)}")])
    try:
        return model.model_validate(_set(document.data))
    except ValidationError as error:
        problems = [_problem(document, model, detail) for detail in error.errors() if not is_only_a_consequence(detail)]
        raise ConfigError(problems) from error


def _set(data: Any) -> Any:
    """The document without keys that have no value: a section holding nothing but comments means its defaults."""
    if isinstance(data, dict):
        return {key: _set(value) for key, value in data.items() if value is not None}
    return [_set(value) for value in data] if isinstance(data, list) else data


def _problem(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Problem:
    location = _in_document(document.data, detail["loc"])
    if detail["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, detail["loc"][:-1])
        near = difflib.get_close_matches(str(detail["loc"][-1]), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return document.problem(
            location, f"is not a known key; {hint}allowed: {', '.join(allowed)}" if allowed else "is not a known key"
        )
    if detail["type"] == "missing":
        return document.problem(location, "is missing; it must be set")
    return document.problem(location, wording(detail, _allowed_keys(model, detail["loc"])))


def _in_document(data: Any, location: Location) -> Location:
    """The part of pydantic's location that names nodes of the document: it adds tags of unions that are no keys."""
    kept: list[str | int] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(data, dict):
            if part in data:
                data = data[part]
            elif not is_last:
                continue
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        kept.append(part)
    return tuple(kept)


def _allowed_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Keys of the model at this location, found by walking the annotations."""
    current: Any = model
    for part in location:
        candidates = _models_in(current.model_fields[part].annotation) if part in getattr(current, "model_fields", {}) else []
        if isinstance(part, str) and not candidates:
            # A tag of a discriminated union chose one of several models.
            options = current if isinstance(current, list) else [current]
            tagged = [option for option in options if _tag_of(option) == part]
            current = tagged[0] if tagged else current
            continue
        if isinstance(part, int):
            continue
        current = candidates[0] if len(candidates) == 1 else candidates
    return [field.alias or name for name, field in getattr(current, "model_fields", {}).items()]


def _tag_of(model: Any) -> Any:
    field = getattr(model, "model_fields", {}).get("type")
    return getattr(field.annotation, "__args__", (None,))[0] if field else None


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]
