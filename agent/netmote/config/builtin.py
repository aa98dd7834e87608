"""Where the files lie that netmote ships: what the configuration calls `builtin`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


# Where each kind lies in a checkout.
_IN_CHECKOUT = {
    "rules": "config/rules",
    "profiles": "config/profiles",
    "models": "models",
    "netmote.yaml": "config/netmote.yaml",
    "netmote.service": "systemd/netmote.service",
}


def builtin_path(kind: str) -> Path:
    """The shipped `rules`, `profiles` or `models` (directories), `netmote.yaml` or `netmote.service` (files): package data when installed, the
    checkout's own in a checkout.
    """
    installed = _PACKAGE / "builtin" / kind
    return installed if installed.exists() else _PACKAGE.parent.parent / _IN_CHECKOUT[kind]
