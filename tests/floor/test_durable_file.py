"""A file is the old one or the new one, never half of either."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from netmote.durable_file import replace_durably


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    """The content is there, nothing lies beside it, and the mode is the one asked for less the umask."""
    path = tmp_path / "state.json"
    for content in (b"one", b"", b"three"):
        replace_durably(path, content, mode=0o600)
        assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_lies_beside_it_lends_neither_mode_nor_target(tmp_path: Path) -> None:
    """A file of an earlier kill, open to all, or a link to elsewhere: the new one is made anew."""
    path, elsewhere = tmp_path / "key", tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    (tmp_path / "key.new").symlink_to(elsewhere)
    replace_durably(path, b"secret", mode=0o600)
    assert (stat.S_IMODE(path.stat().st_mode), path.is_symlink(), elsewhere.read_text()) == (0o600, False, "untouched")


def test_a_disk_without_room_keeps_the_old_file(tmp_path: Path) -> None:
    """The error is raised, the old file stands, nothing lies beside it."""
    path = tmp_path / "state.json"
    replace_durably(path, b"old")
    script = (
        "import resource, signal, sys; from pathlib import Path; from netmote.durable_file import replace_durably\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: replace_durably(Path(sys.argv[1]), b'x' * 100)\n"
        "except OSError: sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 7
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It is the caller's to make."""
    with pytest.raises(FileNotFoundError):
        replace_durably(tmp_path / "nowhere" / "x", b"")


@pytest.mark.root
def test_root_leaves_the_file_to_the_daemons_user(tmp_path: Path) -> None:
    """Owned like the file named."""
    like = tmp_path / "ledger.db"
    like.touch()
    os.chown(like, 12_345, 12_346)
    replace_durably(tmp_path / "mark", b"x", owned_like=like)
    found = (tmp_path / "mark").stat()
    assert (found.st_uid, found.st_gid) == (12_345, 12_346)
