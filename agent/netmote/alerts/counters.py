"""What the alert book did with every finding: nothing is dropped without one of these moving."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class BookCounters:
    """Counts since the book was made. Every finding given to the book ends in exactly one of the fields marked *."""

    findings: int = 0  # given to the book
    started: int = 0  # * began an episode (pending or firing)
    continued: int = 0  # * announced a change of an episode: it fired, grew graver, gained a cause, or was due for an update
    deduplicated: int = 0  # * belonged to an episode and changed nothing worth announcing, or repeated older evidence
    merged: int = 0  # * became part of another finding of the same entity and window
    inhibited: int = 0  # * explained by an alert that is firing
    withheld: int = 0  # * the same alert resolved within the cool-down
    refused: int = 0  # * `max_active` alerts are held already
    evicted: int = 0  # pending episodes that made room for something graver
    held_back: int = 0  # alerts that fired beyond the rate limit: stored, and forwarded later or never
    forgotten: int = 0  # cool-downs given up early because too many are remembered
    unmatched_clears: int = 0  # a condition ended that was not held here
    clamped: int = 0  # event times earlier than the book's own
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)  # (from, to), words of AlertState
