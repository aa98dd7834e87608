"""What the status of an HTTP answer means for the batch it answers. Pure: status, headers and body in, None or an error out.

| answer | meaning |
| --- | --- |
| 2xx | the whole batch is accepted |
| 400, 413, 422 | refused for ever as it is: delivery halves the batch until it finds the row |
| 408, 425, 429, 5xx | try again, not before Retry-After |
| 401, 403, 404 and every other | a fault of the configuration: try again, lose nothing, say what to mend |
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from netmote.errors import NetmoteError, Permanent, Retryable

# A receiver cannot silence a sensor for longer than this by one answer.
MAX_RETRY_AFTER_SECONDS = 3_600.0

_REFUSED = {400: "bad request", 413: "too large", 422: "not processable"}
_LATER = {408: "request time-out", 425: "too early", 429: "too many requests"}
_FAULTS = {
    401: "not authenticated: check token",
    403: "not permitted: check the token's rights",
    404: "nothing there: check the path of url",
    405: "no POST there: check the path of url",
    407: "a proxy wants authentication",
    415: "media type or Content-Encoding refused: try compression: none",
}


def judge_status(status: int, headers: Mapping[str, str], body: bytes, *, now_ns: int) -> NetmoteError | None:
    """The error to raise for this answer, None when it accepts."""
    if 200 <= status < 300:
        return None
    if status in _REFUSED:
        return Permanent(f"{status} {_REFUSED[status]}{excerpt(body)}")
    if status in _LATER or status >= 500:
        after = retry_after(headers.get("Retry-After"), now_ns)
        return Retryable(f"{status} {_LATER.get(status, 'fault of the receiver')}{excerpt(body)}", after=after)
    if 300 <= status < 400:
        target = headers.get("Location", "nowhere")
        return Retryable(f"{status} redirects to {printable(target)}, which is not followed: check url")
    return Retryable(f"{status} {_FAULTS.get(status, 'unexpected')}{excerpt(body)}")


def retry_after(value: str | None, now_ns: int) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 section 10.2.3: seconds or a date), None when absent or not understood."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if instant.tzinfo is None:  # "-0000", an unknown zone: RFC 9110 section 5.6.7 has only GMT
        instant = instant.replace(tzinfo=UTC)
    return min(max(0.0, instant.timestamp() - now_ns / 1e9), MAX_RETRY_AFTER_SECONDS)


def excerpt(body: bytes) -> str:
    """The beginning of a body, to put behind a reason; empty when there is nothing to read."""
    text = printable(body[:400].decode("utf-8", "replace"))
    return f": {text}" if text else ""


def printable(text: str) -> str:
    """At most 200 characters on one line: it goes into log lines and the ledger."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
