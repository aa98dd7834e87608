"""The flows, peers and ports behind one entity's traffic window, for people to read. Computed only when asked."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity, EntityKind
from netmote.windows.addresses import AddressTable
from netmote.windows.flow_pane import EVIDENCE_DTYPE, TCP, UDP, FlowPart
from netmote.windows.vector import FlowEvidence, WindowEvidence

TOP = 5

_FLOW_KEY = ["source", "source_port", "destination", "destination_port", "protocol"]


def evidence_of(entity: Entity, parts: Sequence[FlowPart], addresses: AddressTable, sensor: str) -> WindowEvidence:
    """The five flows with most octets and the five with most slices (without repeats), the busiest peers and responder ports."""
    flows, is_out = _flows_of(entity, parts, addresses, sensor)
    if not len(flows):
        return WindowEvidence()
    peers = np.where(is_out, flows["destination"], flows["source"])
    has_port = (flows["protocol"] == TCP) | (flows["protocol"] == UDP)
    top_peers = [(addresses.text(number), slices) for number, slices in _counted(peers)]
    ports = _counted(flows["destination_port"][has_port])
    return WindowEvidence(
        top_flows=_top_flows(flows, addresses),
        top_peers=tuple(sorted(top_peers, key=lambda pair: (-pair[1], pair[0]))[:TOP]),
        top_ports=tuple(sorted(ports, key=lambda pair: (-pair[1], pair[0]))[:TOP]),
    )


def _flows_of(
    entity: Entity, parts: Sequence[FlowPart], addresses: AddressTable, sensor: str
) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """The slices of the entity and which of them it initiated."""
    found, directions = [], []
    for part in parts:
        if entity.kind is EntityKind.INTERFACE:
            if entity.name == f"{sensor}/{_interface_name(part.interface, addresses)}":
                found.append(part.flows)
                directions.append(np.ones(len(part.flows), np.bool_))
        elif entity.kind is EntityKind.HOST:
            number = addresses.number(entity.name)
            is_out, is_in = part.flows["source"] == number, part.flows["destination"] == number
            found.append(part.flows[is_out | is_in])
            directions.append(is_out[is_out | is_in])
    if not found:
        return np.zeros(0, EVIDENCE_DTYPE), np.zeros(0, np.bool_)
    return np.concatenate(found), np.concatenate(directions)


def _interface_name(number: int, addresses: AddressTable) -> str:
    return next(name for name, candidate in addresses.interfaces.items() if candidate == number)


def _counted(values: NDArray[np.integer]) -> list[tuple[int, int]]:
    unique, counts = np.unique(values, return_counts=True)
    # Every value with the count of the fifth stays in, so that ties are broken by name and not by number.
    least = np.sort(counts)[-min(TOP, counts.size)] if counts.size else 0
    return [(int(value), int(count)) for value, count in zip(unique[counts >= least], counts[counts >= least], strict=True)]


def _top_flows(flows: NDArray[np.void], addresses: AddressTable) -> tuple[FlowEvidence, ...]:
    order = np.lexsort([flows[name] for name in reversed(_FLOW_KEY)])
    ordered = flows[order]
    is_first = np.ones(len(ordered), np.bool_)
    is_first[1:] = np.logical_or.reduce([ordered[name][1:] != ordered[name][:-1] for name in _FLOW_KEY])
    starts = np.flatnonzero(is_first)
    octets = np.add.reduceat(ordered["octets"], starts)
    packets = np.add.reduceat(ordered["packets"], starts)
    slices = np.diff(starts, append=len(ordered))
    keys = ordered[starts]
    ties = (
        keys["protocol"],
        keys["destination_port"],
        keys["source_port"],
        addresses.low[keys["destination"]],
        addresses.high[keys["destination"]],
        addresses.low[keys["source"]],
        addresses.high[keys["source"]],
    )
    by_octets = np.lexsort((*ties, -octets))[:TOP].tolist()
    by_slices = np.lexsort((*ties, -slices))[:TOP].tolist()
    return tuple(
        FlowEvidence(
            source_address=addresses.text(int(keys["source"][at])),
            source_transport_port=int(keys["source_port"][at]),
            destination_address=addresses.text(int(keys["destination"][at])),
            destination_transport_port=int(keys["destination_port"][at]),
            protocol_identifier=int(keys["protocol"][at]),
            octets=int(octets[at]),
            packets=int(packets[at]),
            slices=int(slices[at]),
        )
        for at in dict.fromkeys(by_octets + by_slices)
    )
