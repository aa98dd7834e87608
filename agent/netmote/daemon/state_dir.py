"""Where state lives: `--state-dir`, else $STATE_DIRECTORY, else `state_dir` of the configuration, else ./var."""

import os
from pathlib import Path

from netmote.daemon.config import Config


def resolve_state_dir(option: Path | None, config: Config | None) -> Path:
    """The directory, not created yet. systemd may name several in $STATE_DIRECTORY, separated by colons: the first is ours."""
    if option is not None:
        return option
    from_systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if from_systemd:
        return Path(from_systemd)
    if config is not None and config.state_dir is not None:
        return config.state_dir
    return Path("var")
