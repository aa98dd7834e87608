"""What a device was found to need, and how that is learnt from what it answers. Pure.

Quirks belong to a kind of device: they are kept with its sysObjectID and begin anew when another answers. Limits are halved at once and
raised slowly, so that what was lost on the way is not held against a device for long.
"""

from dataclasses import dataclass, replace
from typing import Final

from netmote.snmp.walk import MAX_VARBINDS

RAISE_AFTER: Final = (
    512  # answers as large as is allowed, until a little more is asked for; twice as many each time that was in vain
)
RAISE_AFTER_AT_MOST: Final = 65_536


@dataclass(frozen=True, slots=True)
class Quirks:
    """The default is a device without any."""

    sys_object_id: bytes = b""  # of the device they were learnt from; OID content octets
    has_no_bulk: bool = False  # GETNEXT is answered, GETBULK is not, or is refused
    most_varbinds: int | None = None  # a request for more is refused or gets no answer
    is_unordered: bool = False  # OIDs of its tables do not increase
    refresh_seconds: float | None = None  # how often it reads its interface counters anew, where that can be seen

    @property
    def need_care(self) -> bool:
        """Whether requests must differ from those to other devices."""
        return self.has_no_bulk or self.most_varbinds is not None

    @property
    def described(self) -> tuple[str, ...]:
        """For people, one phrase a quirk."""
        phrases = []
        if self.has_no_bulk:
            phrases.append("no GETBULK")
        if self.most_varbinds is not None:
            phrases.append(
                "one varbind a request" if self.most_varbinds == 1 else f"at most {self.most_varbinds} varbinds a request"
            )
        if self.is_unordered:
            phrases.append("OIDs do not increase")
        if self.refresh_seconds is not None:
            phrases.append(f"counters read anew every {self.refresh_seconds:.1f} s only; polling it more often gains nothing")
        return tuple(phrases)


class QuirkLearner:
    """The quirks of the device at one address."""

    def __init__(self, quirks: Quirks | None = None) -> None:
        """`quirks` are those it had when it was last known."""
        self.quirks = quirks or Quirks()
        self._full_answers = 0  # since the limit was last changed
        self._patience = RAISE_AFTER
        self._is_raised = False  # the limit, since it was last found too high

    def belongs_to(self, sys_object_id: bytes) -> None:
        """The device said what it is; another kind of device has quirks of its own."""
        if self.quirks.sys_object_id and sys_object_id and sys_object_id != self.quirks.sys_object_id:
            self.quirks, self._full_answers, self._patience = Quirks(), 0, RAISE_AFTER
        if sys_object_id:
            self.quirks = replace(self.quirks, sys_object_id=sys_object_id)

    def need_no_less_care_than(self, quirks: Quirks) -> None:
        """Begin with what was learnt of the device by other questions."""
        limits = [limit for limit in (self.quirks.most_varbinds, quirks.most_varbinds) if limit is not None]
        most = min(limits, default=None)
        if most != self.quirks.most_varbinds or (quirks.has_no_bulk and not self.quirks.has_no_bulk):
            self.quirks = replace(self.quirks, most_varbinds=most, has_no_bulk=self.quirks.has_no_bulk or quirks.has_no_bulk)

    def refreshes_every(self, seconds: float | None) -> None:
        """The period of its counters, None when it is not known (any more)."""
        if seconds != self.quirks.refresh_seconds:
            self.quirks = replace(self.quirks, refresh_seconds=seconds)

    def has_no_bulk(self) -> None:
        """GETNEXT worked where GETBULK had not."""
        self.quirks = replace(self.quirks, has_no_bulk=True)

    def is_unordered(self) -> None:
        """A table whose rows are not in order."""
        self.quirks = replace(self.quirks, is_unordered=True)

    def was_too_much(self, varbinds: int) -> None:
        """So many were refused, or got no answer from a device that answers."""
        self._full_answers = 0
        if self._is_raised:
            self._patience, self._is_raised = min(2 * self._patience, RAISE_AFTER_AT_MOST), False
        self.quirks = replace(self.quirks, most_varbinds=max(1, varbinds // 2))

    def was_answered(self, varbinds: int) -> None:
        """So many were answered; after many answers at the limit it is raised by an eighth."""
        most = self.quirks.most_varbinds
        if most is None or varbinds < most:
            return
        self._full_answers += 1
        if self._full_answers >= self._patience:
            self._full_answers, self._is_raised = 0, True
            raised = most + max(1, most // 8)
            self.quirks = replace(self.quirks, most_varbinds=raised if raised < MAX_VARBINDS else None)
