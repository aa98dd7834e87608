"""The agent's metrics as a scraper sees them."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from netmote.telemetry.health import Level
from netmote.telemetry.metric_family import OTHER, CounterFamily
from netmote.telemetry.metrics import Metrics

# Every name of the glossary in docs/style.md, "Our metrics".
_GLOSSARY = re.compile(r"^`received_packets_total`.*?(?=\n\()", re.MULTILINE | re.DOTALL)
_STYLE = Path(__file__).parents[2] / "docs" / "style.md"


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_the_glossary_is_kept() -> None:
    """Each metric named in the style guide exists, with the labels it is written with."""
    found = _GLOSSARY.search(_STYLE.read_text())
    assert found is not None
    names = re.findall(r"`([a-z_]+)(?:\{([a-z_,]+)\})?`", found[0])
    assert len(names) >= 20
    metrics = Metrics()
    exposed = {family.name for family in metrics.registry.collect()}
    for name, labels in names:
        assert f"netmote_{name.removesuffix('_total')}" in exposed, name
        assert set(filter(None, labels.split(","))) <= set(getattr(metrics, name)._metric._labelnames), name


def test_naming_rules() -> None:
    """Counters end in _total, durations in _seconds, sizes in _bytes; each has a sentence of help."""
    for family in Metrics().registry.collect():
        if family.name.startswith("netmote_"):
            assert family.documentation.endswith("."), family.name
            assert not family.name.endswith(("_ms", "_milliseconds", "_kb"))


def test_counts_and_labels() -> None:
    """What is counted is exposed under the application's prefix, and parses."""
    metrics = Metrics(version="1.2.3", sensor="branch-7")
    metrics.decode_errors_total.inc(3, collector="eth0", error_type="truncated")
    metrics.alert_transitions_total.inc(**{"from": "pending", "to": "firing"})
    metrics.outbox_entries.set(12, sink="webhook")
    metrics.window_close_to_commit_seconds.observe(0.02)
    metrics.show_level(Level.COLLECT)
    seen = samples(metrics)
    assert seen["netmote_decode_errors_total", (("collector", "eth0"), ("error_type", "truncated"))] == 3
    assert seen["netmote_alert_transitions_total", (("from", "pending"), ("to", "firing"))] == 1
    assert seen["netmote_outbox_entries", (("sink", "webhook"),)] == 12
    assert seen["netmote_window_close_to_commit_seconds_count", ()] == 1
    assert seen["netmote_degradation_level", ()] == 2
    assert seen["netmote_build_info", (("sensor", "branch-7"), ("version", "1.2.3"))] == 1
    assert seen["process_resident_memory_bytes", ()] > 1e6
    assert not any(name.endswith("_created") for name, _ in seen)


def test_two_agents_in_one_process_do_not_mix() -> None:
    """Nothing is global: a registry each."""
    one, other = Metrics(), Metrics()
    one.late_records_total.inc(source="eth0")
    assert ("netmote_late_records_total", (("source", "eth0"),)) not in samples(other)


def test_label_values_are_bounded() -> None:
    """A thousand hostile values make a few series and lose no count."""
    registry = CollectorRegistry()
    family = CounterFamily(registry, "x_total", "x.", ("reason",), limit=5)
    for number in range(1_000):
        family.inc(reason=f"r{number}")
    family.inc(reason="r1")
    (parsed,) = text_string_to_metric_families(generate_latest(registry).decode())
    counted = {sample.labels["reason"]: sample.value for sample in parsed.samples if sample.name == "x_total"}
    assert len(counted) == 6
    assert (counted["r1"], counted[OTHER]) == (2, 995)
    assert sum(counted.values()) == 1_001


def test_wrong_labels_are_a_bug() -> None:
    """A label that the family has not, or that is missing, is refused at once."""
    with pytest.raises(ValueError, match="collector"):
        Metrics().decode_errors_total.inc(reason="x")


def test_following_a_source_that_counts_itself() -> None:
    """The counter rises by what the source counted, over its restart too."""
    metrics = Metrics()
    for total in (100, 250, 250, 30):
        metrics.received_packets_total.rise_to(total, collector="eth0")
    assert samples(metrics)["netmote_received_packets_total", (("collector", "eth0"),)] == 280


def test_a_removed_gauge_is_gone() -> None:
    """What it measured is gone; removing it twice or before it was shown does no harm."""
    metrics = Metrics()
    metrics.outbox_entries.set(1, sink="old")
    metrics.outbox_entries.remove(sink="old")
    metrics.outbox_entries.remove(sink="old")
    assert not [name for name, _ in samples(metrics) if name == "netmote_outbox_entries"]


def test_refreshed_before_rendering() -> None:
    """Values that are only worth computing for a reader are asked for at each rendering."""
    metrics = Metrics()
    asked: list[int] = []

    def refresh() -> None:
        asked.append(1)
        metrics.queue_entries.set(len(asked), queue="analysis")

    metrics.before_render(refresh)
    assert samples(metrics)["netmote_queue_entries", (("queue", "analysis"),)] == 1
    assert samples(metrics)["netmote_queue_entries", (("queue", "analysis"),)] == 2


def test_the_longest_loop_lag_is_kept() -> None:
    """One stall of a minute ago is still visible."""
    metrics = Metrics()
    for seconds in (0.001, 0.2, 0.003):
        metrics.observe_loop_lag(seconds)
    seen = samples(metrics)
    assert seen["netmote_event_loop_lag_max_seconds", ()] == 0.2
    assert seen["netmote_event_loop_lag_seconds_count", ()] == 3
