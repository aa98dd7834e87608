"""Datagrams of all devices of one address family over one socket, each answer to its own question.

    send ─► socket ─► devices ─► socket ─► readable ─► the exchange whose id it names, if it came from whom that one asked
                                                   └─► counted under a reason

Owns ids, the table of exchanges that wait, and what is not believed before a channel sees it. An entry lives from `enter` to
`leave`, which its exchange promises in a `finally`, so nothing stays behind a timeout or a cancellation. Reads are bounded in
number and in time at each wake-up. Refuses timeouts, retries, and what datagrams hold.
"""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Final, Protocol

from netmote.clock import Clock
from netmote.errors import NetmoteError
from netmote.snmp.native.ber import BerError
from netmote.snmp.native.envelope import message_id_of, message_id_of_quote
from netmote.snmp.native.pdu import FIRST_ID, LAST_ID
from netmote.snmp.native.udp_socket import Address, UdpSocket
from netmote.snmp.session import AgentNotListening, NetworkUnreachable

RECEIVE_BUFFER_BYTES: Final = 8 << 20  # the kernel's default holds 200 small answers; this one 5,000 of 1,400 octets
READS_PER_WAKE: Final = 64
SECONDS_PER_WAKE: Final = 0.004  # the loop is never held longer than 10 ms by anyone
SETTLED_IDS: Final = 4_096  # ids remembered after their exchange, so that late is told from never asked


class Exchange(Protocol):
    """A question that waits."""

    address: Address

    def take(self, datagram: bytes) -> bool:
        """A datagram from `address` that names this exchange's id. False: it was answered before."""
        ...

    def came_from(self, source: Address) -> None:
        """A datagram that names this exchange's id came from elsewhere, and was not believed."""
        ...

    def fail(self, error: Exception) -> None:
        """It cannot be answered any more."""
        ...


class Transport:
    """Belongs to the loop it was opened on. `close` is safe twice."""

    def __init__(
        self,
        family: socket.AddressFamily,
        *,
        clock: Clock,
        random: Random,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
    ) -> None:
        """Open the socket and begin to read. Raises OSError."""
        self._clock = clock
        self._socket = UdpSocket(family, receive_buffer_bytes=receive_buffer_bytes)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self._next_id = random.randint(FIRST_ID, LAST_ID)
        self._waiting: dict[int, Exchange] = {}
        self._settled: dict[int, str] = {}  # id -> what a datagram for it would be, oldest first
        self._unreadable: dict[Address, int] = {}  # datagrams without a readable id, of sources that are being asked
        self._asked: Counter[Address] = Counter()  # exchanges that wait, by address
        self._ignored: Counter[str] = Counter()
        self._dropped_when_closed = 0
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Exchanges that wait for an answer."""
        return len(self._waiting)

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams not believed, and those that were lost on this machine, by reason."""
        lost = self._dropped_when_closed if self._is_closed else self._socket.datagrams_dropped
        return {**self._ignored, "receive_buffer_full": lost} if lost else self._ignored

    def enter(self, exchange: Exchange) -> int:
        """An id of its own for an exchange that begins to wait."""
        while True:
            message_id = self._next_id
            self._next_id = FIRST_ID if message_id == LAST_ID else message_id + 1
            if message_id not in self._waiting:
                break
        self._settled.pop(message_id, None)
        self._waiting[message_id] = exchange
        self._asked[exchange.address] += 1
        return message_id

    def leave(self, message_id: int, *, is_answered: bool) -> None:
        """The exchange ended; what still comes for it is a duplicate, or late."""
        exchange = self._waiting.pop(message_id)
        address = exchange.address
        self._asked[address] -= 1
        if not self._asked[address]:
            del self._asked[address]
            self._unreadable.pop(address, None)
        if len(self._settled) >= SETTLED_IDS:
            del self._settled[next(iter(self._settled))]
        self._settled[message_id] = "duplicate" if is_answered else "late"

    def unreadable_from(self, address: Address) -> int:
        """Datagrams from there whose id could not be read, since the first of the exchanges that wait began."""
        return self._unreadable.get(address, 0)

    def send(self, datagram: bytes, address: Address) -> None:
        """Raises NetworkUnreachable when this machine cannot send there."""
        try:
            self._socket.send(datagram, address)
        except BlockingIOError:  # as good as lost on the way: the exchange's own timeout decides
            self._ignored["send_buffer_full"] += 1
        except OSError as error:
            raise NetworkUnreachable(f"cannot send to {address[0]}: {error.strerror or error}") from error

    def close(self) -> None:
        if not self._is_closed:
            self._dropped_when_closed = self._socket.datagrams_dropped
            self._is_closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        until = self._clock.monotonic() + SECONDS_PER_WAKE
        for number in range(READS_PER_WAKE):
            received = self._socket.receive()
            if received is None:
                if not number:  # woken for nothing else
                    self._read_errors()
                return
            self._take(*received)
            if self._is_closed or self._clock.monotonic() >= until:
                return

    def _take(self, datagram: bytes, source: Address) -> None:
        try:
            message_id = message_id_of(datagram)
        except BerError:
            if source in self._asked:
                self._unreadable[source] = self._unreadable.get(source, 0) + 1
            self._ignored["unreadable"] += 1
            return
        exchange = self._waiting.get(message_id)
        if exchange is None:
            self._ignored[self._settled.get(message_id, "unknown_id")] += 1
        elif exchange.address != source:
            self._ignored["wrong_source"] += 1
            exchange.came_from(source)
        else:
            try:
                if not exchange.take(datagram):
                    self._ignored["duplicate"] += 1
            except Exception as error:  # noqa: BLE001 - a bug belongs to the caller that waits, not to the reader of all devices
                exchange.fail(error)

    def _read_errors(self) -> None:
        for _ in range(READS_PER_WAKE):
            returned = self._socket.returned_error()
            if returned is None:
                return
            try:
                exchange = self._waiting.get(message_id_of_quote(returned.quote))
            except BerError:
                exchange = None
            if exchange is None or exchange.address != returned.address:
                self._ignored["icmp_unmatched"] += 1
            else:
                exchange.fail(_returned(returned.address[0], returned.errno))


def _returned(host: str, number: int) -> NetmoteError:
    """What an error for a datagram means. Anybody on the way can forge it; it costs one exchange, never a value."""
    if number == errno.ECONNREFUSED:
        return AgentNotListening(f"{host} is there, and nobody listens on the port (ICMP port unreachable)")
    return NetworkUnreachable(f"{host} cannot be reached: {os.strerror(number)}")
