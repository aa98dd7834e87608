"""Seats on the lines of the native back end: one line a family and kind of message, opened at first use."""

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from netmote.snmp.native.channel import Channel
from netmote.snmp.native.community_channel import CommunityChannel
from netmote.snmp.native.pdu import FIRST_ID, GET_BULK_REQUEST, build_request
from netmote.snmp.native.steady_line import CommunityLine, SealedLine, SteadyLine
from netmote.snmp.native.udp_socket import Address
from netmote.snmp.session import Question


@dataclass(slots=True, eq=False)
class NativeSeat:
    """One device on a line. `leave` is safe twice."""

    line: SteadyLine
    number: int
    head: bytes | None  # what its messages begin with; None: its channel writes them
    _is_left: bool = False

    def take_request(self, question: Question) -> int | None:
        """A number for a question, until `give_back`; None where it is too long, or too many are held."""
        oids = (*question.non_repeaters, *question.columns)
        template = build_request(GET_BULK_REQUEST, oids, len(question.non_repeaters), question.max_repetitions)
        message = template.pdu(FIRST_ID)
        if self.head is not None:
            message = CommunityChannel.wrap(self.head, message)
        return self.line.take_request(message, len(message) - len(template.tail) - 4)

    def give_back(self, request: int) -> None:
        """One user less of a question."""
        self.line.give_back(request)

    def leave(self) -> None:
        """The device is not asked here any more."""
        if not self._is_left:
            self._is_left = True
            self.line.leave(self.number)


class SteadyLines:
    """All lines of a back end."""

    def __init__(self, *, random: Random, monotonic: Callable[[], float]) -> None:
        self._random, self._monotonic = random, monotonic
        self._lines: dict[tuple[socket.AddressFamily, bool], SteadyLine] = {}
        self._ignored: Counter[str] = Counter()  # of lines that are closed

    def seat(self, family: socket.AddressFamily, address: Address, channel: Channel) -> NativeSeat | None:
        """A seat for a device of v2c or v3; None when all are taken, or this machine gives no socket."""
        is_plain = isinstance(channel, CommunityChannel)
        line = self._lines.get((family, is_plain))
        if line is None:
            kind = CommunityLine if is_plain else SealedLine
            try:
                line = self._lines[family, is_plain] = kind(family, random=self._random, monotonic=self._monotonic)
            except OSError:
                return None  # the device goes on as before, by a socket that is there
        number, head = None, None
        if isinstance(line, CommunityLine) and isinstance(channel, CommunityChannel):
            head = channel.head
            number = line.take_seat(address, head)
        elif isinstance(line, SealedLine):
            number = line.take_seat(address, channel)
        return None if number is None else NativeSeat(line, number, head)

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams not believed, by reason."""
        total = Counter(self._ignored)
        for line in self._lines.values():
            total.update(line.ignored)
        return total

    def close(self) -> None:
        """Safe twice."""
        for line in self._lines.values():
            line.close()
            self._ignored.update(line.ignored)
        self._lines.clear()
