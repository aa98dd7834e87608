"""Many devices polled together, for as long as each answers as it did: no task, no future and no object of Python an answer.

    a device's own poll ─► board ─► due ─► questions, a few at a time ─► answers ─► settled together: differences, records
                            ▲                                                │
                            └──────────── its own poll again ◄── alight ◄────┘ anything that is not as it was

Owns when passengers are asked, what is in flight for them, and how an answer counts as steady. Refuses every doubt: an answer that is
missing, refused, of other names or types, a restart, a clock that jumped, a name that is due to be read again: that device alights, and its
own poll (`target`) asks it with care, at once. Departures lie on a grid that divides the shortest
interval, so that devices which are due at about the same time travel together, always at the same distance from poll to poll.
"""

import asyncio
import heapq
import itertools
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netmote.clock import Clock
from netmote.records.fact import Fact
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, OperStatus
from netmote.snmp.growth import Growth, grown, line_rates
from netmote.snmp.history import DeviceHistory
from netmote.snmp.paced_session import HOLD_SECONDS, SendWindow
from netmote.snmp.passenger import Alighted, Passenger, Ridden
from netmote.snmp.reading import DeviceReading, SteadyRows
from netmote.snmp.seat import Heard, Line, Seat
from netmote.snmp.steady_answers import MOST_VARBINDS, Names, forms_of
from netmote.snmp.steady_questions import MOST_OCTETS, Cells, cells_of, names_of, questions_of, row_octets
from netmote.snmp.steady_reading import Numbers, is_plain_reading, reading_of
from netmote.snmp.walk import REQUESTS_IN_FLIGHT

log = logging.getLogger(__name__)

SHORTEST_TICK_SECONDS, LONGEST_TICK_SECONDS = 0.05, 0.5
TICKS: Final = 20  # an interval, at least: nobody is late by more than a twentieth of it
TRAVEL_TOGETHER: Final = 32  # devices a tick; fewer cost more each, more gain little
PATIENCE_SECONDS: Final = 0.003  # between two looks at what has come: answers are read in heaps
MOST_SETTLED: Final = 64  # devices a turn of the loop
MOST_PASSENGERS: Final = 12_000
MOST_QUESTIONS: Final = 1 << 15  # different ones
MOST_IN_FLIGHT: Final = 1 << 15  # answers that are held until their device is whole
_COUNTERS: Final = len(INTERFACE_COUNTERS)
_EXPIRY_SECONDS: Final = 0.1  # between two looks at who is overdue


class SteadyTrain:
    """Runs until cancelled; belongs to one loop. `board` and `alight` may be called whenever, also while nothing runs."""

    def __init__(self, window: SendWindow, *, clock: Clock) -> None:
        self.window, self._clock = window, clock
        self._names = Names(MOST_QUESTIONS)
        self._due: list[tuple[float, int, Passenger]] = []
        self._tickets = itertools.count()
        self._passengers: set[Passenger] = set()
        self._intervals: Counter[float] = Counter()
        self._riding: dict[Passenger, None] = {}  # whose poll is under way, oldest first
        self._to_ask: deque[Passenger] = deque()
        self._ready: deque[Passenger] = deque()
        self._held: deque[tuple[float, Passenger, float]] = (
            deque()
        )  # until when slots of the window are held, for whose sending when
        self._lines: dict[Line, int] = {}
        self._has_boarded = asyncio.Event()
        self._expire_at = self._depart_at = 0.0
        self._values = np.zeros((MOST_IN_FLIGHT, MOST_VARBINDS), np.uint64)
        self._forms = np.zeros((MOST_IN_FLIGHT, MOST_VARBINDS), np.uint8)
        self._rows = np.zeros(MOST_IN_FLIGHT, np.int64)
        self._free = list(range(MOST_IN_FLIGHT - 1, -1, -1))
        self._owners: list[Passenger | None] = [None] * MOST_IN_FLIGHT

    def __len__(self) -> int:
        return len(self._passengers)

    def board(
        self,
        *,
        device: str,
        history: DeviceHistory,
        steady: SteadyRows,
        seat: Seat,
        interval: float,
        timeout: float,
        slot: float,
        until: float,
        tell: Callable[[Ridden], None],
        most_octets: int = MOST_OCTETS,
    ) -> Passenger | None:
        """Poll a device from `slot` on every `interval`, until its `alighted` is done; None: it cannot be polled so. Takes the seat over."""
        reading = history.last_reading
        passenger = None
        if reading is not None and len(self._passengers) < MOST_PASSENGERS and is_plain_reading(reading):
            passenger = self._seated(
                device=device,
                history=history,
                steady=steady,
                seat=seat,
                interval=interval,
                timeout=timeout,
                slot=slot,
                until=min(until, steady.names_until),
                tell=tell,
                reading=reading,
                most_octets=most_octets,
            )
        if passenger is None:
            seat.leave()
            return None
        self._passengers.add(passenger)
        self._intervals[interval] += 1
        self._lines[seat.line] = self._lines.get(seat.line, 0) + 1
        heapq.heappush(self._due, (slot, next(self._tickets), passenger))
        self._has_boarded.set()
        return passenger

    def _seated(
        self,
        *,
        device: str,
        history: DeviceHistory,
        steady: SteadyRows,
        seat: Seat,
        interval: float,
        timeout: float,
        slot: float,
        until: float,
        tell: Callable[[Ridden], None],
        reading: DeviceReading,
        most_octets: int,
    ) -> Passenger | None:
        questions, counts = questions_of(steady, row_octets(steady, reading), most_octets)
        names, rows, requests, begin = list[tuple[bytes, ...]](), list[int](), list[int](), 0
        for question, count in zip(questions, counts, strict=True):
            names.append(names_of(question, steady.rows[begin : begin + count]))
            begin += count
            row = self._names.take(names[-1])
            request = None if row is None else seat.take_request(question)
            if row is not None:
                rows.append(row)
                names[-1] = self._names.names[row]  # shared
            if request is not None:
                requests.append(request)
                continue
            self._give_back(seat, rows, requests)
            return None
        return Passenger(
            device=device,
            history=history,
            steady=steady,
            interval=interval,
            timeout=timeout,
            until=until,
            slot=slot,
            seat=seat,
            tell=tell,
            alighted=asyncio.get_running_loop().create_future(),
            names=names,
            rows=np.array(rows, np.int64),
            requests=np.array(requests, np.int64),
            forms=np.zeros((len(questions), MOST_VARBINDS), np.uint8),
            cells=cells_of(len(steady.scalars), tuple(counts)),
            bits=reading.counters.bits,
            rates=line_rates(reading.counters),
        )

    def _give_back(self, seat: Seat, rows: Sequence[int], requests: Sequence[int]) -> None:
        for row in rows:
            self._names.give_back(row)
        for request in requests:
            seat.give_back(request)

    def alight(self, passenger: Passenger, reason: str = "", *, is_silent: bool = False) -> None:
        """Take a device off, also in the middle of its poll; safe twice. `is_silent`: what is open has waited long enough."""
        if passenger.is_off:
            return
        passenger.is_off = True
        requests, timeouts = passenger.asked, passenger.open if is_silent else 0
        self._end_poll(passenger)
        self._passengers.discard(passenger)
        self._intervals[passenger.interval] -= 1
        if not self._intervals[passenger.interval]:
            del self._intervals[passenger.interval]
        self._lines[passenger.seat.line] -= 1
        if not self._lines[passenger.seat.line]:
            del self._lines[passenger.seat.line]
        self._give_back(passenger.seat, passenger.rows.tolist(), passenger.requests.tolist())
        passenger.seat.leave()
        if not passenger.alighted.done():
            passenger.alighted.set_result(Alighted(reason, passenger.polls, passenger.slot, requests, timeouts))

    def _end_poll(self, passenger: Passenger) -> None:
        """Nothing of its poll is in flight any more."""
        if passenger.places is not None:
            if passenger.open:
                passenger.seat.line.forget(passenger.places)
            places = passenger.places.tolist()
            self._free += places
            for place in places:
                self._owners[place] = None
        passenger.places, passenger.asked, passenger.open = None, 0, 0
        self._release(passenger, passenger.slots)
        self._riding.pop(passenger, None)

    def _release(self, passenger: Passenger, slots: int) -> None:
        passenger.slots -= slots
        self.window.give_back(slots)

    async def run(self) -> None:
        """Poll who is on the train until cancelled; then everybody alights."""
        try:
            while True:
                await self._wait()
                self.advance()
        finally:
            for passenger in tuple(self._passengers):
                self.alight(passenger)

    async def _wait(self) -> None:
        if self._riding or self._ready:
            await asyncio.sleep(0.0 if self._ready else PATIENCE_SECONDS)
            return
        if not self._due:
            self._has_boarded.clear()
            await self._has_boarded.wait()
        now, tick = self._clock.monotonic(), self.tick_seconds
        await asyncio.sleep((now // tick + 1) * tick - now)

    @property
    def tick_seconds(self) -> float:
        """From one departure to the next."""
        interval = min(self._intervals, default=LONGEST_TICK_SECONDS)
        ticks = max(TICKS, len(self._passengers) // TRAVEL_TOGETHER, math.ceil(interval / LONGEST_TICK_SECONDS))
        return interval / min(ticks, max(1, round(interval / SHORTEST_TICK_SECONDS)))

    def advance(self) -> None:
        """One turn: let due ones depart, ask, take what came, settle who is whole."""
        now = self._clock.monotonic()
        if now >= self._depart_at:
            self._depart_at = (now // self.tick_seconds + 1) * self.tick_seconds
            self._depart(now)
        self._let_go_old(now)
        for line in tuple(self._lines):
            while (heard := line.receive()) is not None:
                self._take(heard)
                if len(heard.places) < 128:
                    break
        self._ask()
        for _ in range(1):
            self._settle()
        if now >= self._expire_at:
            self._expire_at = now + _EXPIRY_SECONDS
            self._expire(now)

    def _depart(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            passenger = self._due[0][2]
            if passenger.is_off:
                heapq.heappop(self._due)
                continue
            if now >= passenger.until:
                heapq.heappop(self._due)
                self.alight(passenger)
                continue
            if len(passenger.rows) > len(self._free):
                return  # until others have arrived or are overdue
            heapq.heappop(self._due)
            places = self._free[-len(passenger.rows) :]
            del self._free[-len(passenger.rows) :]
            passenger.places = np.array(places, np.int64)
            self._forms[passenger.places] = passenger.forms
            self._rows[passenger.places] = passenger.rows
            for place in places:
                self._owners[place] = passenger
            passenger.first_at = passenger.slowest = 0.0
            passenger.began, passenger.began_ns = now, self._clock.now_ns()
            self._riding[passenger] = None
            self._to_ask.append(passenger)

    def _ask(self) -> None:
        """Send what the window lets out: of each who waits, REQUESTS_IN_FLIGHT questions at most, in turn."""
        while self._to_ask:
            now = self._clock.monotonic()
            some: list[tuple[Passenger, int]] = []
            total, line = 0, None
            while self._to_ask and total < 240:
                passenger = self._to_ask[0]
                if passenger.is_off or passenger.places is None:
                    self._to_ask.popleft()
                    continue
                if line is not None and passenger.seat.line is not line:
                    break
                wanted = min(REQUESTS_IN_FLIGHT, len(passenger.rows) - passenger.asked)
                taken = self.window.take(wanted)
                if not taken:
                    break
                line = passenger.seat.line
                self._to_ask.popleft()
                some.append((passenger, taken))
                total += taken
            if line is None or not self._send(line, some, now):
                return

    def _send(self, line: Line, some: Sequence[tuple[Passenger, int]], now: float) -> bool:
        """Send the next questions of some passengers; False when this machine does not send all of them now."""
        parts = [(passenger, slice(passenger.asked, passenger.asked + count)) for passenger, count in some]
        seats = np.repeat([passenger.seat.number for passenger, _ in some], [count for _, count in some])
        requests = np.concatenate([passenger.requests[part] for passenger, part in parts])
        places = np.concatenate([passenger.places[part] for passenger, part in parts if passenger.places is not None])
        sent = left = line.ask(seats, requests, places)
        for passenger, count in some:
            went = min(left, count)
            left -= went
            passenger.slots += count
            if went < count:
                self._release(passenger, count - went)
            if not passenger.asked:
                passenger.first_sent_at = now
            passenger.asked += went
            passenger.open += went
            passenger.sent_at = now
            if went:
                self._held.append((now + HOLD_SECONDS, passenger, now))
            elif not sent and passenger is some[0][0]:
                self.alight(passenger, "it cannot be asked now")
            else:
                self._to_ask.append(passenger)
        return sent == len(places)

    def _let_go_old(self, now: float) -> None:
        """Slots of the window whose time is over, answered or not."""
        while self._held and self._held[0][0] <= now:
            _, passenger, sent_at = self._held.popleft()
            if passenger.sent_at == sent_at:
                self._release(passenger, passenger.slots)

    def _take(self, heard: Heard) -> None:
        places = heard.places
        if len(places):
            rows = self._rows[places]
            values, is_steady = self._names.read(heard.octets, heard.begins, heard.ends, rows, self._forms[places])
            self._values[places] = values
            odd = [] if is_steady.all() else self._refit(heard, np.flatnonzero(~is_steady))
        else:
            odd = []
        for place in places.tolist():
            passenger = self._owners[place]
            if passenger is None:
                continue
            passenger.open -= 1
            if not passenger.first_at:
                passenger.first_at = heard.arrived_at
            if passenger.slots:
                self._release(passenger, 1)
            if not passenger.open:
                passenger.slowest = max(passenger.slowest, heard.arrived_at - passenger.sent_at)
                if passenger.asked < len(passenger.rows):
                    self._to_ask.append(passenger)
                else:
                    self._ready.append(passenger)
        for place in (*odd, *heard.odd):
            passenger = self._owners[place]
            if passenger is not None:
                self.alight(passenger, "an answer is not as it was")

    def _refit(self, heard: Heard, which: NDArray[np.intp]) -> list[int]:
        """Answers whose values have other lengths than the last time: their new form. Returns the places of those that are odd."""
        odd = []
        for number in which.tolist():
            place = int(heard.places[number])
            passenger = self._owners[place]
            if passenger is None or passenger.places is None:
                continue
            question = int(np.flatnonzero(passenger.places == place)[0])
            octets = heard.octets[int(heard.begins[number]) : int(heard.ends[number])].tobytes()
            forms = forms_of(octets, passenger.names[question])
            before = passenger.forms[question]
            if forms is None or (before.any() and (forms >> 4 != before >> 4).any()):
                odd.append(place)
                continue
            one = slice(number, number + 1)
            values, is_steady = self._names.read(
                heard.octets, heard.begins[one], heard.ends[one], passenger.rows[[question]], forms[None]
            )
            if not is_steady[0]:  # in a form that only the reader of single varbinds knows
                odd.append(place)
                continue
            passenger.forms[question] = forms
            self._values[place] = values[0]
        return odd

    def _expire(self, now: float) -> None:
        for passenger in tuple(self._riding):
            if passenger.open and now - passenger.sent_at >= passenger.timeout:
                self.alight(passenger, "a request got no answer in time", is_silent=True)
            elif now - passenger.began >= passenger.interval:
                self.alight(passenger, "its poll did not end within its interval")

    def _settle(self) -> None:
        """Tell of polls that are whole, those of devices alike together."""
        groups: dict[Cells, list[Passenger]] = {}
        for _ in range(min(len(self._ready), MOST_SETTLED)):
            passenger = self._ready.popleft()
            if not passenger.is_off:
                groups.setdefault(passenger.cells, []).append(passenger)
        for cells, passengers in groups.items():
            self._settle_alike(cells, passengers)

    def _settle_alike(self, cells: Cells, passengers: Sequence[Passenger]) -> None:
        count, ports = len(passengers), cells.ports
        places = np.concatenate([passenger.places for passenger in passengers if passenger.places is not None])
        numbers = self._values[places].reshape(count, -1, MOST_VARBINDS)
        flat = numbers.reshape(count, -1)
        later = flat.take(cells.counters, axis=1).reshape(count, ports, _COUNTERS)
        states = flat.take(cells.states, axis=1).reshape(count, 3, ports)
        up_times, firsts = numbers[:, [0, -1], 0].tolist(), numbers[:, 0, :4].tolist()
        now, now_ns = self._clock.monotonic(), self._clock.now_ns()
        readings: list[DeviceReading | None] = []
        seconds = np.ones(count)
        for number, passenger in enumerate(passengers):
            whole = Numbers(later[number], states[number], firsts[number], up_times[number])
            readings.append(reading_of(passenger, whole, now, now_ns))
        befores = [passenger.history.last_reading for passenger in passengers]
        plain_seconds = [
            None if reading is None else passenger.history.seconds_if_plain(reading.instant)
            for passenger, reading in zip(passengers, readings, strict=True)
        ]
        seconds[:] = [1.0 if each is None else each for each in plain_seconds]
        earlier = np.stack([before.counters.values for before in befores if before is not None])
        rates = np.stack([passenger.rates for passenger in passengers])
        deltas, is_plain, has_moved, packets = grown(earlier, later, rates, seconds)
        has_port_up = (states[:, 1] == OperStatus.UP).any(axis=1).tolist()
        rest = zip(
            passengers,
            readings,
            befores,
            plain_seconds,
            is_plain.tolist(),
            has_moved.tolist(),
            packets.tolist(),
            has_port_up,
            strict=True,
        )
        for number, (passenger, reading, before, elapsed, is_so, moved, most, is_up) in enumerate(rest):
            if reading is None:
                self.alight(passenger, "it is not as it was")
                continue
            is_same = before is not None and before.ports is reading.ports
            is_same = is_same and before is not None and before.counters.discontinuity is reading.counters.discontinuity
            try:
                if elapsed is not None and is_so and is_same:
                    batch, facts = passenger.history.observe_plain(reading, elapsed, Growth(deltas[number], moved, most, is_up))
                else:
                    batch, facts = passenger.history.observe(reading)
                self._tell(passenger, (reading, batch, facts), now, now_ns)
            except Exception:
                log.exception("a steady poll failed: a bug", extra={"component": "snmp", "device": passenger.device})
                self.alight(passenger, "a bug")

    def _tell(
        self, passenger: Passenger, told: tuple[DeviceReading, InterfaceBatch, tuple[Fact, ...]], now: float, now_ns: int
    ) -> None:
        passed = max(1, math.ceil((now - passenger.slot) / passenger.interval))
        ridden = Ridden(passenger.began_ns, now_ns, *told, passenger.asked, passenger.slowest, passed - 1)
        self._end_poll(passenger)
        passenger.polls += 1
        passenger.slot += passenger.interval * passed
        passenger.tell(ridden)
        if not passenger.is_off:
            heapq.heappush(self._due, (passenger.slot, next(self._tickets), passenger))
