"""What was discovered as a fragment of the configuration: text to read, change and put into `conf.d/`. Pure.

Every name is one that the configuration takes, and no two are equal. What an agent calls itself is foreign text: it stands in quotes
or in comments of one line, never as YAML of its own making.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from netmote.snmp.discovery import FoundDevice

_FORBIDDEN: Final = re.compile(r"[^!-~]+|[/:]+")  # sysName is a DisplayString (RFC 3418): ASCII
_LONGEST_NAME: Final = 64
_LONGEST_COMMENT: Final = 100


def device_names(devices: Sequence[FoundDevice]) -> list[str]:
    """A unique name for each: its sysName made fit for one, else its address."""
    names: list[str] = []
    taken: set[str] = set()
    for device in devices:
        name = _FORBIDDEN.sub("-", device.sys_name).strip("-")[: _LONGEST_NAME - 5] or device.address.replace(":", "-")
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(unique)
        names.append(unique)
    return names


def proposal(devices: Sequence[FoundDevice], *, searched: str, settings: Mapping[str, object]) -> str:
    """The fragment. `settings` are keys that every target gets: port, version, community or user, by reference."""
    lines = [
        f"# Found by `netmote discover {_comment(searched)}`: a proposal, nothing reads it yet.",
        "# Look through it, then put it into conf.d/ beside netmote.yaml and reload. `netmote check` says whether it fits.",
    ]
    answered = [device for device in devices if not device.refusal]
    lines += [f"# {device.address} refuses these credentials: {_comment(device.refusal)}" for device in devices if device.refusal]
    if not answered:
        return "\n".join([*lines, "# No device answered.", ""])
    lines += ["snmp:", "  targets:"]
    for name, device in zip(device_names(answered), answered, strict=True):
        lines += [f"    # {_comment(text)}" for text in _remarks(device) if text]
        lines += [f"    - name: {json.dumps(name)}", f"      address: {json.dumps(device.address)}"]
        lines += _mapping(settings, "      ")
    return "\n".join([*lines, ""])


def _remarks(device: FoundDevice) -> list[str]:
    return [
        device.sys_descr,
        f"sysObjectID {device.sys_object_id}" if device.sys_object_id else "",
        f"serial number {device.serial}" if device.serial else "",
        f"the same device answers at {', '.join(device.also_at)}" if device.also_at else "",
    ]


def _mapping(settings: Mapping[str, object], indent: str) -> list[str]:
    lines: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_mapping(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(value)}")
    return lines


def _comment(text: str) -> str:
    """One line without control characters."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _LONGEST_COMMENT else f"{line[: _LONGEST_COMMENT - 3]}..."
