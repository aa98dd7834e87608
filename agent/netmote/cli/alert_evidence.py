"""The packets behind an alert, for people: where their file is, what it holds, a copy, or one line a packet.

Scapy dissects. It is a development dependency: only this command imports it, and only when asked.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.capture.pcap_file import CaptureFile
from netmote.cli.format import size, time_text
from netmote.errors import Permanent

NO_SCAPY = "--dissect needs scapy, which is not installed: pip install scapy, or read the file with tshark -r or Wireshark"


def _require(path: Path) -> None:
    """Raises Permanent saying why there may be no evidence."""
    if not path.exists():
        raise Permanent(
            f"no packets are kept of this alert ({path} does not exist): none of them was captured here, capture.evidence_size is 0B, "
            "or they were removed by age or size"
        )


def copy_evidence(path: Path, output: Path) -> None:
    """Write a copy. Raises Permanent when there is no evidence, or it cannot be written there."""
    _require(path)
    try:
        shutil.copyfile(path, output)
    except (OSError, shutil.SameFileError) as error:
        raise Permanent(f"{output} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def described(path: Path, alert_id: str, *, as_json: bool) -> list[str]:
    """What the file holds. Raises Permanent when there is none, or it is no capture."""
    _require(path)
    packets, times = 0, []
    with CaptureFile(path) as blocks:
        for block in blocks:
            packets += block.received
            times += [each for part in (block.timestamp_ns, block.undecodable_timestamp_ns) if part.size for each in _ends(part)]
        interfaces, damage = blocks.interfaces, blocks.damage
    record = {
        "alert_id": alert_id,
        "path": str(path),
        "octets": path.stat().st_size,
        "packets": packets,
        "interfaces": interfaces,
        "first": time_text(min(times)) if times else None,
        "last": time_text(max(times)) if times else None,
        "damage": damage or None,
    }
    if as_json:
        return [json.dumps(record)]
    lines = [str(path), f"{packets:,} packets of {', '.join(interfaces)}, headers only, {size(path.stat().st_size)}"]
    if times:
        lines.append(f"{record['first']} to {record['last']}")
    return lines + ([f"damaged: {damage}"] if damage else [])


def _ends(times: NDArray[np.int64]) -> tuple[int, int]:
    return int(times.min()), int(times.max())


def dissected(path: Path, *, limit: int) -> Iterator[str]:
    """One line a packet, at most `limit`, and how many more there are. Raises Permanent without scapy or evidence."""
    _require(path)
    try:
        from scapy.layers import dns, inet, inet6, l2, sctp  # noqa: F401 - importing a layer makes it known to the reader
        from scapy.utils import PcapNgReader
    except ImportError:
        raise Permanent(NO_SCAPY) from None
    with PcapNgReader(str(path)) as reader:
        packets = iter(reader)
        for packet in islice(packets, limit):
            said = f"{time_text(round(float(packet.time) * 1e9))} {packet.summary()}"
            # What a packet says of itself is not ours: no control characters reach the terminal.
            yield "".join(c if c.isprintable() else "?" for c in said)
        more = sum(1 for _ in packets)
    if more:
        yield f"... and {more:,} more; --limit shows them"
