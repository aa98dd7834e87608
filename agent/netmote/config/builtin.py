"""Where the files lie that netmote ships: what the configuration calls `builtin`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def builtin_path(kind: str) -> Path:
    """Directory of the shipped `rules` or `models`: package data when installed, the checkout's own folders in a checkout."""
    installed = _PACKAGE / "builtin" / kind
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent.parent
    return checkout / ("config/rules" if kind == "rules" else kind)
