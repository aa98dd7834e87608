"""What a webhook may be configured to do."""

import pytest
from pydantic import ValidationError

from netmote.sinks.webhook.config import WebhookConfig


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://collector.example/alerts"},
        {"url": "http://127.0.0.1:8080/"},
        {"url": "http://[::1]:8080/"},
        {"url": "http://localhost/x"},
        {"url": "http://collector.example/", "allow_plain_text": True},
        {"url": "https://collector.example/", "client_certificate": "/etc/netmote/client.pem", "token": "env:TOKEN"},
    ],
)
def test_allowed(fields: dict[str, object]) -> None:
    """TLS anywhere, http on this machine, plain text only when said."""
    assert WebhookConfig(type="webhook", **fields).url == fields["url"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"url": "http://collector.example/"}, "not encrypted"),
        ({"url": "http://localhost.evil.example/"}, "not encrypted"),
        ({"url": "http://127.0.0.1.evil.example/"}, "not encrypted"),
        ({"url": "ftp://collector.example/"}, "not an http or https address"),
        ({"url": "collector.example"}, "not an http or https address"),
        ({"url": "https://user:secret@collector.example/"}, "token"),
        ({"url": "https://collector.example:99999/"}, "ort"),
        ({"url": "https://collector.example/#x"}, "never sent"),
        ({"url": "https://collector.example/", "token": "abcdef"}, "by reference"),
        ({"url": "https://collector.example/", "client_key": "/k.pem"}, "client_certificate"),
        ({"url": "http://127.0.0.1/", "ca_file": "/ca.pem"}, "means nothing"),
        ({"url": "https://collector.example/", "timeout": "1h"}, "300"),
    ],
)
def test_refused(fields: dict[str, object], word: str) -> None:
    """Each mistake is named."""
    with pytest.raises(ValidationError, match=word):
        WebhookConfig(type="webhook", **fields)
