"""Configuration of packet capture."""

from pathlib import Path

from pydantic import Field

from netmote.config.section import ByteSize, Section


class CaptureConfig(Section):
    """Which interfaces are metered, and with how much memory."""

    interfaces: tuple[str, ...] = ("auto",)
    """Interface names, or `auto`: every interface that is up and not loopback; members of bridges and bonds left out. Empty: no capture."""

    ring_size: ByteSize = Field(default=8 * 10**6, ge=2**18, le=2**30)
    """Memory of the packet ring of each interface, shared with the kernel; rounded up to whole blocks."""

    tee_dir: Path | None = None
    """Also write the captured headers to pcapng files in this directory, one an interface: `netmote replay` of such a file gives the
    vectors of the live run, to the last bit. Unset: none."""

    tee_size: ByteSize = Field(default=100 * 10**6, ge=10**6)
    """Bound on each of these files; what no longer fits is left out and counted."""

    promiscuous: bool = True
    """Ask the interface for frames that are not addressed to this machine, as a mirror port needs."""
