"""A labelled conn.log of Zeek as flow slices: what metering would have made of the same connections, as far as the log tells.

Packets and octets of a connection are spread evenly over the panes it lasted; flags come from `history`. The log knows no gaps between
packets, no sizes and no DNS names: these fields stay 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.records.flow import FLOW_DTYPE, PANE_NS, FlowBatch

_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}
# One connection of hours with a packet a minute is another thing than a hundred attempts an hour, though the log labels both alike.
LONG_SESSION_SECONDS = 3_600.0
KEPT_ALIVE = " kept alive"
_SYN, _FIN, _RST, _ACK = 0x02, 0x01, 0x04, 0x10


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSlices:
    """All slices of a log, sorted by pane and flow; `labels` is "" for benign ones."""

    panes: NDArray[np.int64]  # start of the pane of each slice, ns
    slices: NDArray[np.void]
    labels: NDArray[np.str_]

    def benign(self) -> "LabelledSlices":
        """Without the slices of attacks: the network as it would have been."""
        kept = self.labels == ""
        return LabelledSlices(self.panes[kept], self.slices[kept], self.labels[kept])

    def batches(self, *, interface: str) -> Iterator[FlowBatch]:
        """One batch for every pane from the first to the last, empty ones too."""
        bounds = np.searchsorted(self.panes, np.arange(self.panes[0], self.panes[-1] + 2 * PANE_NS, PANE_NS))
        for index, start in enumerate(range(int(self.panes[0]), int(self.panes[-1]) + PANE_NS, PANE_NS)):
            held = self.slices[bounds[index] : bounds[index + 1]]
            yield FlowBatch(f"capture:{interface}", start, start + PANE_NS, interface, held)

    def label_of(self, start_ns: int, end_ns: int) -> str:
        """The commonest attack among the slices of a window; "" when all are benign."""
        first, last = np.searchsorted(self.panes, (start_ns, end_ns))
        names, counts = np.unique(self.labels[first:last], return_counts=True)
        attacks = [(int(count), str(name)) for name, count in zip(names, counts, strict=True) if name]
        return max(attacks)[1] if attacks else ""


def read_conn_log(path: Path) -> LabelledSlices:
    """Read a tab-separated conn.log whose last column holds `tunnel_parents   label   detailed-label`."""
    parts: list[NDArray[np.void]] = []
    labels: list[str] = []
    for flow_id, row in enumerate(_rows(path), start=1):
        slices = _slices(flow_id, row)
        parts.append(slices)
        labels += [_label(row)] * len(slices)
    slices = np.concatenate(parts)
    panes = slices["flow_start_ns"] // PANE_NS * PANE_NS
    order = np.lexsort((slices["flow_id"], panes))
    return LabelledSlices(panes[order], slices[order], np.array(labels)[order])


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    names: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            cells = [cell for column in line.rstrip("\n").split("\t") for cell in column.split("   ")]
            if cells[0] == "#fields":
                names = cells[1:]
            elif not line.startswith("#"):
                yield dict(zip(names, cells, strict=True))


def _label(row: Mapping[str, str]) -> str:
    if row["label"].lower() != "malicious":
        return ""
    return row["detailed-label"] + (KEPT_ALIVE if _number(row["duration"]) >= LONG_SESSION_SECONDS else "")


def _slices(flow_id: int, row: Mapping[str, str]) -> NDArray[np.void]:
    start = round(float(row["ts"]) * 1e9)
    end = start + round(_number(row["duration"]) * 1e9)
    first, last = start // PANE_NS, end // PANE_NS
    packets = int(_number(row["orig_pkts"])) + int(_number(row["resp_pkts"]))
    count = int(min(last - first + 1, max(packets, 1)))  # no more slices than packets
    panes = first + np.arange(count) * (last - first + 1) // count
    slices = np.zeros(count, FLOW_DTYPE)
    slices["flow_id"] = flow_id
    slices["flow_start_ns"] = np.maximum(panes * PANE_NS, start)
    slices["flow_end_ns"] = np.minimum(panes * PANE_NS + PANE_NS - 1, end)
    source, destination = _address(row["id.orig_h"]), _address(row["id.resp_h"])
    slices["source_address"], slices["destination_address"] = np.void(source), np.void(destination)
    slices["ip_version"] = 4 if ip_address(row["id.orig_h"]).version == 4 else 6
    protocol = slices["protocol_identifier"] = _PROTOCOLS.get(row["proto"], 0)
    if protocol == _PROTOCOLS["icmp"]:
        slices["icmp_type"], slices["icmp_code"] = int(row["id.orig_p"]), int(row["id.resp_p"])
        slices["icmp_unreachable_count"][0] = int(row["id.orig_p"] == "3")
    else:
        slices["source_transport_port"] = int(row["id.orig_p"])
        slices["destination_transport_port"] = int(row["id.resp_p"])
    for column, field in (
        ("orig_pkts", "initiator_packets"),
        ("resp_pkts", "responder_packets"),
        ("orig_ip_bytes", "initiator_octets"),
        ("resp_ip_bytes", "responder_octets"),
    ):
        slices[field] = _spread(int(_number(row[column])), count)
    _flags(slices, row)
    if protocol == _PROTOCOLS["udp"] and row["id.resp_p"] == "53":
        slices["dns_query_count"][0] = 1
        slices["dns_response_count"][-1] = int(_number(row["resp_pkts"]) > 0)
    return slices


def _flags(slices: NDArray[np.void], row: Mapping[str, str]) -> None:
    if row["proto"] != "tcp":
        return
    history = row["history"]
    if "S" in history:
        # Zeek writes S once, however often the SYN was repeated: without any other letter all packets were SYNs.
        is_only_syn = set(history) == {"S"}
        slices["tcp_syn_count"] = slices["initiator_packets"] if is_only_syn else 0
        slices["tcp_syn_count"][0] = max(1, int(slices["tcp_syn_count"][0]))
        slices["initiator_tcp_control_bits"][0] |= _SYN
    if "h" in history:
        slices["responder_tcp_control_bits"][0] |= _SYN | _ACK
    for letter, bit in (("F", _FIN), ("R", _RST)):
        field = "tcp_fin_count" if bit == _FIN else "tcp_rst_count"
        for written, side in ((letter, "initiator"), (letter.lower(), "responder")):
            if written in history:
                slices[field][-1] += 1
                slices[f"{side}_tcp_control_bits"][-1] |= bit


def _spread(total: int, count: int) -> NDArray[np.int64]:
    """`total` cut into `count` nearly equal integers that add up to it, the greater first."""
    return np.diff(-(-total * np.arange(count + 1) // count))


def _number(text: str) -> float:
    return 0.0 if text == "-" else float(text)


def _address(text: str) -> bytes:
    ip = ip_address(text)
    return ip.packed if isinstance(ip, IPv6Address) else b"\x00" * 10 + b"\xff\xff" + ip.packed
