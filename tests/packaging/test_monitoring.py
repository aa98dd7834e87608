"""The shipped alert rules and dashboard: sound for Prometheus, and every metric and label in them is one that the code has."""

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from netmote.telemetry.metrics import Metrics

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "netmote.rules.yaml"
DASHBOARD = PACKAGING / "grafana" / "netmote.json"
# Of the scraper, not of the target.
_SCRAPED = {"instance", "job"}
_SELECTOR = re.compile(r"\b((?:netmote|process)_\w+|up\b)(?:\{([^}]*)\})?")


def catalogue() -> dict[str, set[str]]:
    """Every name that can be asked for, with its labels."""
    known: dict[str, set[str]] = {"up": set()}
    for each in Metrics().catalogue():
        labels = set(each.labels)
        if each.kind == "histogram":
            known |= {f"{each.name}_bucket": labels | {"le"}, f"{each.name}_sum": labels, f"{each.name}_count": labels}
        else:
            known[each.name] = labels
    for line in Metrics().exposition().decode().splitlines():
        if line.startswith("process_"):
            known[line.split()[0]] = set()
    return known


def expressions() -> Iterator[tuple[str, str, list[str]]]:
    """Where it stands, the expression, and the labels that its text shows."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            shown = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
            yield rule["alert"], rule["expr"], shown
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])


def test_every_metric_and_label_exists() -> None:
    """A renamed metric or label makes this fail, not a sensor go unwatched."""
    known = catalogue()
    assert len(known) > 50
    seen = set()
    for where, expression, shown in expressions():
        selectors = _SELECTOR.findall(expression)
        assert selectors, where
        available = set(_SCRAPED)
        for name, matchers in selectors:
            assert name in known, f"{where}: {name}"
            seen.add(name)
            available |= known[name]
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert labels <= known[name] | _SCRAPED, f"{where}: {name}{{{matchers}}}"
        for grouped in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
            assert set(re.split(r"[,\s]+", grouped.strip())) <= available, f"{where}: by ({grouped})"
        kept = re.search(r"\bby\s*\(([^)]*)\)", expression)
        grouping = set(re.split(r"[,\s]+", kept[1].strip())) if kept else available
        assert set(shown) <= grouping, f"{where} shows {shown}, its series have {sorted(grouping)}"
    assert len(seen) > 35


def test_counters_are_asked_for_their_rise() -> None:
    """The value of a counter as it stands means nothing: it is within rate or increase."""
    counters = {each.name for each in Metrics().catalogue() if each.kind == "counter"}
    for where, expression, _ in expressions():
        for name in counters:
            for found in re.finditer(rf"\b{name}\b", expression):
                assert re.search(r"(rate|increase)\($", expression[: found.start()]), f"{where}: {name}"


def test_rules_are_sound_and_fire() -> None:
    """Promtool reads them; each fires on the day it is for, and none on an ordinary one."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool (package prometheus) is not installed")
    for arguments in (("check", "rules", RULES.name), ("test", "rules", "netmote.test.yaml")):
        done = subprocess.run(["promtool", *arguments], cwd=RULES.parent, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_says_what_to_do() -> None:
    """A severity, a sentence with the sensor in it, and an action; names are unique."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 15
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "$labels.instance" in rule["annotations"]["summary"]
        assert rule["annotations"]["action"]


def test_dashboard_is_what_its_table_says() -> None:
    """The JSON is made from packaging/generate_dashboard.py; panels do not lie over each other, and their ids are unique."""
    assert DASHBOARD.read_text() == runpy.run_path(str(PACKAGING / "generate_dashboard.py"))["text"]()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
