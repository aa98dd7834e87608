"""The peers that netmote is held against: their commands on a file, and where NFStream lives. A peer that is absent is skipped aloud."""

import shutil
import subprocess
import sys
from pathlib import Path

from report import say

_NFSTREAM = """
import sys
from nfstream import NFStreamer
count = packets = 0
for flow in NFStreamer(source=sys.argv[1], n_dissections=0, statistical_analysis=True, n_meters=1, max_nflows=0):
    count, packets = count + 1, packets + flow.bidirectional_packets
print(packets, count)
"""
_SCAPY = """
import sys
from collections import defaultdict
from scapy.all import IP, IPv6, TCP, UDP, PcapReader
flows = defaultdict(lambda: [0, 0])
count = 0
for packet in PcapReader(sys.argv[1]):
    network = packet.getlayer(IP) or packet.getlayer(IPv6)
    transport = packet.getlayer(TCP) or packet.getlayer(UDP)
    ends = sorted([(network.src, transport.sport), (network.dst, transport.dport)])
    flow = flows[(*ends[0], *ends[1], type(transport).__name__)]
    flow[0] += 1
    flow[1] += packet.wirelen
    count += 1
print(count, len(flows))
"""


def build(source: str, folder: Path) -> Path:
    """A C program of this folder, built into `folder`."""
    program = folder / Path(source).stem
    command = ["gcc", "-O3", "-march=native", "-o", str(program), str(Path(__file__).parent / source)]
    subprocess.run(command, check=True, timeout=60)
    return program


def nfstream_python(directory: str | None) -> str | None:
    """The interpreter of an environment that holds NFStream, which is made where it is not there yet; None without a directory."""
    if not directory:
        say("NFStream is left out: name a directory for its environment with --peers or BENCH_PEERS")
        return None
    python = Path(directory) / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    if subprocess.run([str(python), "-c", "import nfstream"], check=False, capture_output=True).returncode:
        install = [str(python), "-m", "pip", "install", "-q", "nfstream"]
        if subprocess.run(install, check=False).returncode:
            say("NFStream is left out: it could not be installed")
            return None
    return str(python)


def offline(capture: Path, folder: Path, c_loop: Path) -> dict[str, list[str]]:
    """Commands of the fast peers that are here, each of which reads the capture and says nothing that costs."""
    name = str(capture)
    commands = {
        "softflowd": ["softflowd", "-r", name, "-c", "none", "-m", "300000", "-n", "127.0.0.1:9", "-v", "9"],
        "nfpcapd": ["nfpcapd", "-r", name, "-w", str(folder), "-e", "300,30"],
        "argus": ["argus", "-X", "-r", name, "-w", str(folder / "argus.out")],
        "C loop": [str(c_loop), name],
    }
    for peer in ("softflowd", "nfpcapd", "argus"):
        if shutil.which(peer) is None:
            say(f"{peer} is left out: it is not installed")
            del commands[peer]
    return commands


def nfstream(python: str, capture: Path) -> list[str]:
    """NFStream without dissection, with the statistics that netmote has too."""
    return [python, "-c", _NFSTREAM, str(capture)]


def scapy(capture: Path) -> list[str]:
    """A dictionary of flows filled from scapy's reader."""
    return [sys.executable, "-c", _SCAPY, str(capture)]
