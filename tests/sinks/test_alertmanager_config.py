"""What the Alertmanager sink may be configured to do."""

import pytest
from pydantic import ValidationError

from netmote.sinks.alertmanager.config import AlertmanagerConfig


@pytest.mark.parametrize("url", ["http://127.0.0.1:9093", "http://127.0.0.1:9093/", "https://alerts.example/alertmanager/"])
def test_the_address_is_that_of_alertmanager_itself(url: str) -> None:
    """With or without a prefix and a slash at its end."""
    endpoint = AlertmanagerConfig(type="alertmanager", url=url).endpoint
    assert endpoint == f"{url.rstrip('/')}/api/v2/alerts"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"url": "http://127.0.0.1:9093/api/v2/alerts"}, "Alertmanager itself"),
        ({"url": "http://127.0.0.1:9093?x=1"}, "Alertmanager itself"),
        ({"url": "http://alerts.example:9093"}, "not encrypted"),
        ({"url": "http://127.0.0.1:9093", "client_certificate": "/c.pem"}, "means nothing"),
        ({"url": "https://alerts.example", "client_key": "/k.pem"}, "client_certificate"),
        ({"url": "https://alerts.example", "resend": "5m"}, "240"),
        ({"url": "https://alerts.example", "heartbeat": "yes"}, "watchdog"),
    ],
)
def test_refused(fields: dict[str, object], word: str) -> None:
    """Each mistake is named; above all an interval in which Alertmanager would take silence for an end."""
    with pytest.raises(ValidationError, match=word):
        AlertmanagerConfig(type="alertmanager", **fields)
