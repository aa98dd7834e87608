"""Records at rest: treated alike in every batch, and nothing else of them touched."""

import numpy as np
import pytest
from store_samples import fact_batch, flow_batch, host_record, interface_batch

from netmote.privacy.config import Treatment
from netmote.privacy.observations import concealed_batch
from netmote.privacy.treatment import AddressTreatment
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import FLOW_DTYPE, address_text
from netmote.windows.config import WindowsConfig


def treating(kind: Treatment) -> AddressTreatment:
    return AddressTreatment(kind, key=bytes(32), local_networks=WindowsConfig().local_networks)


@pytest.mark.parametrize("kind", ["truncate", "hash"])
def test_slices_keep_all_but_addresses(kind: Treatment) -> None:
    """Every address becomes what its text becomes, octets that end in zeros too; every other column is as it was."""
    batch = flow_batch(rows=300)
    octets = np.frombuffer(b"".join([b"\0" * 10 + b"\xff\xff" + bytes([10, 0, 0, 0]), bytes([0x20, 1]) + bytes(14)]), "V16")
    batch.slices["source_address"][:2] = octets
    before = batch.slices.copy()
    treatment = treating(kind)
    hidden = concealed_batch(batch, treatment)
    for side in ("source_address", "destination_address"):
        expected = [treating(kind).text(address_text(value)) for value in before[side].tolist()]
        assert [address_text(value) for value in hidden.slices[side].tolist()] == expected
    others = [name for name in FLOW_DTYPE.names or () if not name.endswith("_address") and name != "ip_version"]
    assert all((hidden.slices[name] == before[name]).all() for name in others)
    assert (batch.slices == before).all(), "the batch that was given is not changed"


def test_a_pseudonym_is_exported_whole() -> None:
    """A record with an IPv6 address in it says so, or an exporter would write four octets of it; truncated ones stay what they were."""
    batch = flow_batch(rows=5)
    group = b"\0" * 10 + b"\xff\xff" + bytes([224, 0, 0, 251])
    batch.slices["source_address"][0] = batch.slices["destination_address"][0] = group
    assert concealed_batch(batch, treating("hash")).slices["ip_version"].tolist() == [4, 6, 6, 6, 6]
    assert concealed_batch(batch, treating("truncate")).slices["ip_version"].tolist() == [4] * 5


def test_facts_of_hosts_and_their_annotations() -> None:
    """The host of a fact and what is said beside it; devices are configured names and stay."""
    host = Fact(Entity(EntityKind.HOST, "198.51.100.7"), "neighbour_changed", 1, 1.0, {"now": "aa:bb:cc:01:02:03"})
    device = Fact(Entity(EntityKind.DEVICE, "core-1"), "snmp_authentication_failure", 1, 1.0, {"from": "198.51.100.9"})
    hidden = concealed_batch(FactBatch("capture:eth0", 0, 1, (host, device)), treating("truncate"))
    first, second = hidden.facts
    assert (first.entity.name, dict(first.annotations)) == ("198.51.100.0", {"now": "aa:bb:cc:00:00:00"})
    assert (second.entity.name, dict(second.annotations)) == ("core-1", {"from": "198.51.100.0"})


def test_other_batches_pass_as_they_are() -> None:
    """Readings, empty panes, and everything when nothing is to be hidden."""
    treatment = treating("hash")
    for batch in (host_record(), interface_batch(), flow_batch(rows=0), FactBatch("x", 0, 1, ())):
        assert concealed_batch(batch, treatment) is batch
    batch = fact_batch()
    assert concealed_batch(batch, treating("keep")) is batch
