"""One polled device: its schedule, deadline, probation, and what it emits.

Owns when a device is asked and what a failure means for the next time. Refuses what is read (`reading`), what it means
(`history`) and whether the device is there (`reachability`). A poll that does not end within its interval is cut off; slots
that passed meanwhile are skipped, never queued. From the second failure in a row the device is on probation: asked at growing
distances, and when it was silent, one cheap question that is not repeated comes first. After silence its host is looked for, once a poll.
"""

import asyncio
import hashlib
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from netmote.backoff import Backoff
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.errors import NetmoteError
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.fact import Fact, FactBatch
from netmote.records.interface import InterfaceBatch
from netmote.snmp.backends import backend_of
from netmote.snmp.boarding import Boarding
from netmote.snmp.careful_session import read_device
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import SecretMissing
from netmote.snmp.details.details_reader import DetailsReader
from netmote.snmp.device_line import Backend, DeviceLine, Exchanges
from netmote.snmp.device_memory import RememberedDevice
from netmote.snmp.history import DeviceHistory
from netmote.snmp.host_probe import Looks, Sighting
from netmote.snmp.identity import PortIdentities
from netmote.snmp.notification import Notification
from netmote.snmp.notifications import interpret, notification_fact
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.passenger import Passenger, Ridden
from netmote.snmp.quirks import QuirkLearner
from netmote.snmp.reachability import FAILED_POLLS, Reachability
from netmote.snmp.reading import LOOP_PORTS, DeviceReader, DeviceReading
from netmote.snmp.session import (
    CREDENTIAL_ERRORS,
    AddressUnknown,
    AgentNotListening,
    NetworkUnreachable,
    RequestTimedOut,
)
from netmote.snmp.steady_train import SteadyTrain
from netmote.snmp.target_status import TargetStatus

log = logging.getLogger(__name__)

# The first poll comes within this time whatever the interval, so that a long one does not leave a device unseen.
FIRST_POLL_SECONDS = 10.0
PROBATION_CAP_SECONDS = 60.0  # longest distance of polls on probation, unless the interval is longer
# After a poll, this long until one that a notification wants: a flapping port does not make the agent work without pause.
HURRY_SECONDS = 1.0
_MOST_UNTOLD = 64  # notifications that wait while a large poll is worked out; the oldest goes, the next poll tells the same
_DETAILS_SHARE = 0.8  # of the time left between two polls that details may take
_REOPEN_AFTER = 5  # failures after which name, secrets and socket are looked up again


class PollOutcome(StrEnum):
    """How a poll ended; the label of `snmp_polls_total`."""

    ANSWERED = "answered"
    TIMEOUT = "timeout"  # a request got no answer, or could not be sent
    DEADLINE = "deadline"  # the poll did not end within its interval
    REFUSED = "refused"  # the device answered what is of no use
    CREDENTIALS = "credentials"  # the device refuses ours
    SECRET = "secret"  # noqa: S105 - a secret is not there on our side
    BUG = "bug"


_SIGNS_OF_LIFE = (PollOutcome.ANSWERED, PollOutcome.REFUSED, PollOutcome.CREDENTIALS)
_OUTCOMES: tuple[tuple[tuple[type[NetmoteError], ...], PollOutcome], ...] = (
    ((SecretMissing,), PollOutcome.SECRET),
    ((RequestTimedOut, AddressUnknown, NetworkUnreachable), PollOutcome.TIMEOUT),
    (CREDENTIAL_ERRORS, PollOutcome.CREDENTIALS),
    ((NetmoteError,), PollOutcome.REFUSED),
)


@dataclass(frozen=True, slots=True)
class _Poll:
    """One poll that ended."""

    outcome: PollOutcome
    reading: DeviceReading | None = None
    batch: InterfaceBatch | None = None
    facts: tuple[Fact, ...] = ()
    error: Exception | None = None

    @property
    def reason(self) -> str:
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}"


_ANSWERED = _Poll(PollOutcome.ANSWERED)


class Target:
    """Polls one device. Only cancellation ends `run`: a bug is logged, counted, and the device begun anew."""

    def __init__(
        self,
        config: TargetConfig,
        *,
        interval: float,
        backend: Backend,
        window: SendWindow,
        clock: Clock,
        random: Random,
        emit: Callable[[Batch], None],
        details: Callable[[], DetailsReader] | None = None,
        host_probe: Looks | None = None,
        remembered: RememberedDevice | None = None,
        train: SteadyTrain | None = None,
        gate: SendWindow | None = None,
    ) -> None:
        """Without `details` nothing beyond the ports is read; without `host_probe` a silent device is an unreachable one. `remembered` is
        what an earlier start knew of the device. On a `train` it is polled with others for as long as it answers as it did. Through the
        `gate` goes each poll that has everything to learn, which takes a hundred times as long as a later one.
        """
        self.config, self._new_details = config, details
        self._interval, self._clock, self._emit = interval, clock, emit
        self._backoff = Backoff(base=interval, cap=max(interval, PROBATION_CAP_SECONDS), random=random, floor=interval / 2)
        self._reachability = Reachability()
        self._host_probe = host_probe
        self._sighting: Sighting | None = None  # of the host, after the last poll
        self._remembered = remembered
        self._learner = QuirkLearner(None if remembered is None else remembered.quirks)
        self._line = DeviceLine(config, backend=backend, window=window)
        self._boarding, self._gate = Boarding(train, device=config.name), gate
        self._recorded = Exchanges()  # those of the line that a DeviceRecord tells of
        self._failures = 0  # in a row
        self._told_quirks = self._learner.quirks.described
        self._polls: Counter[str] = Counter()
        self._last: _Poll | None = None
        self._last_success: float | None = None
        self._last_reading: DeviceReading | None = None
        self._begin_anew(remembered)

        self._hurry = asyncio.Event()
        self._is_observing = False  # in a thread
        self._untold: deque[Notification] | None = None

    def _begin_anew(self, known: RememberedDevice | None = None) -> None:
        self._reader = DeviceReader(clock=self._clock, max_repetitions=self.config.max_repetitions)
        if known is None:
            self._history = DeviceHistory(self.config.name)
        else:
            self._history = DeviceHistory(
                self.config.name,
                identity=known.identity,
                ports=PortIdentities.remembering(known.marks),
                refresh_period=known.quirks.refresh_seconds,
            )
        self._details = None if self._new_details is None else self._new_details()

    async def run(self) -> None:
        """Poll on schedule until cancelled."""
        phase = schedule_phase(self.config.name)
        start = self._clock.monotonic()
        grid = start + phase * self._interval
        slot = start + phase * min(self._interval, FIRST_POLL_SECONDS)
        hurry_from = start
        try:
            while True:
                await self._wait_slot_or_hurry(slot, hurry_from)
                if self._gate is not None and self._last_reading is None:
                    await self._gate.send(self.poll)
                else:
                    await self.poll()
                now = self._clock.monotonic()
                self._polls["skipped"] += max(0, int((now - slot) // self._interval))
                slot = self._next_slot(grid, now)
                hurry_from = now + HURRY_SECONDS
                await self.read_details(slot - now)
                slot = await self._ride(slot)
        finally:
            await self.close()

    async def close(self) -> None:
        """End the session with the device; the next poll opens another."""
        await self._line.close()

    async def read_details(self, seconds: float) -> None:
        """Read what is due beyond the ports within the time left to the next poll. The next DeviceRecord carries its gauges."""
        session, reading = self._line.details, self._last_reading
        if self._details is None or session is None or reading is None or self._failures:
            return
        began_ns = self._clock.now_ns()
        try:
            async with asyncio.timeout(seconds * _DETAILS_SHARE):
                facts = await self._details.advance(session, reading, quirks=self._learner.quirks)
        except TimeoutError:
            return  # what was cut off is named in the details, and tried again later
        except Exception:
            log.exception("reading details failed: a bug", extra={"component": "snmp", "device": self.config.name})
            self._details = None if self._new_details is None else self._new_details()
            return
        finally:
            self._line.details_ended()
        if facts:
            self._emit(FactBatch(self._history.source, began_ns, max(began_ns, self._clock.now_ns()), facts))

    async def _wait_slot_or_hurry(self, slot: float, hurry_from: float) -> None:
        """Until the slot, or until a poll is wanted sooner, but not before `hurry_from`."""
        try:
            async with asyncio.timeout(max(0.0, slot - self._clock.monotonic())):
                await self._hurry.wait()
                await asyncio.sleep(max(0.0, hurry_from - self._clock.monotonic()))
        except TimeoutError:
            pass  # the slot has come
        self._hurry.clear()

    def poll_soon(self) -> None:
        """Poll before the next slot; at most about once a second, however often this is called."""
        self._hurry.set()
        self._boarding.alight()

    async def _ride(self, slot: float) -> float:
        """Be polled with others from `slot` on, for as long as that goes; returns when its own next poll is."""
        while not self._hurry.is_set() and self._may_ride and (passenger := self._board(slot)) is not None:
            alighted = await self._boarding.ride(passenger)
            if self._last_reading is not None:
                self._reader.was_read_at(self._last_reading.instant)
            slot = alighted.slot
            self._line.add(alighted.requests, alighted.timeouts)
            if alighted.reason:
                return self._clock.monotonic()
            if not self._is_details_due(slot):
                return slot
            await self.read_details(slot - self._clock.monotonic())
        return slot

    @property
    def _may_ride(self) -> bool:
        return not self._failures and not self._learner.quirks.need_care

    def _board(self, slot: float) -> Passenger | None:
        return self._boarding.board(
            self._history,
            steady=self._reader.steady_rows(),
            session=self._line.polls,
            interval=self._interval,
            timeout=self._line.round_trips.timeout,
            slot=slot,
            until=math.inf if self._details is None else self._details.due_at,
            tell=self._rode,
        )

    def _is_details_due(self, slot: float) -> bool:
        return self._details is not None and self._details.due_at <= slot

    def _rode(self, ridden: Ridden) -> None:
        """A poll on the train: emit what `poll` does."""
        reading = ridden.reading
        self._last_success, self._last_reading, self._last = self._clock.monotonic(), reading, _ANSWERED
        if self._learner.quirks.refresh_seconds != self._history.refresh_period:
            self._learn()
        self._line.round_trips.answered(ridden.slowest_seconds)
        self._line.poll_ended()
        self._polls[PollOutcome.ANSWERED] += 1
        self._polls["skipped"] += ridden.skipped
        self._emit(ridden.batch)
        if ridden.facts:
            self._emit(FactBatch(self._history.source, ridden.began_ns, ridden.ended_ns, ridden.facts))
        self._emit(
            DeviceRecord(
                source=self._history.source,
                start_ns=ridden.began_ns,
                end_ns=ridden.ended_ns,
                device=self._history.entity,
                is_reachable=True,
                round_trip_ns=round(reading.round_trip_seconds * NANOSECONDS_PER_SECOND),
                sys_up_time=reading.instant.sys_up_time,
                requests=ridden.requests,
                timeouts=0,
                gauges={} if self._details is None else self._details.take_gauges(),
            )
        )

    def notify(self, notification: Notification) -> None:
        """Take in what the device sent by itself: its facts are emitted at once, and a poll that is to follow comes soon."""
        if self._is_observing:
            if self._untold is None:
                self._untold = deque(maxlen=_MOST_UNTOLD)
            self._untold.append(notification)
            return
        time_ns = self._clock.now_ns()
        meaning = interpret(notification, self._history.entity, time_ns)
        facts = meaning.facts
        if meaning.link is not None:
            told = self._history.tell_link(meaning.link, time_ns)
            facts = (notification_fact(notification, self._history.entity, time_ns),) if told is None else told
        if facts:
            self._emit(FactBatch(self._history.source, time_ns, time_ns, facts))
        if meaning.is_poll_wanted:
            self.poll_soon()

    async def _observe(self, reading: DeviceReading) -> tuple[InterfaceBatch, tuple[Fact, ...]]:
        if len(reading.ports.if_index) <= LOOP_PORTS:
            return self._history.observe(reading)
        self._is_observing = True
        try:
            return await asyncio.to_thread(self._history.observe, reading)
        finally:
            self._is_observing = False

    def _next_slot(self, grid: float, now: float) -> float:
        """The first slot of the grid after now, and on probation after the back-off."""
        delay = self._backoff.next_delay() if self._failures >= FAILED_POLLS else 0.0
        slot = grid + math.ceil((now + delay - grid) / self._interval) * self._interval
        is_too_close = slot - now < min(1.0, self._interval / 2)  # after a late or first poll: it would tell nothing new
        return slot + self._interval if is_too_close else slot

    async def poll(self) -> PollOutcome:
        """Ask the device once and emit what that gave: InterfaceBatch, FactBatch (when there are facts), DeviceRecord."""
        began_ns, began = self._clock.now_ns(), self._clock.monotonic()
        before = self._line.exchanges
        poll = await self._attempt()
        self._line.poll_ended()
        ended_ns = began_ns + round((self._clock.monotonic() - began) * NANOSECONDS_PER_SECOND)
        after = self._line.exchanges
        answers, told = after.since(before).answers, after.since(self._recorded)
        self._recorded = after
        is_silent = not answers and poll.outcome in (PollOutcome.TIMEOUT, PollOutcome.DEADLINE)
        self._sighting = await self._look(poll) if is_silent else None
        facts = (*self._own_facts(poll, self._weigh(poll, is_silent=is_silent), ended_ns), *poll.facts)
        if poll.reading is not None:
            self._last_success, self._last_reading = self._clock.monotonic(), poll.reading
            self._learn()
        batch = poll.batch or self._history.lost(ended_ns)
        if batch is not None:
            self._emit(batch)
        if facts:
            self._emit(FactBatch(self._history.source, began_ns, ended_ns, facts))
        self._emit(
            DeviceRecord(
                source=self._history.source,
                start_ns=began_ns,
                end_ns=ended_ns,
                device=self._history.entity,
                is_reachable=answers > 0 or poll.outcome in _SIGNS_OF_LIFE,
                round_trip_ns=None if poll.reading is None else round(poll.reading.round_trip_seconds * NANOSECONDS_PER_SECOND),
                sys_up_time=None if poll.reading is None else poll.reading.instant.sys_up_time,
                requests=told.requests,
                timeouts=told.timeouts,
                gauges={} if self._details is None else self._details.take_gauges(),
            )
        )
        self._polls[poll.outcome] += 1
        self._last = poll
        while self._untold:
            self.notify(self._untold.popleft())
        self._untold = None
        await self._settle(poll.outcome)
        return poll.outcome

    async def _attempt(self) -> _Poll:
        """Read the device; every failure becomes a value, so that one device never stops the others."""
        try:
            async with asyncio.timeout(self._interval):
                reading = await self._read()
            batch, facts = await self._observe(reading)
            return _Poll(PollOutcome.ANSWERED, reading, batch, facts)
        except TimeoutError as error:
            late = TimeoutError(f"the poll did not end within its interval of {self._interval:g} s")
            late.__cause__ = error
            return _Poll(PollOutcome.DEADLINE, error=late)
        except NetmoteError as error:
            return _Poll(next(outcome for kinds, outcome in _OUTCOMES if isinstance(error, kinds)), error=error)
        except Exception as error:
            log.exception("poll failed: a bug", extra={"component": "snmp", "device": self.config.name})
            self._begin_anew()
            return _Poll(PollOutcome.BUG, error=error)

    async def _read(self) -> DeviceReading:
        session = await self._line.open()
        is_doubtful = self._reachability.silences >= FAILED_POLLS
        return await read_device(self._reader, session, self._learner, is_doubtful=is_doubtful)

    def _learn(self) -> None:
        """What the poll showed of the device's ways; news is logged once."""
        known = self._told_quirks
        self._learner.refreshes_every(self._history.refresh_period)
        self._told_quirks = self._learner.quirks.described
        for quirk in self._told_quirks:
            if quirk not in known:
                log.warning("learnt of the device: %s", quirk, extra={"component": "snmp", "device": self.config.name})

    async def _look(self, poll: _Poll) -> Sighting | None:
        """Whether the host is there, after silence that may mean that it is not. None when that is not asked."""
        if isinstance(poll.error, AgentNotListening):
            return Sighting(True, "the host is there")
        if self._host_probe is None or self._reachability.silences + 1 < FAILED_POLLS or isinstance(poll.error, AddressUnknown):
            return None
        return await self._host_probe.look(self.config.address, self.config.port)

    def _weigh(self, poll: _Poll, *, is_silent: bool) -> Mapping[str, float]:
        """What the poll says of the device being there: facts, by name."""
        if is_silent:
            return self._reachability.silent(is_host_there=self._sighting is not None and self._sighting.is_there)
        match poll.outcome:
            case PollOutcome.ANSWERED:
                return self._reachability.answered()
            case PollOutcome.SECRET | PollOutcome.BUG:  # our own trouble says nothing of the device
                return {}
            case _:
                return self._reachability.refused()

    def _own_facts(self, poll: _Poll, reached: Mapping[str, float], time_ns: int) -> list[Fact]:
        annotations = {"error": poll.reason} if poll.error else {}
        if self._sighting is not None:
            annotations["host"] = self._sighting.how
        facts = [Fact(self._history.entity, name, time_ns, value, annotations) for name, value in reached.items()]
        was_refused = self._last is not None and self._last.outcome is PollOutcome.CREDENTIALS
        if poll.outcome is PollOutcome.CREDENTIALS and not was_refused:
            facts.append(Fact(self._history.entity, "snmp_authentication_failure", time_ns, 1.0, annotations))
        return facts

    async def _settle(self, outcome: PollOutcome) -> None:
        if outcome is PollOutcome.ANSWERED:
            if self._failures:
                log.info("device answers again", extra={"component": "snmp", "device": self.config.name})
            self._failures = 0
            self._backoff.succeeded()
            return
        self._failures += 1
        if self._failures == FAILED_POLLS and self._last is not None:
            log.warning("device on probation: %s", self._last.reason, extra={"component": "snmp", "device": self.config.name})
        is_ours_to_mend = outcome in (PollOutcome.CREDENTIALS, PollOutcome.SECRET, PollOutcome.BUG)
        if is_ours_to_mend or self._failures % _REOPEN_AFTER == 0:
            await self._line.close()

    @property
    def remembered(self) -> RememberedDevice | None:
        """What another start should know of the device; None when nothing is known."""
        if self._last_reading is None:
            return self._remembered
        return RememberedDevice.of(self._learner.quirks, self._history.identity, self._history.port_marks)

    def status(self) -> TargetStatus:
        reading, last, session = self._last_reading, self._last, self._line.polls
        return TargetStatus(
            name=self.config.name,
            address=f"{self.config.address}:{self.config.port}",
            state=self._reachability.state,
            is_on_probation=self._failures >= FAILED_POLLS,
            last_success_age_seconds=None if self._last_success is None else self._clock.monotonic() - self._last_success,
            last_error="; ".join(
                filter(None, ("" if last is None else last.reason, self._sighting.how if self._sighting else ""))
            ),
            round_trip_seconds=None if reading is None else reading.round_trip_seconds,
            polls={str(outcome): count for outcome, count in self._polls.items()},
            interfaces=0 if reading is None else len(reading.ports.if_index) - len(self._history.stale_rows),
            stale_rows=len(self._history.stale_rows),
            sys_descr="" if reading is None else reading.system.sys_descr,
            backend=backend_of(self.config) if session is None else session.backend,
            fallback_reason="" if session is None else session.fallback_reason,
            quirks=self._learner.quirks.described,
            timeout_seconds=self._line.round_trips.timeout,
            identity=self._history.identity.described,
        )


def schedule_phase(name: str) -> float:
    """Where in its interval a device is polled, 0 to 1: the same at every start, spread evenly over devices."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
