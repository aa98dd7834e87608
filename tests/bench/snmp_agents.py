"""Agents for benches: the C program of this folder built and run with images of switches, on a processor of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from snmp_agent_farm import switch

from netmote.snmp import mib
from netmote.snmp.credentials import UsmUser
from netmote.snmp.oid import encode_oid

IMAGES = 16  # kinds of switches: as many, so that hardly two answers in a heap have their values in the same places
USER = UsmUser("farm", "sha", "aes128", "authpass123", "privpass123")
LARGEST = 1_472  # octets of an answer that is not fragmented


def images(ports: int, count: int = IMAGES) -> str:
    """Switches whose counters are of all lengths that counters have, as the program reads them."""
    random, lines = Random(7), []
    counters = {mib.COLUMN[name] for source in mib.COUNTER_SOURCES for name in source if name}
    for _ in range(count):
        table = switch(ports)
        lines.append("image")
        for oid, (tag, value) in sorted(table.objects.items()):
            octets = encode_oid(oid)
            if octets[:-2] in counters or octets[:-1] in counters:
                length = random.choice((1, 2, 3, 4, 4) if tag == mib.COUNTER32 else (1, 3, 4, 5, 6, 6, 7))
                number = random.randrange(1 << 8 * length - 3) | 1 << 8 * length - 8
                lines.append(f"{octets.hex()} {tag:02x} {number.to_bytes(length, 'big').hex()}")
            else:
                lines.append(f"{octets.hex()} {tag:02x} {value.hex()}")
    return "\n".join(lines) + "\n"


def build(folder: Path) -> Path:
    """The program, built into `folder`."""
    program = folder / "snmp_agents"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-O2", "-o", str(program), str(source), "-lcrypto"], check=True, timeout=60)
    return program


@contextlib.contextmanager
def agents(program: Path, count: int, port: int, ports: int, *, processor: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """So many agents, at the addresses of `snmp_agent_farm.address`, until the end of the context."""
    image = program.parent / "images.txt"
    image.write_text(images(ports))
    command = [str(program), str(count), str(port), str(image), str(LARGEST)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {max(range(os.cpu_count() or 1)) if processor is None else processor})
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
