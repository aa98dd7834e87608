"""Configuration of the EVE exporter."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from netmote.config.section import ByteSize, Section


class EveConfig(Section):
    """Flow records as JSON lines, in the shape of Suricata's EVE `flow` events, into a file or a Unix socket."""

    type: Literal["eve"]
    """Which exporter this is."""

    name: str = Field(default="eve", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the exporters."""

    path: Path = Path("eve.json")
    """The file that is written, or the socket; a relative path lies under the state directory."""

    filetype: Literal["regular", "unix_stream", "unix_dgram"] = "regular"
    """regular: a file. unix_stream, unix_dgram: a Unix socket on which somebody listens; words and meaning are Suricata's."""

    max_size: ByteSize = Field(default=100_000_000, ge=1_000_000)
    """A file of this size is closed and renamed to `<path>.1`, that one to `<path>.2`, and so on."""

    max_files: int = Field(default=5, ge=1, le=1_000)
    """Files kept, the one being written among them; the oldest is removed."""

    community_id_seed: int = Field(default=0, ge=0, le=65_535)
    """Seed of the Community ID; the same as that of the other tools on the network."""

    queue_size: int = Field(default=50_000, ge=1_000, le=5_000_000)
    """Flows that wait while the file cannot be written (about 300 bytes each). Full: the oldest are lost, and counted."""
