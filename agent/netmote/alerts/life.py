"""The life of an alert as one table: every state, every signal, what follows. Nothing else lives in this file.

                 HOLDS                PERSISTS             STOPS         COOLS
    inactive     pending              firing               inactive      inactive
    pending      pending              firing               inactive      pending
    firing       firing               firing               resolved      firing
    resolved     resolved (withheld)  resolved (withheld)  resolved      inactive

The words are those of Prometheus' alerts; `resolved` lasts as long as the cool-down.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from netmote.alerts.alert import AlertState


class Signal(StrEnum):
    """What can happen to the alert of one fingerprint."""

    HOLDS = "holds"  # a finding came, but not yet for as long as `for` asks
    PERSISTS = "persists"  # a finding came and `for` is satisfied
    STOPS = "stops"  # no finding for longer than `keep_firing_for`, or the condition was cleared
    COOLS = "cools"  # the cool-down is over, or something graver ends it early


TRANSITIONS: Mapping[tuple[AlertState, Signal], AlertState] = MappingProxyType(
    {
        (AlertState.INACTIVE, Signal.HOLDS): AlertState.PENDING,
        (AlertState.INACTIVE, Signal.PERSISTS): AlertState.FIRING,
        (AlertState.INACTIVE, Signal.STOPS): AlertState.INACTIVE,
        (AlertState.INACTIVE, Signal.COOLS): AlertState.INACTIVE,
        (AlertState.PENDING, Signal.HOLDS): AlertState.PENDING,
        (AlertState.PENDING, Signal.PERSISTS): AlertState.FIRING,
        (AlertState.PENDING, Signal.STOPS): AlertState.INACTIVE,
        (AlertState.PENDING, Signal.COOLS): AlertState.PENDING,
        (AlertState.FIRING, Signal.HOLDS): AlertState.FIRING,
        (AlertState.FIRING, Signal.PERSISTS): AlertState.FIRING,
        (AlertState.FIRING, Signal.STOPS): AlertState.RESOLVED,
        (AlertState.FIRING, Signal.COOLS): AlertState.FIRING,
        (AlertState.RESOLVED, Signal.HOLDS): AlertState.RESOLVED,
        (AlertState.RESOLVED, Signal.PERSISTS): AlertState.RESOLVED,
        (AlertState.RESOLVED, Signal.STOPS): AlertState.RESOLVED,
        (AlertState.RESOLVED, Signal.COOLS): AlertState.INACTIVE,
    }
)
