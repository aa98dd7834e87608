"""Conditions over whole batches, in three values."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.records.entity import Entity, EntityKind
from netmote.scoring.rules.condition import (
    AllOf,
    AnyOf,
    Comparison,
    FeatureValue,
    Frame,
    NotOf,
    PortValue,
    RatioValue,
    WindowValue,
    comparisons,
)
from netmote.scoring.usual import Usual
from netmote.windows.schema import Feature, FeatureSchema
from netmote.windows.vector import FlowEvidence, VectorBatch, WindowEvidence

SCHEMA = FeatureSchema("traffic", 1, 60, 10, (Feature("a", "1", "a"), Feature("b", "1", "b"), Feature("c", "1", "c")))
A, B, C = (Comparison(FeatureValue(name, "1", column), above=0.5) for column, name in enumerate("abc"))
TRUE, FALSE, UNKNOWN = "true", "false", "unknown"


def batch(values, present=None) -> VectorBatch:
    values = np.asarray(values, float)
    rows = len(values)
    return VectorBatch(
        schema=SCHEMA,
        start_ns=0,
        end_ns=60_000_000_000,
        entities=tuple(Entity(EntityKind.HOST, f"10.0.0.{row}") for row in range(rows)),
        values=values,
        present=np.ones(values.shape, bool) if present is None else np.asarray(present, bool),
        coverage=np.ones(rows),
        quality=np.zeros(rows, np.uint8),
        loss_ratio=np.zeros(rows),
    )


def evaluate(node, vectors, *, raised=None, **beside):
    every = np.ones(len(vectors.entities), bool)
    truth = node.evaluate(Frame(vectors, **beside), ~every if raised is None else np.asarray(raised), every)
    assert not (truth.holds & ~truth.known).any()
    return [TRUE if holds else FALSE if known else UNKNOWN for holds, known in zip(truth.holds, truth.known, strict=True)]


def in_words(node, words):
    """The value of a node for given values of a, b and c."""
    numbers = [[1.0 if word == TRUE else 0.0 for word in words]]
    return evaluate(node, batch(numbers, [[word != UNKNOWN for word in words]]))[0]


@pytest.mark.parametrize(("a", "b"), list(product((TRUE, FALSE, UNKNOWN), repeat=2)))
def test_logic_is_kleenes(a, b):
    """False decides `all`, true decides `any`, and what is not known stays so through `not`."""
    both, either = in_words(AllOf((A, B)), (a, b, TRUE)), in_words(AnyOf((A, B)), (a, b, TRUE))
    assert both == (FALSE if FALSE in (a, b) else UNKNOWN if UNKNOWN in (a, b) else TRUE)
    assert either == (TRUE if TRUE in (a, b) else UNKNOWN if UNKNOWN in (a, b) else FALSE)
    assert in_words(NotOf(A), (a, b, TRUE)) == {TRUE: FALSE, FALSE: TRUE, UNKNOWN: UNKNOWN}[a]


def test_limits_are_strict():
    """A value at the limit does not hold."""
    at = batch([[0.5, 0, 0], [0.6, 0, 0]])
    assert evaluate(A, at) == [FALSE, TRUE]
    assert evaluate(Comparison(FeatureValue("a", "1", 0), below=0.6), at) == [TRUE, FALSE]


def test_hysteresis_holds_what_was_raised_until_the_clearing_limit():
    """Between the limits the past decides: raised stays, not raised stays not."""
    node = Comparison(FeatureValue("a", "1", 0), above=0.9, clear_below=0.8)
    vectors = batch([[0.85, 0, 0], [0.85, 0, 0], [0.8, 0, 0], [0.79, 0, 0], [0.95, 0, 0]])
    assert evaluate(node, vectors, raised=[True, False, True, True, False]) == [TRUE, FALSE, TRUE, FALSE, TRUE]
    below = Comparison(FeatureValue("a", "1", 0), below=0.1, clear_above=0.2)
    assert evaluate(below, batch([[0.15, 0, 0], [0.15, 0, 0], [0.21, 0, 0]]), raised=[True, False, True]) == [TRUE, FALSE, FALSE]


def test_a_ratio_of_something_to_nothing_is_infinite_and_of_nothing_to_nothing_not_known():
    """Errors on a port without good packets are all errors; silence has no ratio."""
    node = Comparison(RatioValue("a / (b + c)", "1", (0,), (1, 2)), above=10)
    assert evaluate(node, batch([[5, 0, 0], [0, 0, 0], [30, 1, 1], [5, 1, 1]])) == [TRUE, UNKNOWN, TRUE, FALSE]
    assert evaluate(node, batch([[30, 1, 1]], [[True, True, False]])) == [UNKNOWN]


def test_windows_are_judged_by_their_own_loss():
    """`loss_ratio` is a value like any other."""
    vectors = batch([[0, 0, 0]])
    assert evaluate(Comparison(WindowValue("loss_ratio"), below=0.01), vectors) == [TRUE]


def test_a_baseline_is_asked_only_where_there_is_one():
    """Without a baseline the condition is not known, unless another limit fails already; with one it is the distance that counts."""
    node = Comparison(FeatureValue("a", "1", 0), above=1, sigma_above=3)
    vectors = batch([[10, 0, 0], [10, 0, 0], [10, 0, 0], [0.5, 0, 0]])
    assert evaluate(node, vectors) == [UNKNOWN, UNKNOWN, UNKNOWN, FALSE]
    deviation = np.array([[9.0, 0, 0], [1.0, 0, 0], [np.nan, 0, 0], [50.0, 0, 0]])
    usual = Usual(np.where(np.isnan(deviation), np.nan, 1.0), deviation, ~np.isnan(deviation))
    assert evaluate(node, vectors, baselines=lambda _: usual) == [TRUE, FALSE, UNKNOWN, FALSE]
    assert evaluate(NotOf(node), vectors, baselines=lambda _: usual) == [FALSE, TRUE, UNKNOWN, TRUE]


def test_baselines_are_asked_once_a_window_and_only_where_wanted():
    """Conditions without a distance never ask; several with one share the answer."""
    asked = []

    def baselines(vectors):
        asked.append(vectors)
        shape = vectors.values.shape
        return Usual(np.zeros(shape), np.ones(shape), np.ones(shape, bool))

    vectors = batch([[1, 1, 1]])
    evaluate(AllOf((A, B, C)), vectors, baselines=baselines)
    assert asked == []
    far = tuple(Comparison(FeatureValue(name, "1", column), sigma_above=0.5) for column, name in enumerate("abc"))
    assert evaluate(AllOf(far), vectors, baselines=baselines) == [TRUE]
    assert asked == [vectors]


def test_evidence_is_gathered_only_for_entities_of_which_all_else_holds():
    """Evidence is costly: an entity whose cheap conditions fail is never asked for; without evidence nothing is known."""
    asked = []

    def evidence(entity):
        asked.append(entity.name)
        return WindowEvidence(top_ports=((22, 90), (443, 10)))

    node = AllOf((Comparison(PortValue("brief", "{slice}", frozenset({22})), above=30), A))
    vectors = batch([[1, 0, 0], [0, 0, 0]])
    assert evaluate(node, vectors, evidence=evidence) == [TRUE, FALSE]
    assert asked == ["10.0.0.0"]
    assert evaluate(node, vectors) == [UNKNOWN, FALSE]


def test_lasting_flows_are_not_brief_ones():
    """Six terminal sessions of twelve slices each are no attempts, ninety attempts beside one are."""

    def session(number):
        return FlowEvidence("10.0.0.0", 40_000 + number, "10.0.0.9", 22, 6, 1, 1, 12)

    node = Comparison(PortValue("brief", "{slice}", frozenset({22})), above=30)
    sessions = WindowEvidence(top_flows=tuple(map(session, range(5))), top_ports=((22, 72),))
    attempts = WindowEvidence(top_flows=(session(0),), top_ports=((22, 102),))
    assert evaluate(node, batch([[0, 0, 0]]), evidence=lambda _: sessions) == [FALSE]
    assert evaluate(node, batch([[0, 0, 0]]), evidence=lambda _: attempts) == [TRUE]


def test_what_is_under_not_drives_no_finding():
    """A hindrance is no cause: it is no contributor."""
    assert list(comparisons(AllOf((A, NotOf(B), AnyOf((C, A)))))) == [A, C, A]


NODES = st.recursive(
    st.sampled_from([A, B, C]),
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=3).map(lambda each: AllOf(tuple(each))),
        st.lists(parts, min_size=1, max_size=3).map(lambda each: AnyOf(tuple(each))),
        parts.map(NotOf),
    ),
    max_leaves=8,
)
ROW = st.tuples(*[st.tuples(st.sampled_from([0.0, 1.0]), st.booleans())] * 3)


@given(NODES, st.lists(ROW, min_size=1, max_size=6))
def test_a_batch_gives_what_its_entities_give_one_by_one(node, rows):
    """Evaluation is vectorised; the answer of an entity does not depend on who stands beside it."""
    vectors = batch([[value for value, _ in row] for row in rows], [[known for _, known in row] for row in rows])
    alone = [evaluate(node, batch([vectors.values[row]], [vectors.present[row]]))[0] for row in range(len(rows))]
    assert evaluate(node, vectors) == alone


@given(NODES, ROW)
def test_learning_what_was_not_known_never_turns_an_answer(node, row):
    """An answer given without knowing something stays right whatever that turns out to be."""
    values, known = [[value for value, _ in row]], [[known for _, known in row]]
    answer = evaluate(node, batch(values, known))[0]
    if answer != UNKNOWN:
        assert evaluate(node, batch(values))[0] == answer
