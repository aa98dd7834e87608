"""Where a command finds the state directory, and how it writes there when no daemon runs."""

from pathlib import Path

from netmote.daemon.config import Config, load_config
from netmote.daemon.state_dir import resolve_state_dir


def config_of(path: Path | None) -> Config:
    """The configuration a command was given, else the defaults."""
    return Config() if path is None else load_config(path)


def state_dir_of(config_path: Path | None, option: Path | None) -> Path:
    """The state directory a command means."""
    return resolve_state_dir(option, None if config_path is None else load_config(config_path))
