"""Where state lives: four sources, in this order."""

from pathlib import Path

import pytest

from netmote.daemon.config import Config
from netmote.daemon.state_dir import resolve_state_dir


@pytest.mark.parametrize(
    ("option", "environment", "configured", "expected"),
    [
        ("/a", "/b", "/c", "/a"),
        (None, "/b", "/c", "/b"),
        (None, "/b:/second", "/c", "/b"),
        (None, "", "/c", "/c"),
        (None, None, "/c", "/c"),
        (None, None, None, "var"),
    ],
)
def test_precedence(
    monkeypatch: pytest.MonkeyPatch, option: str | None, environment: str | None, configured: str | None, expected: str
) -> None:
    """`--state-dir`, then systemd's first directory, then the document, then ./var."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    if environment is not None:
        monkeypatch.setenv("STATE_DIRECTORY", environment)
    config = Config.model_validate({"state_dir": configured} if configured else {})
    assert resolve_state_dir(Path(option) if option else None, config) == Path(expected)


def test_without_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without --config asks the environment too."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert resolve_state_dir(None, None) == Path("var")
