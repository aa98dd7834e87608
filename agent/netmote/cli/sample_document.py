"""The commented sample with values put in: what `netmote init` writes. Pure: text and values in, text out.

A value stands where the sample has its key, in place of the default that is commented out there, so that every sentence beside it
still explains it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

_SECTION: Final = re.compile(r"([a-z_]+):\s*$")

Path = tuple[str, ...]


def with_values(sample: str, values: Mapping[Path, Any]) -> str:
    """The sample with these values, by path of one or two keys. Raises KeyError for a key that the sample does not show."""
    lines: list[str] = []
    left = dict(values)
    section = ""
    for line in sample.splitlines():
        if (opened := _SECTION.fullmatch(line)) is not None:
            section = opened[1]
        found = next((path for path in left if _shows(line, section, path)), None)
        lines += [line] if found is None else _written(found, left.pop(found))
    if left:
        raise KeyError(f"the sample does not show {', '.join('.'.join(path) for path in left)}")
    return "\n".join(lines) + "\n"


def _shows(line: str, section: str, path: Path) -> bool:
    """Whether this is the line of that key, commented out or not; lines of examples begin with two #."""
    if len(path) == 2 and path[0] != section:
        return False
    indent = "  " * (len(path) - 1)
    return re.match(rf"{indent}(# )?{re.escape(path[-1])}:( |$)", line) is not None


def _written(path: Path, value: Any) -> list[str]:
    """Lines of YAML at the depth of the key."""
    indent = "  " * (len(path) - 1)
    # Plain values read best on one line; mappings each on lines of their own.
    if not isinstance(value, list) or all(not isinstance(each, dict) for each in value):
        flow = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("...").strip()
        return [f"{indent}{path[-1]}: {flow}"]
    body = yaml.safe_dump({path[-1]: value}, default_flow_style=False, sort_keys=False, width=120)
    return [(indent + line).rstrip() for line in body.splitlines()]
