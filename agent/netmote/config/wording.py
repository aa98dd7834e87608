"""What is wrong with a value, in the words of the document: rows, keys, text and numbers, not the types of a program.

Owns the wording of mistakes of kind. Limits, words to choose from and the models' own sentences stay as they are; they say it already.
"""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

_WHOLE, _NUMBER = "must be a whole number", "must be a number"
_TEXT, _CHOICE = "must be text; put it in quotes", "must be true or false"
_OF_KIND: Final = {
    "int_type": _WHOLE, "int_parsing": _WHOLE, "int_from_float": _WHOLE,
    "float_type": _NUMBER, "float_parsing": _NUMBER, "finite_number": _NUMBER,
    "string_type": _TEXT, "bool_type": _CHOICE, "bool_parsing": _CHOICE,
    "tuple_type": "must be a list", "list_type": "must be a list", "dict_type": "must be a mapping",
}  # fmt: skip
_OF_MODELS: Final = ("model_type", "model_attributes_type")


def is_only_a_consequence(detail: ErrorDetails) -> bool:
    """Whether a list is called too short only because its rows are wrong, each of which is a problem of its own."""
    given = detail["input"]
    return detail["type"] == "too_short" and isinstance(given, list) and len(given) >= detail["ctx"]["min_length"]


def wording(detail: ErrorDetails, keys: Sequence[str]) -> str:
    """The problem as a sentence without a subject. `keys` are those that a section may have at that place."""
    kind, given = detail["type"], detail["input"]
    message = _OF_KIND.get(kind, "")
    if kind in _OF_MODELS:
        message = f"must be a mapping of {', '.join(keys)}"
    elif kind in ("too_short", "too_long"):
        most = detail["ctx"].get("max_length")
        return f"must have at most {most} entries" if most else f"must have at least {_entries(detail['ctx']['min_length'])}"
    if not message:
        plain = detail["msg"].removeprefix("Value error, ")
        message = plain if kind == "value_error" else f"{plain[0].lower()}{plain[1:]}"
    return message if kind == "value_error" else message + _given(given)


def _entries(count: int) -> str:
    return "one entry" if count == 1 else f"{count} entries"


def _given(value: Any) -> str:
    """What stands there, when it is short."""
    if value is None:
        return " (nothing is given)"
    if isinstance(value, str | int | float | bool) and len(str(value)) <= 60:
        return f" (given: {value!r})"
    return " (a list is given)" if isinstance(value, list) else " (a mapping is given)" if isinstance(value, dict) else ""
