"""Connections as a conn.log of Zeek tells them, and what its rules would make of ours.

Where Zeek's rule for a connection is another than ours for a flow, it is undone here, by name: `as_sent`, `last_of_zeek`, and a
`conn_state` only where the opening was seen. Start times are not read: Zeek strikes them out of the logs its tests expect.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from netmote.records.flow import TCP_FIN, TCP_RST, TCP_SYN

TCP, UDP = 6, 17
# Logs of scripts.base.frameworks.logging.* that name their columns otherwise.
_RENAMED = {"src": "orig_h", "src_ip": "orig_h", "dst": "resp_h", "dst_ip": "resp_h", "src_port": "orig_p", "dst_port": "resp_p"}
_LETTERS = {"SYN": "SHQ", "FIN": "FIQ", "RST": "RI"}
_NOTHING: frozenset[str] = frozenset()
Endpoint = tuple[str, int]
Key = tuple[int, Endpoint, Endpoint]


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection or flow. Pairs are (originator, responder); octets are those of IP packets, headers included."""

    protocol: int
    origin: Endpoint  # address and port; only TCP and UDP have ports here: for ICMP Zeek writes type and code
    responder: Endpoint
    packets: tuple[int, int]
    octets: tuple[int, int]
    duration_us: int
    flags: tuple[frozenset[str], frozenset[str]] = (_NOTHING, _NOTHING)  # SYN, FIN and RST each side sent; empty but for TCP
    state: str = ""  # `conn_state`, for TCP whose opening was seen: else Zeek guesses from sequence numbers
    history: str = ""  # of Zeek only
    is_tunnelled: bool = False  # of Zeek only: found inside another connection

    @property
    def key(self) -> Key:
        """Protocol and unordered endpoints."""
        return self.protocol, *sorted((self.origin, self.responder))  # type: ignore[return-value]

    def as_sent(self) -> "Connection":
        """With the originator we would name.

        Zeek turns a connection round when its first packet comes from a likely server's port (^ in `history`); otherwise the first
        packet's sender is the originator, even of a SYN with ACK (H). We turn round for a SYN with ACK, and for nothing else.
        """
        is_turned, first = self.history.startswith("^"), self.history.lstrip("^")[:1]
        if is_turned == (first in ("h", "H")):
            return self
        return replace(
            self,
            origin=self.responder,
            responder=self.origin,
            packets=self.packets[::-1],
            octets=self.octets[::-1],
            flags=self.flags[::-1],
            state="",
        )


def read_conn_log(path: Path) -> list[Connection]:
    """Every connection of a tab-separated log. A value that is not there reads as zero or as nothing."""
    names: list[str] = []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if cells[0] == "#fields":
            names = [_RENAMED.get(name, name.replace("id.", "").replace("id_", "")) for name in cells[1:]]
        elif not line.startswith("#"):
            found.append(_connection(dict(zip(names, cells, strict=True))))
    return found


def _connection(row: dict[str, str]) -> Connection:
    row = {name: "" if value in ("-", "(empty)") else value for name, value in row.items()}
    protocol = int(row["ip_proto"])
    origin_port, responder_port = (int(row["orig_p"]), int(row["resp_p"])) if protocol in (TCP, UDP) else (0, 0)
    history = row["history"]
    flags = tuple(
        frozenset(name for name, letters in _LETTERS.items() if set(case(letters)) & set(history))
        if protocol == TCP
        else _NOTHING
        for case in (str.upper, str.lower)
    )
    return Connection(
        protocol,
        (row["orig_h"], origin_port),
        (row["resp_h"], responder_port),
        (int(row["orig_pkts"] or 0), int(row["resp_pkts"] or 0)),
        (int(row["orig_ip_bytes"] or 0), int(row["resp_ip_bytes"] or 0)),
        round(float(row["duration"] or 0) * 1e6),
        (flags[0], flags[1]),
        row["conn_state"] if protocol == TCP and "S" in history else "",
        history,
        bool(row["tunnel_parents"]),
    )


def flags_of(bits: int) -> frozenset[str]:
    """The names of the TCP control bits that end or begin a connection."""
    return frozenset(name for name, bit in (("SYN", TCP_SYN), ("FIN", TCP_FIN), ("RST", TCP_RST)) if bits & bit)


def last_of_zeek(packets: Iterable[tuple[int, Endpoint, int]]) -> int:
    """When Zeek says a TCP connection ended: packets after both sides have closed (FIN or RST) are not part of its duration.

    `packets` are time, sender and control bits, in order. (conn/main.zeek: "For 3-way or 4-way connection tear-downs, this will not
    include the final ACK.")
    """
    closed: set[Endpoint] = set()
    last = 0
    for time, sender, bits in packets:
        if len(closed) < 2:
            last = time
        if bits & (TCP_FIN | TCP_RST):
            closed.add(sender)
    return last
