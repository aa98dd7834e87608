"""The views people read with sqlite3: sums per minute, reachability, gauges, facts."""

import sqlite3
from contextlib import closing

import pytest
from store_samples import SECOND, T0, device_record, fact_batch, flow_batch, host_record, interface_batch

MINUTE0 = T0 // (60 * SECOND) * 60 * SECOND


@pytest.fixture
async def query(opened, tmp_path):
    """Run SQL on the telemetry file of a live store, as a person would beside the daemon."""
    store = await opened()
    await store.append([interface_batch(MINUTE0), interface_batch(MINUTE0 + 30 * SECOND), interface_batch(MINUTE0 + 60 * SECOND)])
    await store.append([flow_batch(MINUTE0 + second * SECOND) for second in range(0, 120, 5)])
    await store.append(
        [device_record(MINUTE0), device_record(MINUTE0 + 10 * SECOND, is_reachable=False), host_record(), fact_batch()]
    )
    (path,) = tmp_path.glob("telemetry-*.db")

    def run(sql):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    return run


def test_interface_traffic(query):
    """Two intervals end in the first minute, one in the second; an invalid cell adds nothing and is counted."""
    batch = interface_batch()
    rows = query("SELECT * FROM interface_traffic_per_minute WHERE interface = 'core/Gi0/0' ORDER BY minute")
    octets_in, octets_out = (int(batch.deltas[0, column]) for column in (0, 1))
    packets_in = int(batch.deltas[0, [2, 4, 6]].sum())
    assert rows[0][0] == "2023-11-14T22:13:00Z"
    assert rows[0][2:5] == (2 * octets_in, 2 * octets_out, 2 * packets_in)
    assert rows[0][6:] == (2, 0)
    assert rows[1][2:4] == (octets_in, octets_out)
    assert rows[1][6:] == (1, 0)
    damaged = query(
        "SELECT receive_octets, intervals, invalid_intervals FROM interface_traffic_per_minute WHERE interface = 'core/Gi0/1'"
    )
    assert damaged == [(0, 2, 2), (0, 1, 1)]


def test_capture_traffic(query):
    """The sums of the slices, and the packets that were lost."""
    slices = flow_batch().slices
    octets = int(slices["initiator_octets"].sum() + slices["responder_octets"].sum())
    rows = query("SELECT source, slices, octets, dropped_packets FROM capture_traffic_per_minute ORDER BY minute")
    assert len(rows) == 2
    assert rows[0] == ("capture:eth0", 12 * 100, 12 * octets, 12 * 16)


def test_reachability_gauges_and_facts(query):
    """A poll without an answer counts as a poll; what the machine lacks is NULL; facts read as sentences."""
    assert query("SELECT device, polls, answered, timeouts, mean_round_trip_ms FROM device_reachability_per_minute") == [
        ("core", 2, 1, 3, 1.5)
    ]
    gauges = dict(query("SELECT gauge, value FROM host_gauges"))
    assert len(gauges) == 13
    assert gauges["load_1m"] is None
    assert gauges["cpu_iowait_ratio"] == pytest.approx(1 / 7)
    assert query("SELECT entity, name, value FROM facts ORDER BY name") == [
        ("sensor:edge", "clock_step", 0.0),
        ("interface:core/Gi0/1", "interface_down", 1.0),
    ]
