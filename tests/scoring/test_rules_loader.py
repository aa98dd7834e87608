"""Rule files: what is wrong in them is told all at once, with file, line, key and what is allowed."""

import textwrap

import pytest

from netmote.errors import ConfigError
from netmote.scoring.rules.loader import load_rules

GOOD = """\
rules:
  - id: too_many
    title: "{name} sends {out_bytes_ps}"
    severity: warning
    over: traffic
    when: {feature: out_bytes_ps, above: 20 kB/s}
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def problems_of(paths, **options):
    with pytest.raises(ConfigError) as raised:
        load_rules(paths, **options)
    return [str(problem) for problem in raised.value.problems]


def test_a_good_file_loads(tmp_path):
    """The threshold arrives in the unit of the feature, the severity as one."""
    (bound,) = load_rules([write(tmp_path, "a.yaml", GOOD)])
    assert bound.condition.above == 20_000.0
    assert bound.severity.word == "warning"
    assert bound.keep_firing_for_ns == 120_000_000_000


def test_every_problem_of_every_file_is_told_at_once_with_its_line(tmp_path):
    """Shape, names, units, templates, ids: one run names them all, in the order of files."""
    first = write(
        tmp_path,
        "first.yaml",
        """\
        rules:
          - id: one_rule
            title: "{nmae} sends {out_bytes}"
            severity: warning
            over: traffic
            when:
              all:
                - {feature: out_byte_ps, above: 20 kB/s}
                - {feature: syn_ps, above: 20 MB}
                - not: {feature: uniq_dst, above: 20, clear_below: 30}
          - id: second_rule
            title: x
            severity: bad
            over: traffic
            whem: 3
            when: {feature: syn_ps, above: 1}
        """,
    )
    second = write(
        tmp_path,
        "second.yaml",
        """\
        rules:
          - id: one_rule
            title: x
            severity: error
            over: fact
            fact: device_restarted
            for: 5m
            technique: X1
        """,
    )
    told = problems_of([first, second, str(tmp_path / "third.yaml")])
    expected = [
        (f"{first}:13: rules[1].severity: ", "'bad' is not a severity; allowed: emergency"),
        (f"{first}:15: rules[1].whem: ", "is not a known key; did you mean 'when'?"),
        (f"{first}:8: rules[0].when.all[0].feature: ", "'out_byte_ps' is not a feature of traffic; did you mean out_bytes_ps"),
        (
            f"{first}:9: rules[0].when.all[1].above: ",
            "'20 MB' is not a quantity in packet/s; write a number, alone or with one of /s",
        ),
        (f"{first}:10: rules[0].when.all[2].not.clear_below: ", "30 is greater than 'above' (20)"),
        (f"{first}:3: rules[0].title: ", "{nmae} is not known here; did you mean name?"),
        (f"{first}:3: rules[0].title: ", "{out_bytes} is not known here; did you mean out_bytes_ps"),
        (f"{second}:8: rules[0].technique: ", "should match pattern"),
        (f"{tmp_path}/third.yaml: ", "is not there; write a file, a directory or the word 'builtin'"),
    ]
    for start, part in expected:
        assert [problem for problem in told if problem.startswith(start) and part in problem], (start, part, told)
    assert len(told) == len(expected), told


@pytest.mark.parametrize(
    ("change", "line", "part"),
    [
        (
            "when: {feature: out_bytes_ps}",
            6,
            "'feature' needs a limit: one of above, below, above_baseline_sigma, below_baseline_sigma",
        ),
        ("when: {any: []}", 6, "'any' is empty; it needs at least one entry"),
        ("when: {above: 3}", 6, "exactly one of all, any, not, feature"),
        ("when: {all: [{feature: syn_ps, above: 1}], above: 3}", 6, "joins conditions and has no limit of its own"),
        ("when: {feature: syn_ps, ratio: [syn_ps, fin_ps], above: 3}", 6, "given: feature, ratio"),
        ("when: {feature: syn_ps, below: 3, clear_below: 2}", 6, "'clear_below' needs 'above'"),
        ("when: {feature: syn_ps, above: 3, clear_above: 2}", 6, "'clear_above' needs 'below'"),
        ("when: {ratio: [syn_ps, fin_ps], above_baseline_sigma: 3}", 6, "there is no baseline of a ratio"),
        ("when: {ratio: [syn_ps, fin_ps], below_baseline_sigma: 3}", 6, "'below_baseline_sigma' compares a single feature"),
        (
            "when: {feature: syn_ps, above_baseline_sigma: 3, below_baseline_sigma: 3}",
            6,
            "not above and below what is usual at once",
        ),
        ("when: {feature: loss_ratio, above_baseline_sigma: 3}", 6, "there is no baseline of 'loss_ratio'"),
        ("when: {feature: syn_ps, above_baseline_sigma: 0}", 6, "greater than 0"),
        ("when: {ratio: [syn_ps, fin_p], above: 3}", 6, "'fin_p' is not a feature of traffic; did you mean fin_ps"),
        ("when: {brief_slices_on_ports: [70000], above: 3}", 6, "70000 is not a port; allowed: 0 to 65535"),
        ("fact: clock_step\n    when: {feature: syn_ps, above: 1}", 2, "'fact' and 'per_value' need 'over: fact'"),
        ("exempt: [10.0.0.0/8, nobody]\n    when: {feature: syn_ps, above: 1}", 6, "'nobody' is no address, network or entity"),
        ("exempt: [22]\n    when: {feature: syn_ps, above: 1}", 6, "only rules over the fact 'new_listener' know a port"),
        ("coverage: 80 s\n    when: {feature: syn_ps, above: 1}", 6, "'80 s' is not a quantity in a ratio"),
        ("for: soon\n    when: {feature: syn_ps, above: 1}", 6, "'soon' is not understood; write a number and one of ms, s, m"),
        ("entity: router\n    when: {feature: syn_ps, above: 1}", 6, "'sensor', 'device', 'interface' or 'host'"),
        ("check: ok", 2, "'when' is missing: a rule over windows needs a condition"),
    ],
)
def test_each_mistake_is_told_at_its_line(tmp_path, change, line, part):
    """One mistake in a good rule gives one problem, at the line where it stands."""
    text = GOOD.replace("when: {feature: out_bytes_ps, above: 20 kB/s}", change)
    (problem,) = problems_of([write(tmp_path, "a.yaml", text)])
    assert problem.startswith(f"{tmp_path}/a.yaml:{line}: ")
    assert part in problem


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("fact: interface_up", "'interface_up' is not a fact; allowed: interface_down"),
        ("check: ok", "a rule over facts names one"),
        ("fact: clock_step\n    for: 5s", "'clock_step' happens once, so 'for' cannot be satisfied"),
        ("fact: interface_down\n    per_value: true", "is a condition: its value only says whether it holds"),
        ("fact: clock_step\n    when: {feature: syn_ps, above: 1}", "'syn_ps' is not a feature of fact; allowed: value"),
        ("fact: clock_step\n    when: {feature: value, above_baseline_sigma: 3}", "there is no baseline of 'value'"),
        ("fact: new_listener\n    exempt: [99999]", "99999 is not a port; allowed: 1 to 65535"),
    ],
)
def test_mistakes_of_rules_over_facts(tmp_path, change, part):
    """Facts have a vocabulary of their own."""
    text = f"rules:\n  - id: a_fact\n    title: x\n    severity: error\n    over: fact\n    {change}\n"
    (problem,) = problems_of([write(tmp_path, "a.yaml", text)])
    assert part in problem


def test_ports_belong_to_windows_of_traffic(tmp_path):
    """A device has no responder ports."""
    text = (
        GOOD.replace("traffic", "device")
        .replace("{out_bytes_ps}", "")
        .replace("{feature: out_bytes_ps, above: 20 kB/s}", "{brief_slices_on_ports: [22], above: 3}")
    )
    (problem,) = problems_of([write(tmp_path, "a.yaml", text)])
    assert "only windows of traffic know ports, not those of device" in problem


@pytest.mark.parametrize("title", ["{name", "{name!r}", "{out_bytes_ps:.2f}"])
def test_a_title_that_is_no_template_is_refused(tmp_path, title):
    """Braces match, and the only format is percent."""
    (problem,) = problems_of([write(tmp_path, "a.yaml", GOOD.replace("{name} sends {out_bytes_ps}", title))])
    assert f"{tmp_path}/a.yaml:3: rules[0].title: " in problem


def test_a_directory_is_its_yaml_files_by_name_and_ids_are_unique_over_all(tmp_path):
    """Files of a directory are read in the order of their names, once each; a second rule of the same id names the first."""
    write(tmp_path, "b.yaml", GOOD.replace("too_many", "second"))
    first = write(tmp_path, "a.yml", GOOD)
    write(tmp_path, "notes.txt", "not: [yaml")
    assert [bound.rule.id for bound in load_rules([str(tmp_path), first])] == ["too_many", "second"]
    write(tmp_path, "c.yaml", GOOD)
    (problem,) = problems_of([str(tmp_path)])
    assert problem.startswith(f"{tmp_path}/c.yaml:2: rules[0].id: 'too_many' is defined already, at {first}:2")


def test_an_empty_directory_is_a_mistake(tmp_path):
    """A path that gives no rules is told, not passed over."""
    assert problems_of([str(tmp_path)]) == [f"{tmp_path}: holds no rule file (.yaml or .yml)"]


def test_a_file_that_is_no_yaml_does_not_hide_the_others(tmp_path):
    """Syntax errors have a line too, and the next file is checked all the same."""
    broken = write(tmp_path, "a.yaml", "rules:\n  - id: x\n   title: y\n")
    other = write(tmp_path, "b.yaml", GOOD.replace("warning", "loud"))
    told = problems_of([broken, other])
    assert told[0].startswith(f"{broken}:3: is not YAML")
    assert told[1].startswith(f"{other}:4: rules[0].severity: 'loud'")


def test_disabled_rules_are_left_out_and_must_exist():
    """A mistyped id would leave the rule on: it is a problem, with near matches."""
    ids = {bound.rule.id for bound in load_rules(["builtin"], disabled=["vertical_scan"])}
    assert "vertical_scan" not in ids
    assert "horizontal_scan" in ids
    (problem,) = problems_of(["builtin"], disabled=["vertical_skan"])
    assert problem.startswith(
        "configuration: scoring.disabled_rules: 'vertical_skan' is not the id of a rule; did you mean vertical_scan"
    )
