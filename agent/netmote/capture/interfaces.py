"""Which interfaces are observed: the word `auto` against what the kernel lists in /sys/class/net."""

from collections.abc import Sequence
from pathlib import Path

AUTO = "auto"
_SYS_CLASS_NET = Path("/sys/class/net")
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8  # linux/if.h


def select_interfaces(names: Sequence[str], *, sys_class_net: Path = _SYS_CLASS_NET) -> tuple[str, ...]:
    """The names as written, each once, `auto` replaced by every interface that is up and not loopback, in the order of names.

    A member of a bridge or a bond is left out of `auto`: its packets are seen on the bridge or bond.
    """
    chosen: dict[str, None] = {}
    for name in names:
        for interface in _automatic(sys_class_net) if name == AUTO else (name,):
            chosen[interface] = None
    return tuple(chosen)


def _automatic(sys_class_net: Path) -> list[str]:
    if not sys_class_net.is_dir():
        return []
    return sorted(entry.name for entry in sys_class_net.iterdir() if _is_automatic(entry))


def _is_automatic(entry: Path) -> bool:
    try:
        flags = int((entry / "flags").read_text(), 16)
    except (OSError, ValueError):  # it vanished just now, or is no interface (bonding_masters)
        return False
    master = entry / "master"
    is_member = (master / "bridge").is_dir() or (master / "bonding").is_dir()
    return bool(flags & _IFF_UP) and not flags & _IFF_LOOPBACK and not is_member
