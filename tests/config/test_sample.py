"""The sample is the documentation: it means the built-in defaults, and so does every commented default in it."""

import re
from pathlib import Path

import pytest

from netmote.config.document import check_document, parse_document
from netmote.daemon.config import Config

SAMPLE = Path(__file__).parents[2] / "config" / "netmote.yaml"
# state_dir has no default value of its own: its comment shows an example.
NOT_DEFAULTS = ("state_dir",)


def uncommented(text: str) -> str:
    """The document with every `# key: value` line taken as written."""
    lines = []
    for line in text.splitlines():
        match = re.fullmatch(r"(\s*)# (\w+): (.*)", line)
        is_default = match and match[2] not in NOT_DEFAULTS
        lines.append(f"{match[1]}{match[2]}: {match[3]}" if is_default else line)
    return "\n".join(lines)


def test_sample_is_the_defaults() -> None:
    """The file as shipped gives exactly the configuration of no file at all."""
    document = parse_document(SAMPLE.read_text(), str(SAMPLE))
    assert check_document(document, Config) == Config()


def test_commented_defaults_are_the_defaults() -> None:
    """Taking every commented default as written changes nothing, so no comment lies."""
    document = parse_document(uncommented(SAMPLE.read_text()), str(SAMPLE))
    assert check_document(document, Config) == Config()


def test_sample_names_every_key() -> None:
    """Every key of the models stands in the sample, so that a reader finds it there."""
    document = parse_document(uncommented(SAMPLE.read_text()), str(SAMPLE))
    for section, field in Config.model_fields.items():
        if section in NOT_DEFAULTS:
            continue
        assert section in document.data, section
        keys = getattr(field.annotation, "model_fields", None)
        if keys is not None:
            assert set(document.data[section]) == set(keys), section


def test_interfaces_is_the_only_uncommented_value() -> None:
    """`capture.interfaces` is one uncommented line holding a list, the only line with that key: tools edit it."""
    lines = [line for line in SAMPLE.read_text().splitlines() if re.match(r"\s*#*\s*interfaces:", line)]
    assert lines == ["  interfaces: [auto]"]


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n"])
def test_empty_document_runs(text: str) -> None:
    """An empty document is the defaults."""
    assert check_document(parse_document(text, "empty.yaml"), Config) == Config()
