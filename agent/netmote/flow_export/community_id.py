"""Community ID version 1: one short name for a flow in the logs of every tool (https://github.com/corelight/community-id-spec).

Computed for many flows at once: numpy lays out what is hashed, a row a flow, and only SHA-1 itself is called for each.
"""

from binascii import b2a_base64
from hashlib import sha1

import numpy as np
from numpy.typing import NDArray

from netmote.flow_export.icmp_answers import ICMP6_ANSWER, ICMP_ANSWER, NO_ANSWER

_ICMP, _TCP, _UDP, _ICMP6, _SCTP = 1, 6, 17, 58, 132


def community_ids(records: NDArray[np.void], *, seed: int = 0) -> list[str]:
    """The Community ID of each record (FLOW_DTYPE), such as "1:wCb3OG7yAFWelaUydu0D+125CLM=". `seed`: 0 to 65535, else ValueError."""
    if not 0 <= seed <= 0xFFFF:
        raise ValueError(f"a Community ID seed has 16 bits, {seed} has not")
    ids = [""] * len(records)
    protocol = records["protocol_identifier"]
    has_ports = np.isin(protocol, (_ICMP, _TCP, _UDP, _ICMP6, _SCTP))
    is_v4 = records["ip_version"] == 4
    for octets, version in ((4, is_v4), (16, ~is_v4)):
        for ports in (True, False):
            chosen = np.flatnonzero(version & (has_ports == ports))
            if len(chosen):
                for position, row in zip(chosen.tolist(), _rows(records[chosen], octets, seed, with_ports=ports), strict=True):
                    ids[position] = "1:" + b2a_base64(sha1(row, usedforsecurity=False).digest(), newline=False).decode()
    return ids


def _rows(records: NDArray[np.void], octets: int, seed: int, *, with_ports: bool) -> list[bytes]:
    """What is hashed of each flow, in network byte order: seed, addresses, protocol, a zero, ports."""
    count = len(records)
    source = _octets_of(records["source_address"])[:, 16 - octets :]
    destination = _octets_of(records["destination_address"])[:, 16 - octets :]
    source_port, destination_port, is_one_way = _ports(records)
    differs = source != destination
    first = differs.argmax(axis=1)
    index = np.arange(count)
    is_same = ~differs.any(axis=1)
    is_turned = np.where(is_same, source_port > destination_port, source[index, first] > destination[index, first]) & ~is_one_way
    rows = np.zeros((count, 2 + 2 * octets + 2 + (4 if with_ports else 0)), "u1")
    rows[:, 0], rows[:, 1] = divmod(seed, 256)
    rows[:, 2 : 2 + octets] = np.where(is_turned[:, None], destination, source)
    rows[:, 2 + octets : 2 + 2 * octets] = np.where(is_turned[:, None], source, destination)
    rows[:, 2 + 2 * octets] = records["protocol_identifier"]
    if with_ports:
        ports = np.empty((count, 2), ">u2")
        ports[:, 0] = np.where(is_turned, destination_port, source_port)
        ports[:, 1] = np.where(is_turned, source_port, destination_port)
        rows[:, -4:] = ports.view("u1")
    whole, width = rows.tobytes(), rows.shape[1]
    return [whole[start : start + width] for start in range(0, len(whole), width)]


def _ports(records: NDArray[np.void]) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.bool_]]:
    """Ports, or what stands for them in ICMP: the type, and the type of its answer or else the code. Also whether one way only.

    A flow of messages that answer each other has two ways; every other ICMP message is its own, as Zeek sees it.
    """
    source_port, destination_port = records["source_transport_port"].copy(), records["destination_transport_port"].copy()
    is_one_way = np.zeros(len(records), bool)
    for protocol, table in ((_ICMP, ICMP_ANSWER), (_ICMP6, ICMP6_ANSWER)):
        is_icmp = records["protocol_identifier"] == protocol
        if is_icmp.any():
            kind = records["icmp_type"][is_icmp]
            counterpart = table[kind]
            is_alone = counterpart == NO_ANSWER
            source_port[is_icmp] = kind
            destination_port[is_icmp] = np.where(is_alone, records["icmp_code"][is_icmp], counterpart)
            is_one_way[is_icmp] = is_alone
    return source_port, destination_port, is_one_way


def _octets_of(addresses: NDArray[np.void]) -> NDArray[np.uint8]:
    octets: NDArray[np.uint8] = np.ascontiguousarray(addresses).view("u1").reshape(-1, 16)
    return octets
