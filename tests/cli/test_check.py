"""`netmote check`: all problems at once, of the document and of the rules it names."""

import json
from pathlib import Path

from typer.testing import CliRunner

from netmote.cli.main import app

runner = CliRunner()


def test_the_sample_is_sound() -> None:
    """The shipped sample passes."""
    sample = Path(__file__).parents[2] / "config" / "netmote.yaml"
    result = runner.invoke(app, ["check", str(sample)])
    assert (result.exit_code, result.output) == (0, f"{sample}: sound\n")


def test_problems_with_lines(tmp_path: Path) -> None:
    """Each problem is a line `file:line: key: what, allowed`, and a JSON object with --json."""
    document = tmp_path / "c.yaml"
    document.write_text("web:\n  port: 70000\nsnmpp: {}\n")
    result = runner.invoke(app, ["check", str(document)])
    assert result.exit_code == 78
    assert f"{document}:2: web.port" in result.output
    assert f"{document}:3: snmpp: is not a known key; did you mean 'snmp'?" in result.output
    records = [json.loads(line) for line in runner.invoke(app, ["check", str(document), "--json"]).output.splitlines()]
    assert {record["key"] for record in records} == {"web.port", "snmpp"}
    assert all(record["file"] == str(document) for record in records)


def test_a_filter_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    """What libpcap says of it, and what we refuse, before anything is opened."""
    document = tmp_path / "c.yaml"
    for expression, reason in (("tcp and and", "syntax error"), ("vlan 7", "outer VLAN tag"), ("host nas", "names of hosts")):
        document.write_text(f'capture:\n  interfaces: [eth0]\n  filter: "{expression}"\n')
        result = runner.invoke(app, ["check", str(document)])
        assert result.exit_code == 78
        assert f"{document}:3: capture.filter: " in result.output
        assert reason in result.output


def test_problems_of_rules(tmp_path: Path) -> None:
    """A rule file that the document names is checked too, and named in the problem."""
    rules = tmp_path / "mine.yaml"
    rules.write_text(
        "rules:\n  - id: a\n    title: x\n    severity: loud\n    over: traffic\n    when: {feature: syn_pss, above: 3}\n"
    )
    document = tmp_path / "c.yaml"
    document.write_text(f"scoring: {{rules: [builtin, {rules}]}}\n")
    result = runner.invoke(app, ["check", str(document)])
    assert result.exit_code == 78
    assert str(rules) in result.output
    assert "severity" in result.output
