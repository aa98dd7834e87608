"""Flow export: processor time for each flow that leaves, over 20,000 flows in chunks of 1,000.

Peers do the same work flow by flow: `struct.pack` into IPFIX messages, `json.dumps` of a dictionary a flow (given its Community ID, its
texts of addresses and times), and the `communityid` library of the Community ID's authors. Limits: IPFIX 1 us, EVE 15 us a flow.
"""

import json
import statistics
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import communityid
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from exported_flows import many_flows

from netmote.flow_export.community_id import community_ids
from netmote.flow_export.eve.encoding import eve_lines
from netmote.flow_export.flow_queue import chunks_of
from netmote.flow_export.ipfix.message import DataSet, Session, pack
from netmote.flow_export.ipfix.templates import FlowTemplates, Form
from netmote.metering.flow_assembly import FlowAssembly
from netmote.records.flow import address_text

FLOWS = 20_000
ROUNDS = 5
LIMITS_NS = {"ipfix uniflow": 1_000.0, "ipfix biflow": 1_000.0, "eve": 15_000.0}


def main() -> int:
    chunks = [chunk.records for chunk in chunks_of("eth0", many_flows(FLOWS))]
    work: dict[str, tuple[Callable[[np.ndarray], object], Callable[[np.ndarray], object] | None, str]] = {
        "ipfix uniflow": (_ipfix("uniflow"), _packed, "struct.pack"),
        "ipfix biflow": (_ipfix("biflow"), _packed, "struct.pack"),
        "eve": (lambda records: "".join(eve_lines(records, interface="eth0", now_ns=1)).encode(), _dumped(chunks), "json.dumps"),
        "community id": (community_ids, _reference, "communityid"),
        "assembly": (lambda records: FlowAssembly().add(records), None, ""),
    }
    over = 0
    for name, (ours, theirs, peer) in work.items():
        mine, other = _interleaved(ours, theirs, chunks)
        limit = LIMITS_NS.get(name)
        over += limit is not None and mine > limit
        ratio = "" if other is None else f"; {peer} {other:,.0f} ns, {other / mine:.1f} times ours"
        print(f"  {name:13s} {mine:7,.0f} ns a flow{'' if limit is None else f' (limit {limit:,.0f})'}{ratio}")
    return int(over)


def _interleaved(
    ours: Callable[[np.ndarray], object], theirs: Callable[[np.ndarray], object] | None, chunks: list[np.ndarray]
) -> tuple[float, float | None]:
    """Median nanoseconds of processor time a flow, round by round in turn."""
    took: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(ROUNDS):
        for number, function in enumerate((ours, theirs)):
            if function is not None:
                began = time.process_time()
                for chunk in chunks:
                    function(chunk)
                took[number].append((time.process_time() - began) * 1e9 / FLOWS)
    return statistics.median(took[0]), statistics.median(took[1]) if took[1] else None


def _ipfix(form: Form) -> Callable[[np.ndarray], object]:
    templates = FlowTemplates(form)

    def encode(records: np.ndarray) -> list[bytes]:
        sets = [DataSet(each.template_id, each.dtype.itemsize, data.tobytes()) for each, data in templates.encode(records)]
        session, messages = Session(), []
        for body in pack(sets, message_octets=1_400):
            messages.append(session.message([body], observation_domain=1, export_time=1))
            session.sent([body], observation_domain=1)
        return messages

    return encode


def _packed(records: np.ndarray) -> bytes:
    """A biflow record of each flow."""
    names = (
        "source_transport_port",
        "destination_transport_port",
        "flow_start_ns",
        "flow_end_ns",
        "flow_id",
        "vlan_id",
        "dot1q_customer_vlan_id",
        "protocol_identifier",
        "ip_version",
        "flow_end_reason",
        "ip_class_of_service",
        "responder_octets",
        "responder_packets",
        "responder_tcp_control_bits",
        "initiator_octets",
        "initiator_packets",
        "initiator_tcp_control_bits",
    )
    form = struct.Struct("!4s4sHHQQQHHBBBBBQQBQQB")
    addresses = ([value[12:] for value in records[f"{side}_address"].tolist()] for side in ("source", "destination"))
    out = []
    for source, destination, one, other, start, end, *rest in zip(
        *addresses, *(records[name].tolist() for name in names), strict=True
    ):
        out.append(form.pack(source, destination, one, other, start // 10**6, end // 10**6, *rest[:7], 1, *rest[7:]))
    return b"".join(out)


def _dumped(chunks: list[np.ndarray]) -> Callable[[np.ndarray], object]:
    prepared = {
        id(chunk): [json.loads(line) for line in eve_lines(chunk, interface="eth0", now_ns=1)] for chunk in chunks
    }  # values made before: only the form is timed
    return lambda records: "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in prepared[id(records)]).encode()


def _reference(records: np.ndarray) -> list[str]:
    ids = communityid.CommunityID()
    return [
        ids.calc(
            communityid.FlowTuple.make_tcp(
                address_text(record["source_address"].tobytes()),
                address_text(record["destination_address"].tobytes()),
                int(record["source_transport_port"]),
                int(record["destination_transport_port"]),
            )
        )
        for record in records
    ]


if __name__ == "__main__":
    sys.exit(main())
