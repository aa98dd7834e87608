"""Titles of findings: a sentence with the values of the window in it."""

import difflib
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netmote.scoring.rules.quantity import percent_text, quantity_text
from netmote.windows.schema import FeatureSchema

_WORDS = ("name", "entity", "window")
_FACT_WORDS = ("value", "annotations")


@dataclass(frozen=True, slots=True)
class Title:
    """A parsed template: literal text, and (field, whether as percent) after each piece of it."""

    pieces: tuple[tuple[str, str | None, bool], ...]
    units: Mapping[str, str]

    @classmethod
    def parse(cls, template: str, schema: FeatureSchema, *, is_fact: bool, report: Callable[[str], None]) -> "Title":
        """Calls `report` for every field that is not known, and when the braces do not match."""
        allowed = (*_WORDS, *(_FACT_WORDS if is_fact else schema.names))
        units = {feature.name: feature.unit for feature in schema.features}
        pieces: list[tuple[str, str | None, bool]] = []
        try:
            parsed = list(string.Formatter().parse(template))
        except ValueError as error:
            report(f"{template!r} is not a template: {error}; a brace itself is written twice")
            parsed = []
        for literal, field, style, conversion in parsed:
            if field is not None and field not in allowed:
                near = difflib.get_close_matches(field, allowed, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(near)}? " if near else ""
                report(f"{{{field}}} is not known here; {hint}allowed: {', '.join(allowed)}")
            if conversion or style not in ("", "%", None):
                report(f"{{{field}}} has a format; only ':%' is allowed, for ratios")
            pieces.append((literal, field, style == "%"))
        return cls(tuple(pieces), units)

    def render(self, words: Mapping[str, str], values: Mapping[str, float]) -> str:
        """The sentence. `values` holds what was observed; what was not is written as "?"."""
        text: list[str] = []
        for literal, field, is_percent in self.pieces:
            text.append(literal)
            if field is None:
                continue
            if field in words:
                text.append(words[field])
            elif field not in values:
                text.append("?")
            else:
                text.append(percent_text(values[field]) if is_percent else quantity_text(values[field], self.units[field]))
        return "".join(text).strip()
