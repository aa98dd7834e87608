"""Sums over a span: what the roll-ups and records hold, by interval, over several files; a damaged file is named and left out."""

import pytest
from observed_records import ORIGIN, SECOND, pane, reading
from store_samples import T0, device_record, interface_batch

from netmote.store.history_view import read_history
from netmote.store.telemetry_schema import MINUTE_NS

FIVE = 5 * MINUTE_NS


async def test_sums_by_interval(opened, tmp_path) -> None:
    """Panes of one interval add up, and those outside the span are left out; the writer need not have closed."""
    store = await opened()
    await store.append([pane(number, ports=2) for number in range(0, 144, 12)])  # one a minute, twelve minutes
    found = read_history(tmp_path, ORIGIN, ORIGIN + 10 * MINUTE_NS, step_ns=FIVE, gauges=())
    (points,) = found.traffic.values()
    assert list(found.traffic) == ["capture:eth0"]
    assert sum(each.packets for each in points.values()) == 10 * (22 + 2)
    assert sum(each.octets for each in points.values()) == 10 * (10_500 + 88)
    assert all(at % FIVE == 0 for at in points)


async def test_devices_ports_and_gauges(opened, tmp_path) -> None:
    """Polls answered and not, round trips, octets of ports, means of gauges that were asked for."""
    store = await opened()
    await store.append([device_record(), device_record(T0 + 60 * SECOND, is_reachable=False), interface_batch()])
    await store.append([reading(0), reading(1)])
    found = read_history(tmp_path, 0, 2**62, step_ns=MINUTE_NS, gauges=("load_1m",))
    (polls,) = found.devices.values()
    assert sum(each.polls for each in polls.values()) == 2
    assert sum(each.answered for each in polls.values()) == 1
    assert len(found.ports) == 3
    assert set(found.gauges) == {"load_1m"}
    assert list(found.gauges["load_1m"].values()) == pytest.approx([0.2])


async def test_over_several_files(opened, tmp_path, clock) -> None:
    """A source that two days' files hold is one source."""
    store = await opened()
    await store.append([pane(0)])
    clock.advance(86_400.0)
    await store.append([pane(0, origin_ns=ORIGIN + 86_400 * SECOND)])
    found = read_history(tmp_path, 0, 2**62, step_ns=FIVE, gauges=())
    assert len(found.traffic["capture:eth0"]) == 2


async def test_a_damaged_file_is_named(opened, tmp_path) -> None:
    """The others are read; nobody is told that the span was quiet."""
    store = await opened()
    await store.append([pane(0)])
    (tmp_path / "telemetry-20200101.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    found = read_history(tmp_path, 0, 2**62, step_ns=FIVE, gauges=())
    assert found.traffic
    (line,) = found.unread
    assert line.startswith("telemetry-20200101.db: ")


def test_no_finer_than_the_rollups(tmp_path) -> None:
    """Less than a minute is refused."""
    with pytest.raises(ValueError, match="at least"):
        read_history(tmp_path, 0, 1, step_ns=MINUTE_NS - 1, gauges=())
