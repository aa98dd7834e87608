"""Drop-ins: the `conf.d/*.yaml` beside a document, merged over it in the order of their names, as if all were one document.

A mapping is merged key by key. A list of mappings (devices, sinks) grows; any other value replaces the one before it. Every node
remembers the file and the line it came from, for errors.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from netmote.config.document import Document, Location, load_document
from netmote.errors import ConfigError, Problem

MAX_DROP_INS = 1000


def load_with_drop_ins(path: Path) -> Document:
    """The document at `path` with its drop-ins. Raises ConfigError with the problems of every file that cannot be read."""
    files = [path, *drop_ins(path)]
    documents: list[Document] = []
    problems: list[Problem] = []
    for file in files:
        try:
            documents.append(load_document(file))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    merged = documents[0]
    for document in documents[1:]:
        merged = merged_over(merged, document)
    return merged


def drop_ins(path: Path) -> list[Path]:
    """The files in `conf.d` beside a document, by name; hidden ones are left out. Raises ConfigError where there are too many."""
    directory = path.parent / "conf.d"
    found = sorted(file for file in directory.glob("*.yaml") if not file.name.startswith("."))
    if len(found) > MAX_DROP_INS:
        raise ConfigError([Problem(str(directory), None, "", f"holds {len(found)} files; at most {MAX_DROP_INS} are read")])
    return found


def merged_over(below: Document, above: Document) -> Document:
    """One document of two. Raises ConfigError where one has a mapping and the other has not."""
    if not isinstance(above.data, dict):
        raise ConfigError([above.problem((), "must be a mapping, as the document it is merged over")])
    merge = _Merge(below, above)
    data = merge.values(below.data, above.data, ())
    if merge.problems:
        raise ConfigError(merge.problems)
    return replace(below, data=data, lines=merge.lines, files=merge.files)


class _Merge:
    """Two documents on their way to one: where every node came from, and what cannot be merged."""

    def __init__(self, below: Document, above: Document) -> None:
        self._below, self._above = below, above
        self.lines, self.files = dict(below.lines), dict(below.files)
        self.problems: list[Problem] = []

    def values(self, old: Any, new: Any, here: Location) -> Any:
        """What stands at `here` in the one document."""
        if isinstance(old, dict) and isinstance(new, dict):
            return self._mappings(old, new, here)
        if isinstance(old, dict) or isinstance(new, dict):
            kind = "a mapping" if isinstance(old, dict) else "no mapping"
            self.problems.append(self._above.problem(here, f"must be {kind}, as in {self._below.file(here)}"))
            return old
        if _is_growing(old) and _is_growing(new):
            for position in range(len(new)):
                self._take((*here, len(old) + position), (*here, position))
            return [*old, *new]
        self._forget(here)
        self._take(here, here)
        return new

    def _mappings(self, old: dict[Any, Any], new: dict[Any, Any], here: Location) -> dict[Any, Any]:
        joined = dict(old)
        for key, value in new.items():
            place = (*here, str(key))
            if value is None:
                continue  # a key with nothing but comments below it says nothing
            if old.get(key) is None:
                self._take(place, place)
                joined[key] = value
            else:
                joined[key] = self.values(old[key], value, place)
        return joined

    def _take(self, here: Location, there: Location) -> None:
        """Remember the origin of the node `there` of the upper document, and of what is below it, as of the node `here`."""
        for location, line in self._above.lines.items():
            if location[: len(there)] == there:
                moved = here + location[len(there) :]
                self.lines[moved], self.files[moved] = line, self._above.name

    def _forget(self, here: Location) -> None:
        for location in [each for each in self.lines if each[: len(here)] == here]:
            del self.lines[location]
            self.files.pop(location, None)


def _is_growing(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
