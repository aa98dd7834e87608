"""When a receiver says that it wants to be asked again (what a status means is tested with the webhook's answers)."""

import pytest

from netmote.sinks.http_answer import MAX_RETRY_AFTER_SECONDS, retry_after

NOW_NS = 1_700_000_000_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("99999999999999", MAX_RETRY_AFTER_SECONDS),
        ("Tue, 14 Nov 2223 22:00:00 GMT", MAX_RETRY_AFTER_SECONDS),
        ("soon", None),
        ("-5", None),
        ("١٢", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3: seconds or a date, bounded; anything else is as if it were absent."""
    assert retry_after(value, NOW_NS) == seconds
