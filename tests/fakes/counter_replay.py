"""A router's recorded counters served as a live SNMP agent, at whatever pace its clock moves.

The recording is rows of `t,ifname,in_octets,...`, all ports at each instant. Between two instants counters stand still, so a poll at
an instant reads exactly what was recorded. The agent tells nothing that the recording does not: every port is up, always.
"""

import csv
import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from snmp_fault_agent import Request, Sent, Table

from netmote.snmp import mib
from netmote.snmp.oid import decode_oid, encode_arcs

# The counters of the recording, as the objects of IF-MIB that hold them.
COLUMNS = {
    "in_octets": ("ifHCInOctets", mib.COUNTER64),
    "out_octets": ("ifHCOutOctets", mib.COUNTER64),
    "in_pkts": ("ifHCInUcastPkts", mib.COUNTER64),
    "out_pkts": ("ifHCOutUcastPkts", mib.COUNTER64),
    "mcast_in": ("ifHCInMulticastPkts", mib.COUNTER64),
    "bcast_in": ("ifHCInBroadcastPkts", mib.COUNTER64),
    "in_err": ("ifInErrors", mib.COUNTER32),
    "out_err": ("ifOutErrors", mib.COUNTER32),
    "in_drop": ("ifInDiscards", mib.COUNTER32),
    "out_drop": ("ifOutDiscards", mib.COUNTER32),
}
_UP_SECONDS = 5_000_000  # at the first instant
_ONE_INSTANT = 1.0  # the recorder's rows of one reading lie milliseconds apart
_HUNDRED_GIGABIT = 100_000


@dataclass(frozen=True)
class Instant:
    """All ports at one instant: name -> counter -> value. A counter the recording leaves empty is not there."""

    time: float  # seconds since 1970
    ports: dict[str, dict[str, int]]


def read_recording(path: Path) -> list[Instant]:
    """Every instant, in order; a port that an instant leaves out is as it was."""
    with gzip.open(path, "rt", newline="") as stream:
        rows = [
            (float(row["t"]), row["ifname"], {name: int(row[name]) for name in COLUMNS if row[name]})
            for row in csv.DictReader(stream)
        ]
    instants: list[Instant] = []
    began, known = float("-inf"), {}
    for time, name, counters in sorted(rows, key=lambda each: each[0]):
        is_same = time - began < _ONE_INSTANT
        known = {**known, name: counters}
        if is_same:
            instants[-1] = Instant(time, known)
        else:
            began = time
            instants.append(Instant(time, known))
    return instants


def unsigned(value: int, *, bits: int = 64) -> bytes:
    value %= 1 << bits
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


class CounterReplay:
    """The behaviour of a `FaultAgent` that has nothing but the truth to tell: that of the recording at `now()` (seconds since 1970)."""

    def __init__(self, instants: list[Instant], now: Callable[[], float]) -> None:
        self._instants, self._now = instants, now
        self._index = {name: row for row, name in enumerate(sorted(instants[-1].ports, key=_natural), start=1)}
        self._shown = -1

    def fill(self, table: Table) -> Self:
        """Put the objects that never change."""
        table.objects.clear()
        table.put(mib.SYS_DESCR, mib.OCTET_STRING, b"a recording of a router")
        table.put(mib.SYS_NAME, mib.OCTET_STRING, b"replayed")
        table.put(mib.IF_NUMBER, mib.INTEGER, unsigned(len(self._index)))
        for name, index in self._index.items():
            for column, tag, value in (
                ("ifDescr", mib.OCTET_STRING, name.encode()),
                ("ifName", mib.OCTET_STRING, name.encode()),
                ("ifType", mib.INTEGER, b"\x06"),
                ("ifSpeed", mib.GAUGE32, unsigned(2**32 - 1)),
                ("ifHighSpeed", mib.GAUGE32, unsigned(_HUNDRED_GIGABIT)),
                ("ifAdminStatus", mib.INTEGER, b"\x01"),
                ("ifOperStatus", mib.INTEGER, b"\x01"),
            ):
                table.put(mib.COLUMN[column] + encode_arcs([index]), tag, value)
        self._show(table)
        return self

    def __call__(self, table: Table, request: Request) -> Iterable[Sent]:
        self._show(table)
        return [Sent(table.truth(request).octets())]

    def _show(self, table: Table) -> None:
        """The clock and the counters as they are now."""
        now = self._now()
        ticks = round((now - self._instants[0].time + _UP_SECONDS) * 100)
        table.put(mib.SYS_UP_TIME, mib.TIME_TICKS, unsigned(ticks, bits=32))
        shown = self._shown
        while shown + 1 < len(self._instants) and self._instants[shown + 1].time <= now + 0.001:
            shown += 1
        if shown == self._shown:
            return
        self._shown = shown
        for name, counters in self._instants[shown].ports.items():
            for counter, value in counters.items():
                column, tag = COLUMNS[counter]
                bits = 64 if tag == mib.COUNTER64 else 32
                key = (*decode_oid(mib.COLUMN[column]), self._index[name])
                if key in table.objects:
                    table.objects[key] = (tag, unsigned(value, bits=bits))
                else:
                    table.put(mib.COLUMN[column] + encode_arcs([self._index[name]]), tag, unsigned(value, bits=bits))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.replace("/", " ").split()]
