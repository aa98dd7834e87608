"""The flow slices stored last: newest first, bounded, read beside the daemon that writes them."""

from observed_records import ORIGIN, SECOND, pane, reading

from netmote.records.flow import PANE_NS
from netmote.store.recent_flows import recent_flows


async def test_newest_first_and_only_flows(opened, tmp_path) -> None:
    """What ended later comes first; other records and what ended before are left out; the writer need not have closed."""
    store = await opened()
    await store.append([pane(0), reading(0), pane(1, ports=3), pane(2)])
    found = recent_flows(tmp_path, ORIGIN + PANE_NS)
    assert [batch.start_ns for batch in found] == [ORIGIN + 2 * PANE_NS, ORIGIN + PANE_NS]
    assert (found[1].slices == pane(1, ports=3).slices).all()
    assert len(recent_flows(tmp_path, 0, limit=1)) == 1


async def test_the_newest_file_is_read(opened, tmp_path, clock) -> None:
    """After midnight, and after a day that came twice, the file begun last counts."""
    store = await opened()
    await store.append([pane(0)])
    clock.advance(86_400.0)
    later = ORIGIN + 86_400 * SECOND
    await store.append([pane(0, origin_ns=later)])
    assert [batch.start_ns for batch in recent_flows(tmp_path, 0)] == [later]


def test_without_telemetry(tmp_path) -> None:
    """An empty state directory has none."""
    assert recent_flows(tmp_path, 0) == []


async def test_the_index_over_ends_is_used(opened, tmp_path) -> None:
    """A day's file holds a million batches: none but those asked for is read."""
    import sqlite3

    from netmote.store.recent_flows import _QUERY

    store = await opened()
    await store.append([pane(0)])
    (path,) = tmp_path.glob("telemetry-*.db")
    with sqlite3.connect(path) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {_QUERY}", (0, 1)).fetchall()
    connection.close()
    assert "USING INDEX batch_end" in plan[0][3]
