"""Addresses as users write them."""

import pytest

from netmote.sinks.destination import destination, is_loopback


@pytest.mark.parametrize(
    ("text", "shown", "here"),
    [
        ("a.example", "a.example:514", False),
        ("a.example:1", "a.example:1", False),
        ("192.0.2.1:65535", "192.0.2.1:65535", False),
        ("[2001:db8::1]:6514", "[2001:db8::1]:6514", False),
        ("[::1]", "[::1]:514", True),
        ("localhost", "localhost:514", True),
        ("127.8.9.1:2", "127.8.9.1:2", True),
    ],
)
def test_understood(text: str, shown: str, here: bool) -> None:
    """With the usual port where none is written."""
    found = destination(text, default_port=514)
    assert (str(found), found.is_loopback) == (shown, here)


@pytest.mark.parametrize(
    "text", ["", ":5", "a b", "a:b", "a:70000", "tcp://a", "a/b", "a?x", "a#x", "u@a", "u:p@a", "2001:db8::1", "a:-1"]
)
def test_refused(text: str) -> None:
    """What is no address of a server."""
    with pytest.raises(ValueError):
        destination(text, default_port=514)


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "::", "example"])
def test_not_this_machine(host: str) -> None:
    """Nothing that only looks like loopback."""
    assert not is_loopback(host)
