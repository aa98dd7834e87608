"""Rows of entities: stable, bounded, the one seen longest ago gives way."""

import numpy as np
import pytest
from feature_vectors import hosts

from netmote.scoring.entity_rows import ABSENT, EntityRows


def test_rows_are_stable_and_fresh_only_once() -> None:
    """An entity keeps its row; a new one is reported as fresh exactly once, whatever the order."""
    rows = EntityRows(capacity=10)
    a, b, c = hosts(3)
    first, fresh = rows.assign([a, b])
    assert fresh.tolist() == first.tolist()
    again, none = rows.assign([b, a])
    assert again.tolist() == first[::-1].tolist()
    assert not len(none)
    assert rows.assign([b, a])[0].tolist() == again.tolist()
    _, one = rows.assign([a, c])
    assert one.tolist() == [rows.find(c)]
    assert (len(rows), rows.allocated, a in rows, hosts(4)[3] in rows) == (3, 3, True, False)


def test_looking_up_counts_as_nothing() -> None:
    """Rows of many at once, ABSENT for strangers; who was only looked up still gives way first."""
    rows = EntityRows(capacity=2)
    a, b, c = hosts(3)
    rows.assign([a])
    rows.assign([b])
    assert rows.find_all([c, a, b]).tolist() == [ABSENT, rows.find(a), rows.find(b)]
    assert rows.find_all([]).shape == (0,)
    rows.find_all([a])
    rows.assign([c])
    assert a not in rows


def test_the_longest_unseen_gives_way() -> None:
    """With the table full, the entity seen longest ago loses its row to the new one, and that is counted."""
    rows = EntityRows(capacity=2)
    a, b, c = hosts(3)
    rows.assign([a])
    rows.assign([b])
    rows.assign([a])
    row, fresh = rows.assign([c])
    assert b not in rows
    assert a in rows
    assert row.tolist() == fresh.tolist()
    assert rows.evicted == 1


def test_more_than_the_capacity_at_once_is_refused_and_counted() -> None:
    """Entities of one call never evict each other: the surplus gets no row."""
    rows = EntityRows(capacity=2)
    assigned, fresh = rows.assign(hosts(4))
    assert assigned.tolist() == [0, 1, ABSENT, ABSENT]
    assert len(fresh) == 2
    assert rows.refused == 2
    assert rows.assign(hosts(4))[0].tolist() == [0, 1, ABSENT, ABSENT]


def test_forgetting_frees_the_row() -> None:
    """A forgotten entity comes back as fresh, in a row that is free."""
    rows = EntityRows(capacity=2)
    a, b, c = hosts(3)
    rows.assign([a, b])
    assert rows.forget(a) == 0
    assert rows.forget(a) is None
    assigned, fresh = rows.assign([c, b])
    assert assigned.tolist() == [0, 1]
    assert fresh.tolist() == [0]
    assert rows.evicted == 0


def test_refill_begins_anew() -> None:
    """Restored entities lie in rows in order; repeats and surplus are refused."""
    rows = EntityRows(capacity=3)
    rows.assign(hosts(2))
    rows.refill(hosts(3))
    assert rows.entities() == tuple((entity, row) for row, entity in enumerate(hosts(3)))
    assert not len(rows.assign(hosts(3))[1])
    with pytest.raises(ValueError, match="each once"):
        rows.refill(hosts(4))
    with pytest.raises(ValueError, match="each once"):
        rows.refill([hosts(1)[0]] * 2)


def test_capacity_must_be_positive() -> None:
    """A table of no rows is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        EntityRows(capacity=0)


def test_many_entities_against_a_plain_model() -> None:
    """Against a list kept by hand: the same entities are held after any course of calls."""
    random = np.random.default_rng(5)
    rows, names, seen = EntityRows(capacity=8), hosts(20), []
    for _ in range(300):
        chosen = [names[index] for index in random.choice(20, size=random.integers(1, 4), replace=False)]
        assigned, _ = rows.assign(chosen)
        assert len(set(assigned.tolist())) == len(chosen)
        held = [entity for entity in seen if entity not in chosen]
        new = len([entity for entity in chosen if entity not in seen])
        seen = held[max(0, len(seen) + new - 8) :] + chosen
        assert {entity for entity, _ in rows.entities()} >= set(chosen)
        assert len(rows) == min(8, len(rows))
    assert len(rows) == 8
