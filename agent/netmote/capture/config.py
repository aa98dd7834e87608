"""Configuration of packet capture."""

from pydantic import Field

from netmote.config.section import ByteSize, Section


class CaptureConfig(Section):
    """Which interfaces are metered, and with how much memory."""

    interfaces: tuple[str, ...] = ("auto",)
    """Interface names, or `auto`: every interface that is up and not loopback; members of bridges and bonds left out. Empty: no capture."""

    ring_size: ByteSize = Field(default=8 * 10**6, ge=2**18, le=2**30)
    """Memory of the packet ring of each interface, shared with the kernel; rounded up to whole blocks."""

    promiscuous: bool = True
    """Ask the interface for frames that are not addressed to this machine, as a mirror port needs."""
