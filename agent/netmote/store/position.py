"""Places in the telemetry and the checkpoint that names one."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Position:
    """A batch in the telemetry: that batch and all before it are covered."""

    file_uuid: str
    batch_id: int  # from 1 within the file, never reused; 0 = before the first

    @property
    def generation(self) -> int:
        """The place of the file in the order of files; still known when the file is gone, for its UUID holds it."""
        return generation_of(self.file_uuid)

    @property
    def order(self) -> tuple[int, int]:
        """Sorts positions in the order of commits."""
        return self.generation, self.batch_id


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far analysis has come, committed together with the alerts it made of it."""

    position: Position | None  # None: no telemetry was read yet
    event_time_ns: int
    state: bytes  # of analysis; opaque here


@dataclass(frozen=True, slots=True)
class Gap:
    """Batches that a position promised and the telemetry no longer holds."""

    position: Position
    detected_at_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """A file that was found damaged, and what became of it."""

    file: str
    reason: str
    set_aside_as: str
    recovered_rows: int  # carried over into the new file


def file_uuid(generation: int, entropy: bytes) -> str:
    """UUIDv8 (RFC 9562 section 5.8): 48 bits of generation, 74 bits of the 10 bytes of entropy."""
    if not 0 < generation < 1 << 48 or len(entropy) != 10:
        raise ValueError("a generation has 48 bits, the entropy 10 bytes")
    value = generation << 80 | int.from_bytes(entropy)
    value = value & ~(0xF << 76) | 0x8 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(UUID(int=value))


def generation_of(uuid: str) -> int:
    """The generation inside a file's UUID."""
    return UUID(uuid).int >> 80
