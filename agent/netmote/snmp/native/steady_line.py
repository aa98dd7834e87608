"""Questions that are asked again and again, hundreds a system call: requests out of a table, answers matched to them all at once.

    seat       a device: its socket address, and the version and community of its messages, or the channel that seals and opens them (v3)
    request    the message of a question, of which only the request-id changes; shared by devices of one community
    place      the asker's own number for one request that is on its way

Owns ids, the table of requests that wait, and what is not believed before the asker sees it. Refuses timeouts, order and meaning. What is
no plain answer (see `plain_messages`) ends its request as `odd`, if it came from whom was asked under the right community.
"""

import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmote.snmp.native.ber import BerError
from netmote.snmp.native.channel import Channel, Verdict
from netmote.snmp.native.envelope import message_id_of
from netmote.snmp.native.many_datagrams import NAME_BYTES, DatagramRows, ManySocket
from netmote.snmp.native.pdu import FIRST_ID, LAST_ID
from netmote.snmp.native.plain_messages import community_messages, responses
from netmote.snmp.native.udp_socket import Address

RECEIVE_BUFFER_BYTES: Final = 8 << 20
MOST_SEATS: Final = 1 << 14
MOST_REQUESTS: Final = 1 << 15  # different ones; memory is used for those that are there
MOST_SENT, MOST_RECEIVED = 256, 256  # datagrams a call
REQUEST_OCTETS: Final = 768
ANSWER_OCTETS: Final = 2_048  # longer answers are odd
_IDS: Final = 1 << 15  # requests that can wait; what is older than so many others is given up
_NOBODY: Final = -1
_HEAD_OCTETS: Final = 144  # of version and community, the longest that a plain message has


class Answers(NamedTuple):
    """What came for requests that waited, each of which has ended. `octets` lives until the next `receive`."""

    octets: NDArray[np.uint8]
    places: NDArray[np.int64]
    begins: NDArray[np.int64]  # of the content of the list of varbinds
    ends: NDArray[np.int64]
    arrived_at: float  # seconds of the asker's clock
    odd: list[int]  # places of requests whose answer is not plain, or is a refusal


class SteadyLine(ABC):
    """One socket of one address family. `close` is safe twice."""

    def __init__(self, family: socket.AddressFamily, *, random: Random, monotonic: Callable[[], float]) -> None:
        """Raises OSError."""
        self._socket = ManySocket(family, receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        self._monotonic = monotonic
        # A row more than is received, so that reading ahead of the last datagram stays within memory.
        self._out, self._in = DatagramRows(MOST_SENT, REQUEST_OCTETS), DatagramRows(MOST_RECEIVED + 1, ANSWER_OCTETS)
        self._octets = self._in.octets.reshape(-1)
        self._row_begins = np.arange(MOST_RECEIVED, dtype=np.int64) * ANSWER_OCTETS
        self._name_mask = np.frombuffer(self._socket.name_mask, "<u8")
        self._names = np.zeros((MOST_SEATS, NAME_BYTES), np.uint8)
        self._free_seats = list(range(MOST_SEATS - 1, -1, -1))
        self._requests = np.zeros((MOST_REQUESTS, REQUEST_OCTETS), np.uint8)
        self._sizes, self._id_places = np.zeros(MOST_REQUESTS, np.int64), np.zeros(MOST_REQUESTS, np.int64)
        self._request_rows: dict[bytes, int] = {}
        self._users: Counter[int] = Counter()
        self._free_requests = list(range(MOST_REQUESTS - 1, -1, -1))
        self._next_id = random.randint(FIRST_ID, LAST_ID - _IDS)
        self._waiting_id, self._waiting_seat = np.zeros(_IDS, np.int64), np.zeros(_IDS, np.int64)
        self._waiting_place = np.full(_IDS, _NOBODY, np.int64)
        self._latest = np.zeros(_IDS, np.int64)
        self._ignored: Counter[str] = Counter()
        self._dropped_when_closed = 0
        self._is_closed = False

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams not believed, and those that were lost on this machine, by reason."""
        lost = self._dropped_when_closed if self._is_closed else self._socket.datagrams_dropped
        return {**self._ignored, "receive_buffer_full": lost} if lost else self._ignored

    @property
    def waiting(self) -> int:
        """Requests that wait for an answer."""
        return int((self._waiting_place != _NOBODY).sum())

    def _sit(self, address: Address) -> int | None:
        if not self._free_seats:
            return None
        seat = self._free_seats.pop()
        self._names[seat] = np.frombuffer(self._socket.name_of(address), np.uint8)
        return seat

    def leave(self, seat: int) -> None:
        """The device is not asked any more; what is still on its way to it comes for nobody."""
        self._end(np.flatnonzero((self._waiting_seat == seat) & (self._waiting_place != _NOBODY)))
        self._free_seats.append(seat)

    def take_request(self, message: bytes, id_at: int) -> int | None:
        """A number for a message whose request-id stands at `id_at`, until `give_back`; None where it is too long, or too many are held."""
        row = self._request_rows.get(message)
        if row is None:
            if not self._free_requests or len(message) > REQUEST_OCTETS:
                return None
            row = self._request_rows[message] = self._free_requests.pop()
            self._requests[row, : len(message)] = np.frombuffer(message, np.uint8)
            self._sizes[row], self._id_places[row] = len(message), id_at
        self._users[row] += 1
        return row

    def give_back(self, request: int) -> None:
        """One user less of a request."""
        self._users[request] -= 1
        if not self._users[request]:
            del self._users[request], self._request_rows[self._requests[request, : self._sizes[request]].tobytes()]
            self._free_requests.append(request)

    def ask(self, seats: NDArray[np.int64], requests: NDArray[np.int64], places: NDArray[np.int64]) -> int:
        """Send as many of at most MOST_SENT requests as can be sent now, in order; returns how many wait for an answer."""
        if self._next_id + len(seats) > LAST_ID:
            self._next_id = FIRST_ID
        ids = np.arange(self._next_id, self._next_id + len(seats))
        written = self._write(seats, requests, ids)
        self._out.names[:written] = self._names[seats[:written]]
        sent = self._socket.send(self._out, 0, written) if written else 0
        self._next_id += sent
        slots = ids[:sent] % _IDS
        given_up = slots[self._waiting_place[slots] != _NOBODY]
        if len(given_up):
            self._ignored["given_up"] += len(given_up)
            self._end(given_up)
        self._waiting_id[slots], self._waiting_seat[slots], self._waiting_place[slots] = ids[:sent], seats[:sent], places[:sent]
        return sent

    @abstractmethod
    def _write(self, seats: NDArray[np.int64], requests: NDArray[np.int64], ids: NDArray[np.int64]) -> int:
        """Write messages into `self._out`; returns how many, from the first on, could be written."""

    @abstractmethod
    def _unwrap(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> "_Unwrapped":
        """What of the datagrams in `self._octets` is a message."""

    @abstractmethod
    def _is_authentic(self, unwrapped: "_Unwrapped", seats: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the messages come from these seats."""

    def _end(self, slots: NDArray[np.int64]) -> None:
        self._waiting_place[slots] = _NOBODY

    def receive(self) -> Answers | None:
        """At most MOST_RECEIVED of the answers that are there; None when there is nothing."""
        count = self._socket.receive(self._in, MOST_RECEIVED)
        if not count:
            return None
        now = self._monotonic()
        begins = self._row_begins[:count]
        ends = begins + self._in.received[:count]
        unwrapped = self._unwrap(begins, ends)
        found = responses(self._octets, unwrapped.pdus, unwrapped.ends)
        is_readable = unwrapped.is_readable & found.has_id & ~self._in.is_cut[:count]
        slots = found.ids % _IDS
        is_awaited = is_readable & (self._waiting_id[slots] == found.ids) & (self._waiting_place[slots] != _NOBODY)
        seats = self._waiting_seat[slots]
        names, sources = self._names[seats].view("<u8"), self._in.names[:count].view("<u8")
        is_from_there = (((names ^ sources) & self._name_mask) == 0).all(axis=1)
        is_believed = is_awaited & is_from_there
        is_believed &= self._is_authentic(unwrapped, seats)
        order = np.arange(count)
        self._latest[slots[is_believed]] = order[is_believed]
        is_twice = is_believed & (self._latest[slots] != order)
        is_believed &= ~is_twice
        if not is_believed.all():
            self._count(is_readable, is_awaited, is_from_there, is_twice, is_believed)
        ended = slots[is_believed]
        places = self._waiting_place[slots]
        self._waiting_place[ended] = _NOBODY
        is_plain = is_believed & found.is_plain
        odd = places[is_believed & ~is_plain].tolist() + unwrapped.refused
        return Answers(self._octets, places[is_plain], found.lists[is_plain], unwrapped.ends[is_plain], now, odd)

    def _count(
        self,
        is_readable: NDArray[np.bool_],
        is_awaited: NDArray[np.bool_],
        is_from_there: NDArray[np.bool_],
        is_twice: NDArray[np.bool_],
        is_believed: NDArray[np.bool_],
    ) -> None:
        for reason, which in (
            ("unreadable", ~is_readable),
            ("late_or_unknown", is_readable & ~is_awaited),
            ("wrong_source", is_awaited & ~is_from_there),
            ("duplicate", is_twice),
            ("wrong_community", is_awaited & is_from_there & ~is_twice & ~is_believed),
        ):
            number = int(which.sum())
            if number:
                self._ignored[reason] += number

    def forget(self, places: NDArray[np.int64]) -> None:
        """Requests that are not waited for any more."""
        self._end(np.flatnonzero(np.isin(self._waiting_place, places)))

    def close(self) -> None:
        if not self._is_closed:
            self._dropped_when_closed = self._socket.datagrams_dropped
            self._is_closed = True
            self._socket.close()


class _Unwrapped(NamedTuple):
    is_readable: NDArray[np.bool_]
    heads: NDArray[np.int64]  # of version and community
    pdus: NDArray[np.int64]
    ends: NDArray[np.int64]
    refused: list[int]  # places of requests that ended without a PDU


class CommunityLine(SteadyLine):
    """Devices of v2c."""

    def __init__(self, family: socket.AddressFamily, *, random: Random, monotonic: Callable[[], float]) -> None:
        super().__init__(family, random=random, monotonic=monotonic)
        self._heads = np.zeros((MOST_SEATS, _HEAD_OCTETS), np.uint8)
        self._head_masks = np.zeros((MOST_SEATS, _HEAD_OCTETS), np.uint8)
        self._words = 1  # of the longest head

    def take_seat(self, address: Address, head: bytes) -> int | None:
        """A number for a device, until `leave`; None when all are taken. `head` is what its messages begin with: version, community."""
        if len(head) > _HEAD_OCTETS or (seat := self._sit(address)) is None:
            return None
        self._heads[seat] = np.frombuffer(head.ljust(_HEAD_OCTETS, b"\0"), np.uint8)
        self._head_masks[seat] = np.frombuffer((b"\xff" * len(head)).ljust(_HEAD_OCTETS, b"\0"), np.uint8)
        self._words = max(self._words, (len(head) + 7) // 8)
        return seat

    def _write(self, seats: NDArray[np.int64], requests: NDArray[np.int64], ids: NDArray[np.int64]) -> int:
        count, out = len(seats), self._out
        out.octets[:count] = self._requests[requests]
        out.sizes[:count] = self._sizes[requests]
        at = (np.arange(count) * REQUEST_OCTETS + self._id_places[requests])[:, None] + np.arange(4)
        out.octets.reshape(-1)[at] = ids.astype(">u4").view(np.uint8).reshape(-1, 4)
        return count

    def _unwrap(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> _Unwrapped:
        plain = community_messages(self._octets, begins, ends)
        return _Unwrapped(plain.is_plain, plain.heads, plain.pdus, ends, [])

    def _is_authentic(self, unwrapped: _Unwrapped, seats: NDArray[np.int64]) -> NDArray[np.bool_]:
        words = np.ndarray((len(self._octets) - 7,), "<u8", self._octets, 0, (1,))
        came = words[unwrapped.heads[:, None] + np.arange(0, 8 * self._words, 8)]
        wanted = self._heads.view("<u8")[seats, : self._words]
        return np.asarray((((came ^ wanted) & self._head_masks.view("<u8")[seats, : self._words]) == 0).all(axis=1))


class SealedLine(SteadyLine):
    """Devices of v3: each message by itself through its device's channel, which verifies it."""

    def __init__(self, family: socket.AddressFamily, *, random: Random, monotonic: Callable[[], float]) -> None:
        super().__init__(family, random=random, monotonic=monotonic)
        self._channels: dict[int, Channel] = {}

    def take_seat(self, address: Address, channel: Channel) -> int | None:
        """A number for a device, until `leave`; None when all are taken. Requests are PDUs, which the channel seals."""
        seat = self._sit(address)
        if seat is not None:
            self._channels[seat] = channel
        return seat

    def leave(self, seat: int) -> None:
        super().leave(seat)
        del self._channels[seat]

    def _end(self, slots: NDArray[np.int64]) -> None:
        for slot in slots.tolist():
            self._channels[int(self._waiting_seat[slot])].forget(int(self._waiting_id[slot]))
        super()._end(slots)

    def _write(self, seats: NDArray[np.int64], requests: NDArray[np.int64], ids: NDArray[np.int64]) -> int:
        out = self._out
        for row, (seat, request, number) in enumerate(zip(seats.tolist(), requests.tolist(), ids.tolist(), strict=True)):
            pdu, at = self._requests[request, : self._sizes[request]].tobytes(), int(self._id_places[request])
            sealed = self._channels[seat].seal(b"".join((pdu[:at], number.to_bytes(4, "big"), pdu[at + 4 :])), number)
            if sealed is None or len(sealed) > REQUEST_OCTETS:  # the channel has to learn first, which is not done here
                return row
            out.octets[row, : len(sealed)] = np.frombuffer(sealed, np.uint8)
            out.sizes[row] = len(sealed)
        return len(seats)

    def _unwrap(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> _Unwrapped:
        """PDUs take the place of the messages that carried them."""
        is_readable, pdu_ends, refused = np.zeros(len(begins), np.bool_), ends.copy(), list[int]()
        for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            datagram = self._octets[begin:end].tobytes()
            try:
                number = message_id_of(datagram)
            except BerError:
                continue
            slot = number % _IDS
            place, seat = int(self._waiting_place[slot]), int(self._waiting_seat[slot])
            if self._waiting_id[slot] != number or place == _NOBODY or not self._came_from(row, seat):
                continue
            opened = self._channels[seat].open(datagram)
            if opened.verdict is Verdict.ANSWER:
                is_readable[row], pdu_ends[row] = True, begin + len(opened.pdu)
                self._octets[begin : begin + len(opened.pdu)] = np.frombuffer(opened.pdu, np.uint8)
            elif opened.verdict is not Verdict.IGNORED:  # refused, or there is something to learn from: not here
                self._end(np.array([slot]))
                refused.append(place)
        return _Unwrapped(is_readable, begins, begins, pdu_ends, refused)

    def _came_from(self, row: int, seat: int) -> bool:
        names, source = self._names[seat].view("<u8"), self._in.names[row].view("<u8")
        return not ((names ^ source) & self._name_mask).any()

    def _is_authentic(self, unwrapped: _Unwrapped, seats: NDArray[np.int64]) -> NDArray[np.bool_]:  # noqa: ARG002 - its channel said so
        return unwrapped.is_readable
