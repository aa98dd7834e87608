"""What a NATS sink may be configured to do."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from netmote.sinks.nats.config import NatsConfig


@pytest.mark.parametrize(
    "fields",
    [
        {"servers": ("tls://nats.example",)},
        {"servers": ("nats://127.0.0.1:4222", "nats://[::1]:4223")},
        {"servers": ("nats://nats.example:4222",), "allow_plain_text": True},
        {"servers": ("tls://a", "tls://b"), "user": "sensor", "password": "env:P"},
        {"servers": ("tls://a",), "nkey_seed": "credential:nkey", "client_certificate": "/c.pem", "subject": "site.a1.alerts"},
    ],
)
def test_allowed(fields: dict[str, object]) -> None:
    """TLS anywhere, plain text on this machine or when said."""
    assert NatsConfig(type="nats", **fields).servers == fields["servers"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"servers": ()}, "at least 1"),
        ({"servers": ("nats://nats.example",)}, "not encrypted"),
        ({"servers": ("http://nats.example",)}, "not an address"),
        ({"servers": ("tls://nats.example/x",)}, "not an address"),
        ({"servers": ("tls://nats.example:99999",)}, "ort"),
        ({"servers": ("tls://u:p@nats.example",)}, "do not belong"),
        ({"servers": ("tls://a", "nats://127.0.0.1")}, "do not go together"),
        ({"servers": ("tls://a",), "user": "x"}, "go together"),
        ({"servers": ("tls://a",), "password": "env:P"}, "go together"),
        ({"servers": ("tls://a",), "password": "hunter2", "user": "x"}, "by reference"),
        ({"servers": ("tls://a",), "user": "x", "password": "env:P", "nkey_seed": "env:S"}, "either"),
        ({"servers": ("tls://a",), "client_key": "/k"}, "client_certificate"),
        ({"servers": ("nats://127.0.0.1",), "ca_file": "/ca.pem"}, "means nothing"),
        ({"servers": ("tls://a",), "subject": "a..b"}, "not a subject"),
        ({"servers": ("tls://a",), "subject": "a.>"}, "not a subject"),
        ({"servers": ("tls://a",), "subject": "a b"}, "not a subject"),
        ({"servers": ("tls://a",), "subject": "$JS.API"}, "not a subject"),
        ({"servers": ("tls://a",), "heartbeat_subject": "*"}, "not a subject"),
    ],
)
def test_refused(fields: dict[str, object], word: str) -> None:
    """Each with a sentence that says what is allowed."""
    with pytest.raises(ValidationError, match=word):
        NatsConfig(type="nats", **fields)


def test_without_its_library_the_configuration_is_refused_and_names_the_extra() -> None:
    """Before anything runs; and a daemon without this sink never imports the library."""
    program = (
        "import sys; sys.modules['nats'] = None\n"
        "from netmote.sinks.nats.config import NatsConfig\n"
        "try: NatsConfig(type='nats', servers=('tls://a',))\n"
        "except ValueError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30).stdout
    assert 'pip install "netmote[nats]"' in told
