"""What a record, a window or an alert is about: a stable name, never an index that may change."""

from enum import StrEnum
from typing import NamedTuple


class EntityKind(StrEnum):
    """The four things netmote watches."""

    SENSOR = "sensor"
    DEVICE = "device"
    INTERFACE = "interface"
    HOST = "host"


class Entity(NamedTuple):
    """One watched thing. Sorts by kind and name, which is the canonical order of every computation.

    Names: sensor `<sensor>`; device `<configured name>`; interface `<device or sensor>/<ifName>`; host: the address.
    """

    kind: EntityKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Entity":
        """Inverse of `str`. Raises ValueError naming the allowed kinds."""
        kind, separator, name = text.partition(":")
        if not separator or not name or kind not in EntityKind.__members__.values():
            raise ValueError(f"{text!r} is not an entity: expected <kind>:<name>, kind one of {', '.join(EntityKind)}")
        return cls(EntityKind(kind), name)

    @property
    def owner(self) -> "Entity | None":
        """The device or sensor an interface belongs to, as a device entity; None for everything else."""
        if self.kind is not EntityKind.INTERFACE or "/" not in self.name:
            return None
        return Entity(EntityKind.DEVICE, self.name.partition("/")[0])
