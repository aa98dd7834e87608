"""Thresholds with units: what a person writes ("20 kB/s", "90 %") to the unit of the feature, and values back to text.

Units of features are UCUM-like: `By/s`, `By`, `s`, `bit`, `1` and annotations such as `{packet}/s` (UCUM section 2.2).
"""

import re

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY_PREFIXES = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_BYTES = {f"{prefix}B": factor for prefix, factor in {**_PREFIXES, **_BINARY_PREFIXES}.items()}
_BITS = {f"{prefix}bit": factor / 8 for prefix, factor in _PREFIXES.items()}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PER = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600}
_QUANTITY = re.compile(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(\S.*?)?\s*")
_ANNOTATION = re.compile(r"\{(\w+)\}(/s)?")


def written_units(unit: str) -> dict[str, float]:
    """What may be written after a number for a feature of this unit, and the factor to the unit itself."""
    if unit in ("By", "By/s"):
        rate = unit.removeprefix("By")
        units = {f"{name}{rate}": factor for name, factor in _BYTES.items()}
        return units | {f"{name}{rate}": factor for name, factor in _BITS.items()} if rate else units
    if unit == "1":
        return {"%": 0.01}
    if unit == "s":
        return dict(_SECONDS)
    annotation = _ANNOTATION.fullmatch(unit)
    if annotation is not None:
        noun, rate = annotation[1], annotation[2]
        nouns = (noun, f"{noun}es" if noun.endswith("s") else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s")
        if rate is None:
            return dict.fromkeys(nouns, 1.0)
        return {f"{name}{per}": factor for name in ("", *nouns) for per, factor in _PER.items()}
    return {unit: 1.0}


def parse_quantity(written: float | str, unit: str) -> float:
    """The number in the feature's unit; a bare number is already in it. Raises ValueError saying which units are allowed."""
    if not isinstance(written, str):
        return float(written)
    match = _QUANTITY.fullmatch(written)
    allowed = written_units(unit)
    if match is None or (match[2] is not None and match[2] not in allowed):
        raise ValueError(
            f"{written!r} is not a quantity in {unit_text(unit)}; write a number, alone or with one of {', '.join(allowed)}"
        )
    return float(match[1]) * (1.0 if match[2] is None else allowed[match[2]])


def unit_text(unit: str) -> str:
    """The unit in words for messages."""
    return {"1": "a ratio (1 = 100 %)", "By": "B", "By/s": "B/s"}.get(unit, unit.replace("{", "").replace("}", ""))


def quantity_text(value: float, unit: str) -> str:
    """A value for people: three significant digits and its unit."""
    if unit in ("By", "By/s"):
        for prefix in ("T", "G", "M", "k"):
            if abs(value) >= _PREFIXES[prefix]:
                return f"{_digits(value / _PREFIXES[prefix])} {prefix}B{unit[2:]}"
        return f"{_digits(value)} B{unit[2:]}"
    if unit == "s":
        return f"{_digits(value)} s" if abs(value) >= 1 or value == 0 else f"{_digits(value * 1000)} ms"
    if unit.startswith("{"):
        if unit.endswith("/s") and 0 < abs(value) < 1:
            return f"{_digits(value * 60)}/min"
        return f"{_digits(value)}{unit.partition('}')[2]}"
    return f"{_digits(value)} {unit}" if unit not in ("1", "") else _digits(value)


def percent_text(value: float) -> str:
    """A ratio 0..1 as percent."""
    return f"{_digits(value * 100)} %"


def _digits(value: float) -> str:
    if abs(value) >= 100 or value.is_integer():
        return f"{value:.0f}"
    return f"{value:.3g}"
