"""The rule set: hysteresis and its state, baselines, exemptions, facts, order, cost."""

import time

import numpy as np
import pytest

from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.scoring.rules.rule_set import RuleSet
from netmote.scoring.usual import Usual
from netmote.windows.schemas import HOP_NS, SENSOR, TRAFFIC, WINDOW_NS
from netmote.windows.vector import VectorBatch

END = 1_700_000_060_000_000_000
PROBE = Entity(EntityKind.SENSOR, "probe")


def rule_set(folder, body: str) -> RuleSet:
    path = folder / "rules.yaml"
    path.write_text(f"rules:\n{body}")
    return RuleSet.load([str(path)])


def rule(when: str, *more: str, over: str = "traffic", rule_id: str = "a_rule") -> str:
    lines = [f"id: {rule_id}", 'title: "{name}: {window}"', "severity: error", f"over: {over}", f"when: {when}", *more]
    return "  - " + "\n    ".join(lines) + "\n"


def windows(schema, rows: dict[Entity, dict[str, float]], *, end_ns: int = END, absent: tuple[str, ...] = ()) -> VectorBatch:
    entities = tuple(sorted(rows))
    present = np.ones((len(entities), len(schema)), bool)
    for name in absent:
        present[:, schema.index[name]] = False
    return VectorBatch(
        schema=schema,
        start_ns=end_ns - WINDOW_NS,
        end_ns=end_ns,
        entities=entities,
        values=np.array([[rows[entity].get(name, 0.0) for name in schema.names] for entity in entities], float).reshape(
            present.shape
        ),
        present=present,
        coverage=np.ones(len(entities)),
        quality=np.zeros(len(entities), np.uint8),
        loss_ratio=np.zeros(len(entities)),
    )


def host(number: int) -> Entity:
    return Entity(EntityKind.HOST, f"10.0.0.{number}")


DISK = rule("{feature: disk_used_ratio, above: 90 %, clear_below: 85 %}", over="sensor")


def disk(rules: RuleSet, used: float, step: int, **options) -> bool:
    window = windows(SENSOR, {PROBE: {"disk_used_ratio": used}}, end_ns=END + step * HOP_NS, **options)
    return bool(rules.evaluate(window))


def test_hysteresis_is_kept_over_windows_and_across_a_restart(tmp_path):
    """Raised above 90 %, held until below 85 %; a restart in between changes nothing; what is not observed keeps the mark."""
    rules = rule_set(tmp_path, DISK)
    assert [disk(rules, used, step) for step, used in enumerate([0.88, 0.91, 0.88])] == [False, True, True]
    again = rule_set(tmp_path, DISK)
    again.restore(rules.state())
    assert again.state() == rules.state()
    for each in (rules, again):
        assert not disk(each, 0.0, 3, absent=("disk_used_ratio",))
        assert [disk(each, used, step) for step, used in enumerate([0.87, 0.84, 0.88], start=4)] == [True, False, False]


def test_the_mark_of_an_entity_that_is_gone_is_forgotten(tmp_path):
    """Hysteresis holds no more entities than live ones: after ten windows' time without the entity its mark is gone."""
    rules = rule_set(tmp_path, rule("{feature: syn_ps, above: 10, clear_below: 5}"))
    rules.evaluate(windows(TRAFFIC, {host(1): {"syn_ps": 20.0}}))
    assert b"10.0.0.1" in rules.state()
    rules.evaluate(windows(TRAFFIC, {host(2): {}}, end_ns=END + 11 * WINDOW_NS))
    assert b"10.0.0.1" not in rules.state()


@pytest.mark.parametrize(
    "state", [b"", b"[]", b"{}", b'{"state_version": 9, "raised": {}}', b'{"state_version": 1, "raised": {"a_rule": 3}}']
)
def test_a_state_that_is_none_is_refused(tmp_path, state):
    """A checkpoint of another version or a damaged one raises ValueError; the caller starts cold."""
    with pytest.raises(ValueError):
        rule_set(tmp_path, DISK).restore(state)


def test_marks_of_rules_no_longer_in_force_are_dropped(tmp_path):
    """A rule that was removed leaves nothing behind."""
    rules = rule_set(tmp_path, DISK)
    disk(rules, 0.95, 0)
    other = rule_set(tmp_path, DISK.replace("a_rule", "another"))
    other.restore(rules.state())
    assert b"probe" not in other.state()


def test_a_baseline_turns_into_a_contributor_with_its_distance(tmp_path):
    """Where baselines are supplied, a rule may ask for the distance, and the finding tells what was usual."""
    rules = rule_set(tmp_path, rule("{feature: syn_ps, above_baseline_sigma: 5}"))
    window = windows(TRAFFIC, {host(1): {"syn_ps": 12.0}, host(2): {"syn_ps": 12.0}})
    assert rules.evaluate(window) == ()
    shape = window.values.shape
    centre, deviation = np.full(shape, 2.0), np.full(shape, 10.0)
    deviation[1] = 1.0
    (finding,) = rules.evaluate(window, usual=lambda _: Usual(centre, deviation, np.ones(shape, bool)))
    assert finding.entity == host(1)
    (syn,) = finding.contributors
    assert (syn.value, syn.baseline, syn.sigma, syn.threshold) == (12.0, 2.0, 10.0, None)
    (finding,) = rules.evaluate(window, usual=lambda _: Usual(centre, deviation * 1e4, deviation > 5))
    assert finding.contributors[0].sigma == 999.0


def test_a_rule_may_look_below_what_is_usual(tmp_path):
    """The other direction: a value far below its baseline, and never one above it."""
    rules = rule_set(tmp_path, rule("{feature: syn_ps, below_baseline_sigma: 5}"))
    window = windows(TRAFFIC, {host(1): {"syn_ps": 0.0}, host(2): {"syn_ps": 90.0}, host(3): {"syn_ps": 1.0}})
    shape = window.values.shape
    deviation = np.full(shape, -10.0)
    deviation[1], deviation[2] = 10.0, -4.0
    (finding,) = rules.evaluate(window, usual=lambda _: Usual(np.full(shape, 2.0), deviation, np.ones(shape, bool)))
    assert finding.entity == host(1)
    assert finding.contributors[0].sigma == -10.0


def test_exempt_addresses_networks_and_entities_are_not_looked_at(tmp_path):
    """An exemption names an address, a network or an entity, also of another kind."""
    rules = rule_set(
        tmp_path, rule("{feature: syn_ps, above: 1}", 'exempt: [10.0.0.2, 10.0.0.8/30, "2001:db8::/64", "interface:probe/eth0"]')
    )
    entities = [host(number) for number in (1, 2, 7, 8, 9, 11, 12)]
    entities += [
        Entity(EntityKind.HOST, "2001:db8::5"),
        Entity(EntityKind.HOST, "2001:db8:1::5"),
        Entity(EntityKind.HOST, "not an address"),
    ]
    entities += [Entity(EntityKind.INTERFACE, name) for name in ("probe/eth0", "probe/eth1")]
    found = rules.evaluate(windows(TRAFFIC, {entity: {"syn_ps": 2.0} for entity in entities}))
    names = ["10.0.0.1", "10.0.0.12", "10.0.0.7", "2001:db8:1::5", "not an address", "probe/eth1"]
    assert [finding.entity.name for finding in found] == names


def test_facts_pass_their_filters(tmp_path):
    """Kinds, values and exempt ports decide which facts make a finding; each value may be an alert of its own."""
    rules = rule_set(
        tmp_path,
        """\
  - {id: listener, title: "port {value} ({annotations})", severity: notice, over: fact, fact: new_listener, per_value: true, exempt: [22]}
  - {id: down, title: "{name}", severity: error, over: fact, fact: interface_down, entity: [device, interface]}
""",
    )
    facts = (
        Fact(PROBE, "new_listener", 1, 22.0),
        Fact(PROBE, "new_listener", 2, 8080.0, {"process": "nginx", "address": "::"}),
        Fact(PROBE, "interface_down", 3),
        Fact(Entity(EntityKind.INTERFACE, "sw1/1"), "interface_down", 4),
        Fact(Entity(EntityKind.INTERFACE, "sw1/1"), "interface_down", 5, 0.0),
        Fact(PROBE, "interface_down", 6, 0.0),
        Fact(PROBE, "clock_step", 7, 5.0),
    )
    findings, cleared = rules.evaluate_facts(FactBatch("host", 0, 10, facts))
    assert [(finding.group, finding.title, finding.end_ns) for finding in findings] == [
        ("listener/8080", "port 8080 (address ::, process nginx)", 2),
        ("down", "sw1/1", 4),
    ]
    assert [(end.group, str(end.entity), end.time_ns) for end in cleared] == [("down", "interface:sw1/1", 5)]


def test_partial_windows_are_left_out_by_rules_that_need_coverage(tmp_path):
    """A rule that reads absence says how much of the window it must have seen."""
    rules = rule_set(tmp_path, rule("{feature: syn_ps, below: 1}", "coverage: 80 %"))
    window = windows(TRAFFIC, {host(1): {}, host(2): {}})
    window.coverage[0] = 0.5
    assert [finding.entity for finding in rules.evaluate(window)] == [host(2)]


def test_findings_do_not_depend_on_the_batch_they_stand_in(tmp_path):
    """One entity at a time gives the same findings as all together."""
    rows = {host(number): {"syn_ps": float(number), "fin_ps": 1.0} for number in range(1, 30)}
    body = rule("{feature: syn_ps, above: 10}") + rule("{ratio: [syn_ps, fin_ps], above: 20}", rule_id="b_rule")
    together = rule_set(tmp_path, body).evaluate(windows(TRAFFIC, rows))
    alone = [
        finding
        for entity in sorted(rows)
        for finding in rule_set(tmp_path, body).evaluate(windows(TRAFFIC, {entity: rows[entity]}))
    ]
    assert list(together) == alone
    assert len(together) == 19 + 9


def test_the_hash_names_what_the_rules_say_and_not_where_it_is_written(tmp_path):
    """Equal rules in another file and order have an equal hash; a changed limit changes it."""
    one, two = rule("{feature: syn_ps, above: 10}"), rule("{feature: syn_ps, above: 20}", rule_id="b_rule")
    assert rule_set(tmp_path, one + two).hash == rule_set(tmp_path, "  # a comment\n" + two + one).hash
    assert rule_set(tmp_path, one).hash != rule_set(tmp_path, one.replace("10", "11")).hash
    assert len(RuleSet.load(["builtin"]).hash) == 64


def test_no_entities_give_no_findings():
    """An empty window is no window."""
    assert RuleSet.load(["builtin"]).evaluate(windows(TRAFFIC, {})) == ()


def test_all_shipped_rules_over_a_thousand_hosts_cost_milliseconds():
    """The hot path is vectorised: 1,000 hosts and every shipped rule, in well under a tenth of the 10 s hop."""
    rng = np.random.default_rng(1)
    rows = {
        Entity(EntityKind.HOST, f"10.0.{number // 250}.{number % 250}"): dict(
            zip(TRAFFIC.names, rng.uniform(0, 1, len(TRAFFIC)), strict=True)
        )
        for number in range(1000)
    }
    rules, window = RuleSet.load(["builtin"]), windows(TRAFFIC, rows)
    rules.evaluate(window)
    begun = time.perf_counter()
    rules.evaluate(window)
    assert time.perf_counter() - begun < 0.5
