"""BGP4-MIB (RFC 4273): a router's peers and their states. It knows peers by IPv4 addresses only."""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final

from netmote.snmp import mib
from netmote.snmp.counters import Instant
from netmote.snmp.details.found import BgpPeer, Found, Gauge
from netmote.snmp.details.rates import CounterRates
from netmote.snmp.details.tables import table
from netmote.snmp.details.values import counter, integer, number, unsigned
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import SnmpSession
from netmote.snmp.walk import Cell, get_cells

_ENTRY = "1.3.6.1.2.1.15.3.1"
_STATE, _ADMIN, _REMOTE_AS, _LAST_ERROR, _TRANSITIONS, _SINCE = (parse_oid(f"{_ENTRY}.{arc}") for arc in (2, 3, 9, 14, 15, 16))
_UPDATES = {name: parse_oid(f"{_ENTRY}.{arc}") for name, arc in {"bgpPeerInUpdates": 10, "bgpPeerOutUpdates": 11}.items()}
STATES: Final[Mapping[int, str]] = {1: "idle", 2: "connect", 3: "active", 4: "opensent", 5: "openconfirm", 6: "established"}
_ESTABLISHED, _START = 6, 2
# Error codes of NOTIFICATION messages (RFC 4271 section 4.5); 0: there was none.
_ERRORS: Final = {
    1: "Message Header Error", 2: "OPEN Message Error", 3: "UPDATE Message Error", 4: "Hold Timer Expired",
    5: "Finite State Machine Error", 6: "Cease",
}  # fmt: skip


class Bgp:
    """States of all peers, how many are established, and updates a second."""

    name = "bgp"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._rates = CounterRates()

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        columns = (_STATE, _ADMIN, _REMOTE_AS, _LAST_ERROR, _TRANSITIONS, _SINCE, *_UPDATES.values())
        walk = await table(session, columns, self._monotonic)
        if not walk.indexes:
            return Found(peers=())
        clock, round_trip = await get_cells(session, [mib.SYS_UP_TIME])
        peers, counts = [], dict[str, tuple[int, int]]()
        for index in walk.indexes:
            address = _address(index)
            state = integer(walk.cells[_STATE].get(index))
            if address is None or state is None or state not in STATES:
                continue
            peers.append(
                BgpPeer(
                    address=address,
                    remote_as=unsigned(walk.cells[_REMOTE_AS].get(index)) or 0,
                    state=STATES[state],
                    is_wanted=integer(walk.cells[_ADMIN].get(index)) == _START,
                    transitions=_count(walk.cells[_TRANSITIONS].get(index)),
                    seconds=unsigned(walk.cells[_SINCE].get(index)),
                    last_error=_error(walk.cells[_LAST_ERROR].get(index)),
                )
            )
            for name, column in _UPDATES.items():
                if (value := counter(walk.cells[column].get(index))) is not None:
                    counts[f"{name}/{address}"] = value
        up_time = number(clock.get(mib.SYS_UP_TIME))
        at = Instant(self._monotonic(), round_trip, None if up_time is None else int(up_time))
        rates = self._rates.observe(counts, at)
        numbers = {word: float(value) for value, word in STATES.items()}
        return Found(
            gauges=[
                Gauge("bgpPeerTable/count", float(len(peers)), "peer"),
                Gauge("bgpPeerTable/established", float(sum(peer.is_established for peer in peers)), "peer"),
                *(Gauge(f"bgpPeerState/{peer.address}", numbers[peer.state], "state", peer.state) for peer in peers),
                *(Gauge(name, rate, "update/s") for name, rate in rates.items()),
            ],
            peers=tuple(peers),
            is_there=True,
        )


def _address(index: tuple[int, ...]) -> str | None:
    """BgpPeerRemoteAddr."""
    if len(index) != 4 or max(index) > 0xFF:
        return None
    return str(ipaddress.IPv4Address(bytes(index)))


def _count(cell: Cell | None) -> int | None:
    value = counter(cell)
    return None if value is None else value[0]


def _error(cell: Cell | None) -> str:
    """BgpPeerLastError: code and subcode."""
    if cell is None or len(cell.value) != 2 or cell.value == b"\0\0":
        return ""
    code, subcode = cell.value
    return f"{_ERRORS.get(code, f'error {code}')}" + (f" ({subcode})" if subcode else "")
