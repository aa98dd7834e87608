"""The alert book as bytes, for the checkpoint: one JSON object, versioned. Knows the encoding, decides nothing.

An episode is written as an alert in the ledger's own encoding, and beside it what only the book needs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from netmote.alerts.alert import AlertState
from netmote.alerts.encoding import decode_alert, encode_alert
from netmote.alerts.episode import Cooling, Episode
from netmote.scoring.finding import Severity

STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class BookState:
    """What a book knows: its event time, its pending and firing episodes and its cool-downs, by fingerprint."""

    now_ns: int
    episodes: dict[str, Episode]
    cooling: dict[str, Cooling]
    rate: Mapping[str, object]  # of the rate limit


def encode_state(state: BookState, *, sensor: str) -> bytes:
    """ASCII JSON; equal books give equal bytes."""
    document = {
        "state_version": STATE_VERSION,
        "now_ns": state.now_ns,
        "episodes": [_episode_to_json(episode, sensor) for episode in state.episodes.values()],
        "cooling": {
            fingerprint: [cooling.resolved_at_ns, cooling.last_seen_ns, cooling.severity.word]
            for fingerprint, cooling in state.cooling.items()
        },
        "rate": state.rate,
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode_state(body: bytes) -> BookState:
    """Inverse of `encode_state`. Raises ValueError when it is no state of a version we understand."""
    try:
        document = json.loads(body)
        if document["state_version"] != STATE_VERSION:
            raise ValueError(
                f"alert book state version {document['state_version']!r} is not understood; this version reads {STATE_VERSION}"
            )
        episodes = [_episode_from_json(each) for each in document["episodes"]]
        return BookState(
            now_ns=document["now_ns"],
            episodes={episode.fingerprint: episode for episode in episodes},
            cooling={
                fingerprint: Cooling(resolved_at_ns, last_seen_ns, Severity.of(severity))
                for fingerprint, (resolved_at_ns, last_seen_ns, severity) in document["cooling"].items()
            },
            rate=document["rate"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the state of an alert book: {type(error).__name__} {error}") from error


def _episode_to_json(episode: Episode, sensor: str) -> dict[str, Any]:
    finding = episode.finding
    return {
        "alert": json.loads(encode_alert(episode.revision_as(episode.state, sensor=sensor))),
        "finding": {
            "detector": finding.detector,
            "severity": finding.severity.word,
            "for_ns": finding.for_ns,
            "keep_firing_for_ns": finding.keep_firing_for_ns,
            "is_until_cleared": finding.is_until_cleared,
            "hop_ns": finding.hop_ns,
        },
        "announced_at_ns": episode.announced_at_ns,
        "announced_severity": episode.announced_severity.word,
        "announced_causes": sorted(episode.announced_causes),
        "was_forwarded": episode.was_forwarded,
        "cleared_at_ns": episode.cleared_at_ns,
    }


def _episode_from_json(document: Mapping[str, Any]) -> Episode:
    alert = decode_alert(json.dumps(document["alert"]).encode("ascii"))
    own = document["finding"]
    episode = Episode.restored_from(alert)
    episode.state = AlertState(alert.state)
    episode.finding = replace(
        episode.finding,
        detector=own["detector"],
        severity=Severity.of(own["severity"]),
        for_ns=own["for_ns"],
        keep_firing_for_ns=own["keep_firing_for_ns"],
        is_until_cleared=own["is_until_cleared"],
        hop_ns=own["hop_ns"],
    )
    episode.announced_at_ns = document["announced_at_ns"]
    episode.announced_severity = Severity.of(document["announced_severity"])
    episode.announced_causes = frozenset(document["announced_causes"])
    episode.was_forwarded = document["was_forwarded"]
    episode.cleared_at_ns = document["cleared_at_ns"]
    return episode
