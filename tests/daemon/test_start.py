"""From the command line to the loop: what is wrong is said before anything is opened."""

from pathlib import Path

import pytest

from netmote.daemon.start import run_daemon
from netmote.errors import ConfigError


def test_a_bad_document_opens_nothing(tmp_path: Path) -> None:
    """ConfigError, and no state directory was made."""
    document = tmp_path / "netmote.yaml"
    document.write_text("web: {port: never}")
    with pytest.raises(ConfigError, match=r"web\.port"):
        run_daemon(document, tmp_path / "state", None)
    assert not (tmp_path / "state").exists()


def test_a_bad_log_level_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    """It names the option and what is allowed."""
    with pytest.raises(ConfigError, match=r"--log-level: .*'debug', 'info', 'warning' or 'error'"):
        run_daemon(None, tmp_path / "state", "loud")
