"""What the documentation shows can be typed: every command line is one that the program takes, every configuration passes its check."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from netmote.cli.main import app
from netmote.config.document import check_document, parse_document
from netmote.daemon.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # wherever typer has click from
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[tuple[str, str, str]]:
    """Page and line, language, text."""
    for page in PAGES:
        text = page.read_text()
        for found in _BLOCK.finditer(text):
            yield f"{page.name}:{text[: found.start()].count(chr(10)) + 1}", found[1], found[2]


def commands() -> list[tuple[str, list[str]]]:
    """Where it stands, and the words after `netmote`; remarks stand behind # or three blanks."""
    found = []
    for where, language, text in blocks():
        if language not in ("", "console", "sh", "bash"):
            continue
        for line in text.replace("\\\n", " ").splitlines():
            typed = re.split(r"\s+#|\s{3,}", line.removeprefix("$ ").removeprefix("sudo "))[0]
            parts = re.split(r"\s*(?:&&|\||;)\s*", typed)
            found += [(where, shlex.split(part)[1:]) for part in parts if part.startswith("netmote ")]
    return found


def taken(words: list[str]) -> None:
    """Parse as the program would, values and all, without running anything. Raises UsageError or AssertionError, which name what is wrong."""
    command: Any = typer.main.get_command(app)
    context = None
    name, rest = "netmote", list(words)
    while hasattr(command, "get_command"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        name, *rest = rest
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
    command.make_context(name, rest, parent=context)


def test_every_command_line_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, options and the form of their values, on a sensor where the package is installed."""
    monkeypatch.setenv("NETMOTE_CONFIG", "/etc/netmote/netmote.yaml")  # packaging/netmote.sh
    lines = commands()
    assert len(lines) >= 20
    wrong = []
    for where, words in lines:
        try:
            taken(words)
        except (UsageError, AssertionError) as error:
            wrong.append(f"{where}: netmote {shlex.join(words)}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("words", ["polll 192.0.2.1", "doctor --jsonn", "top --interval soon", "alerts shown 3f2a"])
def test_what_is_not_taken_is_seen(words: str) -> None:
    """The test above can fail."""
    with pytest.raises((UsageError, AssertionError)):
        taken(words.split())


def test_every_configuration_is_sound() -> None:
    """Each YAML block whose keys are those of the configuration passes `netmote check` but for the files it names."""
    checked = 0
    for where, language, text in blocks():
        if language != "yaml":
            continue
        document = parse_document(text, where)
        if isinstance(document.data, dict) and set(document.data) <= set(Config.model_fields):
            check_document(document, Config)
            checked += 1
        else:
            yaml.safe_load(text)
    assert checked >= 5
