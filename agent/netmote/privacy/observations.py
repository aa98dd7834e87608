"""Records as this sensor may keep them: flow slices and facts with their addresses treated. For a worker thread: a pane takes its time.

Done before anything is stored or analysed, so that what is live and what a restart reads again are one and the same.
"""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from netmote.privacy.treatment import AddressTreatment
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import FlowBatch

_SIDES = ("source_address", "destination_address")
_IPV4_MAPPED = b"\0" * 10 + b"\xff\xff"  # RFC 4291 section 2.5.5.2


def concealed_batch(batch: Batch, treatment: AddressTreatment) -> Batch:
    """The same batch; readings of devices and of this machine name configured things and stay."""
    if treatment.is_keeping:
        return batch
    if isinstance(batch, FlowBatch) and len(batch.slices):
        return replace(batch, slices=_slices(batch.slices, treatment))
    if isinstance(batch, FactBatch) and batch.facts:
        return replace(batch, facts=tuple(_fact(fact, treatment) for fact in batch.facts))
    return batch


def _slices(slices: NDArray[np.void], treatment: AddressTreatment) -> NDArray[np.void]:
    treated = slices.copy()
    sides = np.stack([np.ascontiguousarray(slices[side]) for side in _SIDES])
    distinct, position = np.unique(sides.view(np.dtype((np.bytes_, 16))), return_inverse=True)
    # A bytes_ item loses its trailing zeros when it is read, so the octets are taken from the buffer.
    octets = np.ascontiguousarray(distinct).view(np.uint8).reshape(-1, 16)
    treated_octets = b"".join(treatment.packed(each.tobytes()) for each in octets)
    values = np.frombuffer(treated_octets, "V16")[position.reshape(2, -1)]
    is_ipv6 = np.zeros(len(slices), np.bool_)
    for side, of_side in zip(_SIDES, values, strict=True):
        treated[side] = of_side
        heads = np.ascontiguousarray(of_side).view(np.uint8).reshape(-1, 16)[:, : len(_IPV4_MAPPED)]
        is_ipv6 |= (heads != np.frombuffer(_IPV4_MAPPED, np.uint8)).any(axis=1)
    # A pseudonym is an IPv6 address, also of an IPv4 host: whoever exports the record must write all of it.
    treated["ip_version"][is_ipv6] = 6
    return treated


def _fact(fact: Fact, treatment: AddressTreatment) -> Fact:
    entity = fact.entity
    if entity.kind is EntityKind.HOST:
        entity = Entity(entity.kind, treatment.text(entity.name))
    annotations = {key: treatment.prose(value) for key, value in fact.annotations.items()}
    return replace(fact, entity=entity, annotations=MappingProxyType(annotations))
