"""The page on sinks: its configuration works, and it promises something of each sink that can be configured."""

import re
import shutil
import subprocess
import typing
from pathlib import Path

import pytest
from server_process import beside_python
from sink_certificates import Authority

from netmote.config.document import check_document, parse_document
from netmote.daemon.config import Config, SinkConfig
from netmote.sinks.cloudevents import cloud_event
from netmote.telemetry.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()


def table(first_heading: str) -> list[list[str]]:
    """The cells of the rows of the table that begins so."""
    rows = PAGE.partition(f"| {first_heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_configuration_on_the_page_is_accepted() -> None:
    """The block can be copied as it stands."""
    block = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    config = check_document(parse_document(block, "sinks.md"), Config)
    assert [sink.type for sink in config.sinks] == ["journal", "webhook", "alertmanager"]


def test_each_example_of_a_sink_is_accepted() -> None:
    """Every kind of sink has one on the page."""
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("sinks:")]
    shown = [sink.type for block in blocks for sink in check_document(parse_document(block, "sinks.md"), Config).sinks]
    configured = {
        typing.get_args(model.model_fields["type"].annotation)[0] for model in typing.get_args(typing.get_args(SinkConfig)[0])
    }
    assert configured == set(shown)


def test_nats_server_takes_the_configuration_on_the_page(tmp_path: Path) -> None:
    """As its own check has it."""
    block = re.findall(r"```conf\n(jetstream.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "nats.conf").write_text(block)
    checked = subprocess.run(
        [beside_python("nats-server"), "-t", "-c", tmp_path / "nats.conf"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_rsyslog_takes_the_configuration_on_the_page(tmp_path: Path) -> None:
    """As its own check has it, with certificates that are there."""
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    if not Path(program).exists():
        pytest.skip("rsyslog is not installed")
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    block = re.findall(r"```rsyslog\n(.*?)```", PAGE, re.DOTALL)[0]
    for shown, there in (("ca.pem", authority.file), ("server.pem", pair.certificate), ("server.key", pair.key)):
        block = block.replace(f"/etc/netmote/{shown}", str(there))
    (tmp_path / "rsyslog.conf").write_text(block)
    checked = subprocess.run([program, "-N1", "-f", tmp_path / "rsyslog.conf"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "error" not in checked.stderr.lower()


def test_every_sink_is_in_the_table_of_promises() -> None:
    """With when it is accepted, what can be lost and what comes twice."""
    configured = {
        typing.get_args(model.model_fields["type"].annotation)[0] for model in typing.get_args(typing.get_args(SinkConfig)[0])
    }
    promised = {row[0].strip("`"): row for row in table("type")}
    assert configured <= promised.keys()
    assert all(len(row) == 4 and all(row) for row in promised.values())


def test_every_place_in_the_finding_exists() -> None:
    """The paths of the page are those of a finding as it is sent."""
    from sink_alerts import committed_alert

    finding = cloud_event(committed_alert())["data"]
    shown = " ".join(row[1] for row in table("what"))
    found = re.findall(r"`((?:\w+\.)+\w+)`", shown)
    assert len(found) >= 15
    for path in found:
        value = finding
        for name in path.split("."):
            assert name in value, path
            value = value[name]


def test_every_metric_on_the_page_exists() -> None:
    """Named as it is scraped."""
    names = {each.split("{")[0] for each in re.findall(r"`(netmote_[a-z_]+)", PAGE)}
    assert names
    exposition = Metrics().render().decode()
    assert all(f"# TYPE {name.removesuffix('_total')}" in exposition or f"# TYPE {name}" in exposition for name in names)


def test_alertmanager_takes_the_route_on_the_page(tmp_path: Path) -> None:
    """Whole with its two receivers, as amtool checks it."""
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("amtool is not installed")
    block = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "alertmanager.yml").write_text(f"{block}\nreceivers:\n  - name: people\n  - name: dead-mans-switch\n")
    checked = subprocess.run(
        [program, "check-config", tmp_path / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "2 receivers" in checked.stdout
