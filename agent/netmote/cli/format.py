"""How numbers read in a terminal: ages, sizes, times, feature values with their unit."""

from datetime import UTC, datetime


def age(seconds: float | None) -> str:
    """`4.2 s`, `12 min`, `3 h`, `5 d`; empty when not known."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def size(count: float | None) -> str:
    """`12.3 MB`, powers of ten; `?` when not known."""
    if count is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def time_text(time_ns: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def value_text(value: float | None, unit: str) -> str:
    """A feature's value with its unit, three significant digits."""
    if value is None:
        return "unknown"
    if unit in ("By", "By/s"):
        return size(value) + ("/s" if unit.endswith("/s") else "")
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    # UCUM writes what is counted in braces; people read it without.
    return number if unit in ("1", "") else f"{number} {unit.replace('{', '').replace('}', '')}"
