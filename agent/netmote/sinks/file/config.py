"""Configuration of the file sink."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from netmote.config.section import ByteSize, Duration, Section


class FileConfig(Section):
    """Alerts as JSON lines into a file that is rotated by size, for log shippers and for machines nothing reaches."""

    type: Literal["file"]
    """Which sink this is."""

    name: str = Field(default="file", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    path: Path
    """The file, by its absolute path; its directory is made when it is not there. Under systemd it must lie in a writable directory."""

    format: Literal["cloudevents", "ocsf", "eve", "ecs"] = "cloudevents"
    """What one line is: a CloudEvent whose data is the OCSF finding, the OCSF finding alone, a Suricata EVE alert, or an ECS event.
    Signs of life are written as CloudEvents only: the others have no word for them."""

    sync: Literal["batch", "never"] = "batch"
    """`batch`: a batch is delivered when the disk has it (fdatasync). `never`: when the kernel has it; a power cut can lose some."""

    max_size: ByteSize = Field(default=64_000_000, ge=1_000_000, le=1_000_000_000_000)
    """A file of this size is closed and renamed to `<path>.1`, that one to `<path>.2`, and so on."""

    max_files: int = Field(default=4, ge=1, le=1_000)
    """Files kept, the one being written among them; the oldest is removed. `max_size` times this is the most the sink ever takes."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long the file system may take for one batch."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts written in one go."""

    @field_validator("path")
    @classmethod
    def _path(cls, value: Path) -> Path:
        if not value.is_absolute() or not value.name:
            raise ValueError(f"{str(value)!r} is not an absolute path of a file, such as /var/lib/netmote/alerts.jsonl")
        return value
