"""Community ID against the reference implementation of its authors."""

import communityid
import numpy as np
import pytest
from exported_flows import flow_records
from hypothesis import given
from hypothesis import strategies as st

from netmote.flow_export.community_id import community_ids
from netmote.records.flow import FLOW_DTYPE, address_text


def reference(record: np.void, seed: int) -> str:
    source, destination = (address_text(record[f"{side}_address"].tobytes()) for side in ("source", "destination"))
    protocol = int(record["protocol_identifier"])
    if protocol in (1, 58):
        ports = (int(record["icmp_type"]), int(record["icmp_code"]))
    elif protocol in (6, 17, 132):
        ports = (int(record["source_transport_port"]), int(record["destination_transport_port"]))
    else:
        ports = (None, None)
    return communityid.CommunityID(seed=seed).calc(communityid.FlowTuple(protocol, source, destination, *ports))


def one(
    *, version: int, source: bytes, destination: bytes, ports: tuple[int, int], protocol: int, icmp: tuple[int, int]
) -> np.ndarray:
    record = np.zeros(1, FLOW_DTYPE)
    prefix = b"\0" * 10 + b"\xff\xff" if version == 4 else b""
    octets = 4 if version == 4 else 16
    record["source_address"] = np.void(prefix + source[:octets])
    record["destination_address"] = np.void(prefix + destination[:octets])
    record["source_transport_port"], record["destination_transport_port"] = ports
    record["ip_version"], record["protocol_identifier"] = version, protocol
    record["icmp_type"], record["icmp_code"] = icmp
    return record


# Few values, so that equal addresses, equal ports and every pair of ICMP types come up often.
addresses = st.one_of(st.binary(min_size=16, max_size=16), st.sampled_from([b"\x20\x01" + b"\1" * 14, b"\x20\x01" + b"\2" * 14]))
ports = st.one_of(st.integers(0, 65535), st.sampled_from([0, 53, 443]))


@given(
    version=st.sampled_from([4, 6]),
    source=addresses,
    destination=addresses,
    port=st.tuples(ports, ports),
    protocol=st.one_of(st.integers(0, 255), st.sampled_from([1, 6, 17, 58, 132])),
    icmp=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    seed=st.sampled_from([0, 1, 65535]),
)
def test_equals_the_reference(*, version, source, destination, port, protocol, icmp, seed) -> None:
    """Any flow, any seed: the identifier of the authors' own library."""
    if version == 6 and source[:12] == b"\0" * 10 + b"\xff\xff":
        return
    record = one(version=version, source=source, destination=destination, ports=port, protocol=protocol, icmp=icmp)
    assert community_ids(record, seed=seed) == [reference(record[0], seed)]


def test_many_at_once_keep_their_order() -> None:
    """A batch of every kind of flow gives each its own identifier, in place."""
    records = flow_records()
    assert len({(int(r["ip_version"]), int(r["protocol_identifier"])) for r in records}) > 5
    assert community_ids(records) == [reference(record, 0) for record in records]
    assert community_ids(records[:0]) == []


def test_both_directions_share_it() -> None:
    """A flow seen from its other end has the same identifier; that is what it is for."""
    there = one(version=4, source=b"\x0a\0\0\1" * 4, destination=b"\x0a\0\0\2" * 4, ports=(40000, 80), protocol=6, icmp=(0, 0))
    back = one(version=4, source=b"\x0a\0\0\2" * 4, destination=b"\x0a\0\0\1" * 4, ports=(80, 40000), protocol=6, icmp=(0, 0))
    assert community_ids(there) == community_ids(back)


@pytest.mark.parametrize("seed", [-1, 65536])
def test_a_seed_is_two_octets(seed: int) -> None:
    """A seed beyond 16 bits is refused rather than cut."""
    with pytest.raises(ValueError):
        community_ids(flow_records(), seed=seed)
