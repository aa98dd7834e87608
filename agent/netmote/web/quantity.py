"""Numbers with their units, as people read them. Pure; what is not known is a dash."""

import math
from datetime import UTC, datetime

UNKNOWN = "\N{EN DASH}"

_PREFIXES = ("", "k", "M", "G", "T", "P")
_SECONDS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
# Unit of a feature (UCUM-like) -> how it is read; a scaled one takes k, M, G.
_SCALED = {"By": "B", "By/s": "B/s", "B": "B", "B/s": "B/s", "bit/s": "bit/s", "pkt/s": "packets/s", "1/s": "/s"}


def figure(value: float | None, digits: int = 3) -> str:
    """Significant digits, thousands parted, no exponent: 0.0042, 3.14, 412, 12,345."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0" if "e" in text else text


def scaled(value: float | None, unit: str) -> str:
    """With a decimal prefix: `4.2 Mbit/s`, `812 packets/s`, `1.2 GB`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    power = 0
    while abs(value) >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1_000, power + 1
    return f"{figure(value)} {_PREFIXES[power]}{unit}"


def quantity(value: float | None, unit: str) -> str:
    """A feature's value in its own unit; `1` (a count or ratio) is not written."""
    if unit in _SCALED:
        return scaled(value, _SCALED[unit])
    text = figure(value)
    # UCUM writes what is counted in braces; people read it without.
    return text if unit in ("", "1") or text == UNKNOWN else f"{text} {unit.replace('{', '').replace('}', '')}"


def rate(value: float | None, unit: str) -> str:
    """`12.4 kpackets/s` reads badly, so counts of things keep their digits: `12,400 packets/s`."""
    if value is None:
        return UNKNOWN
    return scaled(value, unit) if unit in ("bit/s", "B/s") else f"{figure(value)} {unit}"


def percent(ratio: float | None) -> str:
    """A ratio of 0 to 1."""
    return UNKNOWN if ratio is None else f"{figure(ratio * 100)} %"


def duration(seconds: float | None) -> str:
    """The two largest parts: `320 ms`, `4.2 s`, `5 min 10 s`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if abs(seconds) < 1:
        return f"{figure(seconds * 1_000)} ms" if seconds else "0 s"
    if abs(seconds) < 60:
        return f"{figure(seconds, 2)} s"
    rest = round(abs(seconds))
    parts = []
    for unit, size in _SECONDS:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {unit}")
        elif parts:
            break
    return ("\N{MINUS SIGN}" if seconds < 0 else "") + " ".join(parts[:2])


def age(time_ns: int | None, now_ns: int) -> str:
    """`12 s ago`; an instant in the future (the clock was set back) says so."""
    if time_ns is None:
        return UNKNOWN
    seconds = (now_ns - time_ns) / 1e9
    if abs(seconds) < 1:
        return "now"
    whole = float(round(seconds))
    return f"{duration(whole)} ago" if whole > 0 else f"in {duration(-whole)}"


def instant(time_ns: int | None) -> str:
    """Date and time in UTC, to the second."""
    if time_ns is None:
        return UNKNOWN
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_instant(time_ns: int) -> str:
    """The same for the `datetime` attribute of HTML."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
