"""IPFIX messages (RFC 7011 section 3.1): a header, and sets as many as fit. Bytes out; knows no flow and no socket."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

VERSION = 10
HEADER_OCTETS, SET_HEADER_OCTETS = 16, 4


@dataclass(frozen=True, slots=True)
class DataSet:
    """Data records of one template, back to back, each `record_octets` long."""

    template_id: int
    record_octets: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """The sets of one message, and how many data records they hold."""

    octets: bytes
    data_records: int = 0


def pack(data_sets: Iterable[DataSet], *, message_octets: int) -> list[Body]:
    """These records as few messages of at most `message_octets`, in order. Raises ValueError when one record has no room."""
    bodies: list[Body] = []
    parts: list[bytes] = []
    used, counted = HEADER_OCTETS, 0
    for data in data_sets:
        start, size = 0, data.record_octets
        while start < len(data.octets):
            room = (message_octets - used - SET_HEADER_OCTETS) // size
            if room <= 0:
                if not parts:
                    raise ValueError(f"a record of {size} octets does not fit into a message of {message_octets}")
                bodies.append(Body(b"".join(parts), counted))
                parts, used, counted = [], HEADER_OCTETS, 0
                continue
            piece = data.octets[start : start + room * size]
            parts.append(one_set(data.template_id, piece))
            used += SET_HEADER_OCTETS + len(piece)
            counted += len(piece) // size
            start += len(piece)
    if parts:
        bodies.append(Body(b"".join(parts), counted))
    return bodies


def one_set(set_id: int, records: bytes) -> bytes:
    """A set (RFC 7011 section 3.3), without padding: no receiver of ours needs any."""
    return struct.pack("!HH", set_id, SET_HEADER_OCTETS + len(records)) + records


class Session:
    """One transport session: every observation domain counts its data records in it (RFC 7011 section 3.1, sequence number)."""

    def __init__(self) -> None:
        self._sequence: dict[int, int] = {}

    def message(self, bodies: Sequence[Body], *, observation_domain: int, export_time: int) -> bytes:
        """One message of these bodies. `export_time`: UTC seconds. The sequence moves only with `sent`."""
        octets = b"".join(body.octets for body in bodies)
        sequence = self._sequence.get(observation_domain, 0)
        header = struct.pack("!HHIII", VERSION, HEADER_OCTETS + len(octets), export_time % 2**32, sequence, observation_domain)
        return header + octets

    def sent(self, bodies: Sequence[Body], *, observation_domain: int) -> None:
        """The message of these bodies went out."""
        before = self._sequence.get(observation_domain, 0)
        self._sequence[observation_domain] = (before + sum(body.data_records for body in bodies)) % 2**32
