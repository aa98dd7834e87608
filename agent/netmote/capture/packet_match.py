"""Which frames are of an address or of a flow, decided by the very decoding that metering uses. Pure."""

from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames
from netmote.capture.headers import decode
from netmote.capture.packets import PacketColumns
from netmote.capture.tunnels import Tunnel

_MAPPED = b"\0" * 10 + b"\xff\xff"  # ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)


@dataclass(frozen=True, slots=True)
class FlowEnds:
    """A flow as people name it, either way round: addresses in presentation form, ports 0 where the protocol has none."""

    source_address: str
    source_port: int
    destination_address: str
    destination_port: int
    protocol_identifier: int


def frames_of_address(frames: Frames, address: str, *, tunnels: tuple[Tunnel, ...] = ()) -> NDArray[np.bool_]:
    """(n,) frames whose packet has this source or destination. Raises ValueError when it is no address."""
    packets, rows = _decoded(frames, tunnels)
    wanted = _sixteen(address)
    found = np.zeros(len(frames), np.bool_)
    found[rows] = (packets.source_address == wanted) | (packets.destination_address == wanted)
    return found


def frames_of_flows(frames: Frames, flows: tuple[FlowEnds, ...], *, tunnels: tuple[Tunnel, ...] = ()) -> NDArray[np.bool_]:
    """(n,) frames of any of these flows, in either direction. Raises ValueError when an address is none."""
    packets, rows = _decoded(frames, tunnels)
    source, destination = packets.source_address, packets.destination_address
    is_wanted = np.zeros(len(packets), np.bool_)
    for flow in flows:
        one, other = _sixteen(flow.source_address), _sixteen(flow.destination_address)
        forth = (source == one) & (destination == other)
        forth &= (packets.source_port == flow.source_port) & (packets.destination_port == flow.destination_port)
        back = (source == other) & (destination == one)
        back &= (packets.source_port == flow.destination_port) & (packets.destination_port == flow.source_port)
        is_wanted |= (forth | back) & (packets.protocol_identifier == flow.protocol_identifier)
    found = np.zeros(len(frames), np.bool_)
    found[rows] = is_wanted
    return found


def _decoded(frames: Frames, tunnels: tuple[Tunnel, ...]) -> tuple[PacketColumns, NDArray[np.intp]]:
    """The packets, and which frame each of them was."""
    packets = decode(frames, "", tunnels=tunnels)
    is_row = np.ones(len(frames), np.bool_)
    is_row[packets.undecodable_position + np.arange(len(packets.undecodable_position))] = False
    return packets, np.flatnonzero(is_row)


def _sixteen(address: str) -> np.void:
    packed = ip_address(address).packed
    return np.void(packed if len(packed) == 16 else _MAPPED + packed)
