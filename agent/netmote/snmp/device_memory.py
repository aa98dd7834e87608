"""What is kept of polled devices over a restart: their quirks by sysObjectID, who they said they were, and names of ports that their rows
do not tell. A file in the state directory.

It can be learnt anew, so a file that is damaged is put aside and everything begins as at a first start. It is replaced whole or not at
all, carries a checksum, and is bounded: so many devices, and so much of each. Refuses counters (nothing is compared over a restart), what
a person configured, and the question when to write.
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from netmote.durable_file import replace_durably
from netmote.snmp.device_identity import DeviceIdentity
from netmote.snmp.identity import PortMarks
from netmote.snmp.quirks import Quirks
from netmote.snmp.refresh import LONGEST_PERIOD_SECONDS
from netmote.snmp.walk import MAX_VARBINDS

log = logging.getLogger(__name__)

FILE_NAME: Final = "snmp-devices.bin"
MAX_BYTES: Final = 64 * 2**20
MOST_DEVICES: Final = 50_000
MOST_NAMES: Final = 256  # ports of one device whose names are not told by their rows
# Of hardware addresses. Of a device with more none are kept, since the absence of a few of them would prove nothing.
MOST_ADDRESSES: Final = 64
LONGEST_OCTETS: Final = 255  # of a serial number (SnmpAdminString) or an engine id; a cut one would be another one
_MAGIC: Final = b"netmote-snmp-devices-1\n"
_DIGEST_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class RememberedDevice:
    """One device as it was last known."""

    quirks: Quirks = Quirks()
    serial: str = ""
    engine_id: bytes = b""
    addresses: frozenset[str] = frozenset()
    marks: PortMarks = PortMarks()

    @classmethod
    def of(cls, quirks: Quirks, identity: DeviceIdentity, marks: PortMarks) -> "RememberedDevice":
        """What is kept, within its bounds."""
        return cls(
            quirks,
            identity.serial if len(identity.serial) <= LONGEST_OCTETS else "",
            identity.engine_id if len(identity.engine_id) <= LONGEST_OCTETS else b"",
            identity.addresses if len(identity.addresses) <= MOST_ADDRESSES else frozenset(),
            PortMarks(frozenset(sorted(marks.apart)[:MOST_NAMES]), dict(sorted(marks.generations.items())[:MOST_NAMES])),
        )

    @property
    def identity(self) -> DeviceIdentity:
        """Who it was."""
        return DeviceIdentity(self.serial, self.engine_id, self.addresses)


class DeviceMemory:
    """`snmp-devices.bin`: magic, SHA-256 of the body, body (JSON). Blocks: call it in a thread."""

    def __init__(self, path: Path, *, free_space_floor: int = 0) -> None:
        """Not written where it would leave less free space than `free_space_floor`: that room is for alerts."""
        self.path, self._free_space_floor = path, free_space_floor
        self._written: bytes | None = None  # digest of the body on disk, when it is known

    def load(self) -> Mapping[str, RememberedDevice]:
        """Devices by name; none without a sound file, which is then said in the log and put aside."""
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise ValueError(f"is larger than {MAX_BYTES} bytes")
            content = self.path.read_bytes()
            body = content[len(_MAGIC) + _DIGEST_OCTETS :]
            digest = hashlib.sha256(body).digest()
            if content[: len(_MAGIC) + _DIGEST_OCTETS] != _MAGIC + digest:
                raise ValueError("does not have the checksum it was written with")
            devices = {name: _decoded(entry) for name, entry in json.loads(body)["devices"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warning("what was known of devices cannot be read, it is learnt anew: %s", error, extra={"component": "snmp"})
            return {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning(
                "what was known of devices is lost, it is learnt anew: %s: %s %s",
                self.path,
                type(error).__name__,
                error,
                extra={"component": "snmp"},
            )
            self._put_aside()
            return {}
        self._written = digest
        return devices

    def save(self, devices: Mapping[str, RememberedDevice]) -> bool:
        """Replace the file, unless it holds the same already; whether it now does. A full disk costs only this copy."""
        kept = sorted(devices.items())[:MOST_DEVICES]
        # One device at a time: the encoder gives the event loop no turn before it is done.
        entries = (f"{json.dumps(name)}:{json.dumps(_encoded(device), separators=(',', ':'))}" for name, device in kept)
        body = f'{{"devices":{{{",".join(entries)}}}}}'.encode()
        digest = hashlib.sha256(body).digest()
        if digest == self._written:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            status = os.statvfs(self.path.parent)
            if status.f_bavail * status.f_frsize < len(body) + self._free_space_floor:
                raise OSError(errno.ENOSPC, "the room that is left is for alerts")
            replace_durably(self.path, _MAGIC + digest + body)
        except OSError as error:
            log.warning("what is known of devices is not saved: %s", error, extra={"component": "snmp"})
            return False
        self._written = digest
        return True

    def _put_aside(self) -> None:
        try:
            self.path.replace(self.path.with_suffix(".bad"))
        except OSError as error:
            log.warning("%s cannot be put aside: %s", self.path, error, extra={"component": "snmp"})


def _encoded(device: RememberedDevice) -> dict[str, Any]:
    """Only what there is: most devices have no quirk, and no port that is told apart."""
    quirks = device.quirks
    entry: dict[str, Any] = {
        "sys_object_id": quirks.sys_object_id.hex(),
        "has_no_bulk": quirks.has_no_bulk,
        "most_varbinds": quirks.most_varbinds,
        "is_unordered": quirks.is_unordered,
        "refresh_seconds": quirks.refresh_seconds,
        "serial": device.serial,
        "engine_id": device.engine_id.hex(),
        "addresses": sorted(device.addresses),
        "apart": sorted(device.marks.apart),
        "generations": dict(device.marks.generations),
    }
    return {key: value for key, value in entry.items() if value}


def _decoded(entry: Mapping[str, Any]) -> RememberedDevice:
    """Raises ValueError, TypeError, KeyError, AttributeError for what `_encoded` never wrote."""
    most, refresh = entry.get("most_varbinds"), entry.get("refresh_seconds")
    if most is not None and (type(most) is not int or not 1 <= most <= MAX_VARBINDS):
        raise ValueError(f"most_varbinds {most!r}")
    if refresh is not None and (not isinstance(refresh, float | int) or not 0 < refresh <= 2 * LONGEST_PERIOD_SECONDS):
        raise ValueError(f"refresh_seconds {refresh!r}")
    generations = {_text(name): number for name, number in entry.get("generations", {}).items()}
    if any(type(number) is not int or number < 1 for number in generations.values()):
        raise ValueError("generations")
    return RememberedDevice(
        Quirks(
            sys_object_id=bytes.fromhex(entry.get("sys_object_id", "")),
            has_no_bulk=entry.get("has_no_bulk", False) is True,
            most_varbinds=most,
            is_unordered=entry.get("is_unordered", False) is True,
            refresh_seconds=refresh,
        ),
        serial=_text(entry.get("serial", "")),
        engine_id=bytes.fromhex(entry.get("engine_id", "")),
        addresses=frozenset(map(_text, entry.get("addresses", ()))),
        marks=PortMarks(frozenset(map(_text, entry.get("apart", ()))), generations),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
