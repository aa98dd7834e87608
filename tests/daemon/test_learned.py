"""The file of what was learned: whole or put aside, and never in the way of alerts."""

from pathlib import Path

import pytest
from daemon_legs import Legs

from netmote.daemon.learned import LearnedFile


def test_a_round_trip(legs: Legs) -> None:
    """What was saved is restored, atomically replaced and with nothing left beside it."""
    analysis = legs.analysis()
    file = LearnedFile(legs.state_dir / "learned.bin")
    file.save(analysis.learned())
    file.save(analysis.learned())
    other = legs.analysis()
    file.load_into(other)
    assert other.learned() == analysis.learned()
    assert [path.name for path in legs.state_dir.iterdir()] == ["learned.bin"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:30] + bytes([content[30] ^ 1]) + content[31:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"another-format\n" + content,
    ],
)
def test_a_damaged_file_is_put_aside_and_said(legs: Legs, caplog: pytest.LogCaptureFixture, damage) -> None:
    """The detectors begin cold, the damaged file stays for whoever wants to look, the next save works."""
    file = LearnedFile(legs.state_dir / "learned.bin")
    file.save(legs.analysis().learned())
    file.path.write_bytes(damage(file.path.read_bytes()))
    file.load_into(legs.analysis())
    assert "begin cold" in caplog.text
    assert [path.name for path in legs.state_dir.iterdir()] == ["learned.bad"]
    file.save(legs.analysis().learned())
    assert file.path.exists()


def test_a_state_of_another_version_begins_cold(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """A sound file whose content this version does not understand is no reason not to start."""
    file = LearnedFile(legs.state_dir / "learned.bin")
    file.save(b"the state of another version")
    file.load_into(legs.analysis())
    assert "begin cold" in caplog.text


def test_an_oversized_file_is_not_read(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """A bound on what is read into memory."""
    file = LearnedFile(legs.state_dir / "learned.bin")
    with file.path.open("wb") as stream:
        stream.truncate(300 * 2**20)
    file.load_into(legs.analysis())
    assert "is larger than" in caplog.text


def test_without_a_file_nothing_is_said(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """The first start is no trouble."""
    LearnedFile(legs.state_dir / "learned.bin").load_into(legs.analysis())
    assert not caplog.records


def test_the_room_for_alerts_is_not_used(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """Where free space would fall below the floor nothing is written, and the older file stays."""
    plenty = LearnedFile(legs.state_dir / "learned.bin")
    plenty.save(b"older")
    scarce = LearnedFile(legs.state_dir / "learned.bin", free_space_floor=2**62)
    scarce.save(b"newer")
    assert plenty.path.read_bytes().endswith(b"older")
    assert "not saved" in caplog.text
    assert not (legs.state_dir / "learned.new").exists()


def test_a_directory_that_is_gone_costs_only_the_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An I/O error is said and not raised, whichever way."""
    file = LearnedFile(tmp_path / "gone" / "learned.bin")
    file.save(b"x")
    assert "not saved" in caplog.text


def test_a_directory_in_its_place(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is said, and nothing is moved."""
    (legs.state_dir / "learned.bin").mkdir()
    LearnedFile(legs.state_dir / "learned.bin").load_into(legs.analysis())
    assert "cannot be read" in caplog.text
