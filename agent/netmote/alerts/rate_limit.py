"""How many alerts may begin to be forwarded within an hour, and what a digest says of those held back.

A network that breaks breaks in a hundred places; whoever is called needs to know that, not to be called a hundred times. What is held
back is stored and shown like a silenced alert, and forwarded when there is room again, if it still fires then.
"""

from collections import Counter, deque
from collections.abc import Mapping

from netmote.records.entity import Entity
from netmote.scoring.finding import Contributor, Finding, Severity

HOUR_NS = 3_600_000_000_000
DIGEST = "alerts_held_back"
# Groups that the digest names; the others are one number.
_NAMED = 5
# Groups counted at once: rules and groups of features are few, their values (`new_listener/8080`) may be many.
_MOST_GROUPS = 256
_OTHERS = "others"
# As certain as a rule: it is a count.
_SURPRISE = 6.0


class RateLimit:
    """`most` alerts an hour. Pure: event time is given to it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._forwarded_ns: deque[int] = deque(maxlen=most)
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> Mapping[str, int]:
        """Alerts held back since the digest began, by group; some may have been forwarded since."""
        return self._held

    def has_room(self, now_ns: int) -> bool:
        """Whether one more may be forwarded now."""
        return len(self._forwarded_ns) < self._most or now_ns - self._forwarded_ns[0] >= HOUR_NS

    def forward(self, now_ns: int) -> None:
        """One is forwarded."""
        self._forwarded_ns.append(now_ns)

    def hold_back(self, group: str) -> None:
        """One is held back."""
        known = group in self._held or len(self._held) < _MOST_GROUPS
        self._held[group if known else _OTHERS] += 1

    def forget_held(self) -> None:
        """The digest has ended."""
        self._held.clear()

    def digest(self, sensor: Entity, now_ns: int) -> Finding:
        """What is to be told of the alerts held back, as a condition of the sensor."""
        counts = self._held.most_common(_NAMED)
        rest = self._held.total() - sum(count for _, count in counts)
        parts = [f"{count} {group}" for group, count in counts] + ([f"{rest} others"] if rest else [])
        return Finding(
            group=DIGEST,
            detector="rule",
            entity=sensor,
            start_ns=now_ns,
            end_ns=now_ns,
            surprise=_SURPRISE,
            severity=Severity.WARNING,
            title=f"{self._held.total()} alerts are held back, more than {self._most} within an hour: {', '.join(parts)}",
            contributors=tuple(Contributor(group, "{alert}", float(count)) for group, count in counts),
            check="`netmote alerts list --state firing` shows them all. They share a cause more often than not.",
            is_until_cleared=True,
        )

    def state(self) -> dict[str, object]:
        """As JSON values, for the checkpoint."""
        return {"forwarded_ns": list(self._forwarded_ns), "held": dict(self._held)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take up a `state`. Raises TypeError, ValueError or KeyError when it is none."""
        forwarded, held = state["forwarded_ns"], state["held"]
        if not isinstance(forwarded, list) or not isinstance(held, dict):
            raise TypeError("not the state of a rate limit")
        self._forwarded_ns = deque(map(int, forwarded), maxlen=self._most)
        self._held = Counter({str(group): int(count) for group, count in held.items()})
