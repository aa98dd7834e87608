"""Configuration of packet capture."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from netmote.capture.bpf_compiler import FilterError, compile_filter
from netmote.config.section import ByteSize, Duration, Section
from netmote.errors import Unavailable

LEAST_EVIDENCE = 100_000


def _off_or_enough(count: Any) -> Any:
    if 0 < count < LEAST_EVIDENCE:
        raise ValueError('write "0B" for none, or at least "100kB"')
    return count


def _compilable(expression: str) -> str:
    if expression.strip():
        try:
            compile_filter(expression)
        except (FilterError, Unavailable) as error:
            raise ValueError(str(error)) from error
    return expression


class CaptureConfig(Section):
    """Which interfaces are metered, and with how much memory."""

    interfaces: tuple[str, ...] = ("auto",)
    """Interface names, or `auto`: every interface that is up and not loopback; members of bridges and bonds left out. Empty: no capture."""

    ring_size: ByteSize = Field(default=8 * 10**6, ge=2**18, le=2**30)
    """Memory of the packet ring of each interface, shared with the kernel; rounded up to whole blocks."""

    ring: Literal["auto", "v3", "v2"] = "auto"
    """How the kernel lays packets out in the ring: TPACKET_V3, or TPACKET_V2, which costs the kernel more and holds fewer. `auto` takes
    v3, and v2 where this kernel refuses it."""

    filter: Annotated[str, AfterValidator(_compilable)] = ""
    """Only packets that this expression wants, as tcpdump takes it (pcap-filter(7)), such as "not port 22"; the others are dropped in the
    kernel and counted nowhere. Empty: all. Needs libpcap. `vlan`, directions and names of hosts are refused; addresses are not."""

    tunnels: tuple[Literal["gre", "ipip", "vxlan", "geneve", "gtpu"], ...] = ()
    """Tunnels whose inner packets are metered in place of the outer ones: `gre` (also ERSPAN and PPTP), `ipip` (IPv4 and IPv6 in either),
    `vxlan`, `geneve`, `gtpu`. What cannot be looked into, such as fragments, stays the outer packet. MPLS and PPPoE are always stepped over."""

    workers: int = Field(default=1, ge=1, le=8)
    """Processes that read and meter each interface, for more packets than one core takes. They share its packets by pairs of addresses,
    so that flows stay whole; each has a ring and a flow table of the sizes given here. 1 is a thread of the agent itself."""

    tee_dir: Path | None = None
    """Also write the captured headers to pcapng files in this directory, one an interface: `netmote replay` of such a file gives the
    vectors of the live run, to the last bit. Unset: none."""

    tee_size: ByteSize = Field(default=100 * 10**6, ge=10**6)
    """Bound on each of these files; what no longer fits is left out and counted."""

    promiscuous: bool = True
    """Ask the interface for frames that are not addressed to this machine, as a mirror port needs."""

    evidence_size: Annotated[ByteSize, AfterValidator(_off_or_enough)] = Field(default=4 * 10**6, ge=0, le=2**26)
    """Memory of recent packet headers kept for each interface, from which evidence of alerts is taken. "0B" keeps none and writes
    none; otherwise at least "100kB"."""

    evidence_file_size: ByteSize = Field(default=10**6, ge=10_000, le=10**8)
    """Bound on the evidence of one alert, in a pcapng file under `<state_dir>/evidence`; what no longer fits is left out and counted."""

    evidence_disk_size: ByteSize = Field(default=50 * 10**6, ge=10**6)
    """Bound on all of these files; the oldest go first."""

    evidence_age: Duration = Field(default=7 * 86400.0, ge=60.0)
    """Evidence older than this is removed."""
