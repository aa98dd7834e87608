"""Every kind of item as JSON lines: parseable, complete, and in pieces that hold nobody up."""

import json
from typing import Any

import numpy as np
from sink_alerts import committed_alert
from store_samples import T0, device_record, fact_batch, flow_batch, host_record, interface_batch, one_of_each

from netmote.daemon.live_lines import Item, blocks, records_in
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import ScoreBatch


def lines(item: Item) -> list[dict[str, Any]]:
    return [json.loads(line) for block in blocks(item) for line in block.splitlines()]


def test_a_pane_is_its_slices_and_what_became_of_the_packets() -> None:
    """One line a slice with every column, addresses as text; then the pane's account, which ends it."""
    batch = flow_batch(rows=1_200)
    *flows, pane = lines(batch)
    assert len(flows) == 1_200
    assert flows[7]["source_transport_port"] == int(batch.slices["source_transport_port"][7])
    assert flows[7]["source_address"].count(".") == 3
    assert flows[7]["flow_end_reason"] == "continues"
    assert (pane["kind"], pane["slices"], pane["received"], pane["undecodable"]) == ("pane", 1_200, 500, {"short": 4})
    assert max(block.count(b"\n") for block in blocks(batch)) <= 500


def test_readings_and_facts() -> None:
    """Invalid counters and missing gauges are null, states are words."""
    port = lines(interface_batch())[0]
    assert set(port["deltas"]) > {"if_hc_in_octets"}
    assert port["if_oper_status"].islower()
    assert lines(device_record(is_reachable=False))[0]["is_reachable"] is False
    assert "gauges" in lines(host_record())[0]
    assert all(line["entity"] and line["name"] for line in lines(fact_batch()))


def test_no_claim_is_null() -> None:
    """A score that says nothing is null, another comes as surprise and as 1 - p."""
    entities = (Entity(EntityKind.HOST, "192.0.2.1"), Entity(EntityKind.HOST, "192.0.2.2"))
    batch = ScoreBatch("traffic", "host", T0, T0 + 1, entities, np.array([2.0, np.nan]))
    first, second = lines(batch)
    assert (first["entity"], first["surprise"], first["score"]) == ("host:192.0.2.1", 2.0, 0.99)
    assert (second["surprise"], second["score"]) == (None, None)


def test_alerts_are_their_document() -> None:
    """As `netmote alerts list --json` prints them, and of which kind."""
    (line,) = lines((committed_alert(4),))
    assert (line["kind"], line["seq"], line["state"]) == ("alert", 4, "firing")


def test_the_weight_is_about_the_number_of_lines() -> None:
    """What a reader's buffer is bounded by counts what its lines will be."""
    for item in (*one_of_each(), (committed_alert(1), committed_alert(2))):
        assert records_in(item) == len(lines(item))
