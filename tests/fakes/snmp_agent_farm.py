"""Hundreds of SNMP agents in one process, each at its own loopback address, some of them bad: for benches and load tests.

    python snmp_agent_farm.py COUNT PORT PORTS [BAD [BAD_SHARE]]

Agents answer v2c at 127.1.0.1, 127.1.0.2, ... on PORT, each with PORTS switch ports. Every answer is computed once and then found by its
request; its id and sysUpTime are patched, so that the farm costs a few microseconds an exchange and never holds a client up. BAD names what
is wrong with every fifth (BAD_SHARE 0.2) agent: silent, noise, loop, half (every second answer lost), another_id; or "mixed".
"""

import itertools
import os
import select
import socket
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from snmp_fault_agent import Table, _read, loop

from netmote.snmp import mib
from netmote.snmp.oid import decode_oid, encode_oid

BAD = ("silent", "noise", "loop", "half", "another_id")
_RECEIVE_BUFFER = 1 << 20
_FIRST_TICKS = 0x0100_0000  # of sysUpTime: four octets, today and in a day
_UP_TIME = b"\x06\x08" + mib.SYS_UP_TIME + b"\x43\x04" + _FIRST_TICKS.to_bytes(4, "big")
_SCALAR = 9  # arcs of the system group's objects


def address(number: int) -> str:
    """Of agent `number`, from 0."""
    return f"127.1.{(number + 1) >> 8}.{(number + 1) & 255}"


def switch(ports: int) -> Table:
    """A switch whose counters stand still."""
    table = Table()
    table.objects = {oid: value for oid, value in table.objects.items() if len(oid) == _SCALAR}
    table.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, encode_oid((1, 3, 6, 1, 4, 1, 9, 1, 716)))
    table.put(mib.SYS_NAME, mib.OCTET_STRING, b"sw-access-17")
    table.put(mib.SYS_UP_TIME, mib.TIME_TICKS, _FIRST_TICKS.to_bytes(4, "big"))
    table.put(mib.IF_NUMBER, mib.INTEGER, bytes([ports]))
    for row in range(1, ports + 1):
        for name, column in mib.COLUMN.items():
            match name:
                case "ifName" | "ifDescr" | "ifAlias":
                    tag, value = mib.OCTET_STRING, b"GigabitEthernet1/0/%d" % row
                case "ifType":
                    tag, value = mib.INTEGER, b"\x06"
                case "ifPhysAddress":
                    tag, value = mib.OCTET_STRING, bytes(6)
                case "ifAdminStatus" | "ifOperStatus":
                    tag, value = mib.INTEGER, b"\x01"
                case "ifSpeed":
                    tag, value = mib.GAUGE32, (10**9).to_bytes(4, "big")
                case "ifHighSpeed":
                    tag, value = mib.GAUGE32, b"\x03\xe8"
                case "ifLastChange" | "ifCounterDiscontinuityTime":
                    tag, value = mib.TIME_TICKS, b"\x00"
                case _ if name.startswith("ifHC"):
                    tag, value = mib.COUNTER64, (row * 123_456_789_012).to_bytes(7, "big").lstrip(b"\0") or b"\0"
                    value = value if value[0] < 0x80 else b"\0" + value
                case _:
                    tag, value = mib.COUNTER32, b"\x5a\x01\x02" + bytes([row])
            table.objects[*decode_oid(column), 10_100 + row] = (tag, value)
    table.put(mib.SYS_LOCATION, mib.OCTET_STRING, b"attic")  # sorts what was put
    return table


class Farm:
    """The agents' sockets and the answers that were computed."""

    def __init__(self, count: int, port: int, ports: int, bad: str = "", bad_share: float = 0.2) -> None:
        self._table = switch(ports)
        self._known: dict[tuple[str, bytes, bytes], tuple[bytes, bytes, bool]] = {}
        self._poll = select.epoll()
        self._sockets: dict[int, tuple[socket.socket, str]] = {}
        kinds = itertools.cycle(BAD if bad == "mixed" else [bad])
        every = round(1 / bad_share) if bad else 0
        for number in range(count):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            opened.bind((address(number), port))
            is_bad = every and number % every == every - 1
            self._sockets[opened.fileno()] = (opened, next(kinds) if is_bad else "")
            self._poll.register(opened.fileno(), select.EPOLLIN)
        self._toggle = itertools.count()

    def run(self) -> None:
        """Answer until killed."""
        while True:
            for number, _ in self._poll.poll():
                opened, kind = self._sockets[number]
                for _ in range(16):
                    try:
                        request, source = opened.recvfrom(65_535)
                    except BlockingIOError:
                        break
                    self._answer(opened, kind, request, source)

    def _answer(self, opened: socket.socket, kind: str, request: bytes, source: tuple[str, int]) -> None:
        if kind == "silent" or (kind == "half" and next(self._toggle) % 2):
            return
        if kind == "noise":
            opened.sendto(os.urandom(200), source)
            return
        at = _id_at(request)
        size = request[at - 1]
        wanted = request[at : at + size]
        key = (kind if kind == "loop" else "", request[:at], request[at + size :])
        found = self._known.get(key)
        if found is None:
            asked = _read(request, 0)
            answer = self._table.truth(asked, partial(loop, self._table) if kind == "loop" else None).octets()
            id_at = _id_at(answer)
            tail = answer[id_at + answer[id_at - 1] :]
            found = self._known[key] = (answer[:id_at], tail, _UP_TIME in tail)
        if kind == "another_id":
            wanted = bytes([wanted[0], *(octet ^ 1 for octet in wanted[1:])])
        head, tail, after = found  # of an id as long: its length is in the key
        ticks = _FIRST_TICKS + int(time.monotonic() * 100) % _FIRST_TICKS
        moved = tail.replace(_UP_TIME, _UP_TIME[:-4] + ticks.to_bytes(4, "big"), 1) if after else tail
        opened.sendto(head + wanted + moved, source)


def _id_at(message: bytes) -> int:
    """Where the content of a v2c message's request-id begins."""
    at = 2 + (message[1] & 0x7F if message[1] > 0x7F else 0)  # into the message
    at += 3  # behind the version
    at += 2 + message[at + 1]  # behind the community
    at += 2 + (message[at + 1] & 0x7F if message[at + 1] > 0x7F else 0)  # into the PDU
    return at + 2


if __name__ == "__main__":
    count, port, ports = map(int, sys.argv[1:4])
    farm = Farm(count, port, ports, sys.argv[4] if len(sys.argv) > 4 else "", float(sys.argv[5]) if len(sys.argv) > 5 else 0.2)
    print("ready", flush=True)
    farm.run()
