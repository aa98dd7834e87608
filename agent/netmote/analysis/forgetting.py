"""An address out of the state that a checkpoint holds. Pure: bytes in, bytes out."""

import json
from collections.abc import Callable
from typing import Any

from netmote.analysis.analysis import packed_state, unpacked_state


def state_without(state: bytes, addresses: frozenset[str], document: Callable[[Any], Any]) -> bytes:
    """A `state` of the analysis in which nothing is pending about hosts of these addresses, and `document` (JSON to JSON) took them out of all else.

    What fires goes on under its id until it ends. Raises ValueError when it is no state.
    """
    try:
        parts = {name: json.loads(part) for name, part in unpacked_state(state).items()}
        book = parts["book"]
        book["episodes"] = [each for each in book["episodes"] if not _is_pending_of(each["alert"], addresses)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a state of the analysis: {type(error).__name__} {error}") from error
    return packed_state({name: json.dumps(document(part), separators=(",", ":")).encode("ascii") for name, part in parts.items()})


def _is_pending_of(alert: dict[str, Any], addresses: frozenset[str]) -> bool:
    return alert["state"] == "pending" and alert["entity"]["kind"] == "host" and alert["entity"]["name"] in addresses
