"""A line in memory, as `snmp.seat` has it: devices of `snmp_scripted` answer what is asked together, when the test says so."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.clock import Clock
from netmote.errors import NetmoteError
from netmote.snmp.native.varbinds import encode_varbinds
from netmote.snmp.session import Question

_ROW = 2_048


@dataclass(frozen=True, slots=True, eq=False)
class ScriptedAnswers:
    """Implements seat.Heard."""

    octets: NDArray[np.uint8]
    places: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    arrived_at: float
    odd: list[int]


class ScriptedLine:
    """Implements seat.Line. Answers come with the next `receive`, unless the device is silent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.devices: dict[int, ScriptedDevice] = {}
        self.questions: list[Question] = []
        self.waiting: dict[int, tuple[ScriptedDevice, Question]] = {}  # by place
        self.users: dict[int, int] = {}  # of questions
        self.most = 1_000  # requests that can be sent at once

    def ask(self, seats: NDArray[np.int64], requests: NDArray[np.int64], places: NDArray[np.int64]) -> int:
        sent = list(zip(seats.tolist(), requests.tolist(), places.tolist(), strict=True))[: self.most]
        for seat, request, place in sent:
            assert place not in self.waiting
            self.waiting[place] = self.devices[seat], self.questions[request]
        return len(sent)

    def receive(self) -> ScriptedAnswers | None:
        answered = {place: asked for place, asked in self.waiting.items() if not asked[0].is_silent}
        if not answered:
            return None
        contents, odd = list[tuple[int, bytes]](), list[int]()
        for place, (device, question) in answered.items():
            del self.waiting[place]
            try:
                reply = device.bulk(*question)
            except NetmoteError:
                odd.append(place)
                continue
            if reply.error_status:
                odd.append(place)
            else:
                octets = encode_varbinds(reply.varbinds)
                contents.append((place, octets[2 + (octets[1] & 0x7F if octets[1] > 0x7F else 0) :]))
        rows = np.zeros((len(contents) + 1, _ROW), np.uint8)
        for row, (_, content) in zip(rows, contents, strict=False):
            row[16 : 16 + len(content)] = np.frombuffer(content, np.uint8)
        begins = np.arange(len(contents), dtype=np.int64) * _ROW + 16
        sizes = np.array([len(content) for _, content in contents], np.int64)
        places = np.array([place for place, _ in contents], np.int64)
        return ScriptedAnswers(rows.reshape(-1), places, begins, begins + sizes, self._clock.monotonic(), odd)

    def forget(self, places: NDArray[np.int64]) -> None:
        for place in places.tolist():
            self.waiting.pop(place, None)


@dataclass(slots=True, eq=False)
class ScriptedSeat:
    """Implements seat.Seat."""

    line: ScriptedLine
    number: int
    is_left: bool = field(default=False)

    @classmethod
    def of(cls, line: ScriptedLine, device: ScriptedDevice) -> "ScriptedSeat":
        number = len(line.devices)
        line.devices[number] = device
        return cls(line, number)

    def take_request(self, question: Question) -> int | None:
        if question not in self.line.questions:
            self.line.questions.append(question)
        request = self.line.questions.index(question)
        self.line.users[request] = self.line.users.get(request, 0) + 1
        return request

    def give_back(self, request: int) -> None:
        self.line.users[request] -= 1

    def leave(self) -> None:
        self.is_left = True


class SeatedSession(ScriptedSession):
    """A session with a seat to offer. Implements seat.OffersSeat."""

    def __init__(self, device: ScriptedDevice, line: ScriptedLine) -> None:
        super().__init__(device)
        self._line = line

    def take_seat(self) -> ScriptedSeat:
        return ScriptedSeat.of(self._line, self.device)
