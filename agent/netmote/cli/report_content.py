"""What `netmote report` says: a history and its alerts turned into figures and charts. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from netmote.alerts.alert import Alert, AlertState, Committed
from netmote.alerts.summary import summary_of
from netmote.store.history_view import History, Polls, Traffic
from netmote.web import quantity
from netmote.web.chart import shares
from netmote.web.line_chart import DotChart, LineChart, dot_chart, line_chart
from netmote.web.report_page import DeviceLine, Figure, GroupBar, PortLine, Report

MINUTE_NS: Final = 60 * 10**9
DAY_NS: Final = 86_400 * 10**9
GAUGES: Final = ("process_resident_bytes", "process_cpu_ratio", "cpu_utilization_ratio", "disk_used_ratio", "memory_used_ratio")
_POINTS: Final = 300
_MOST_LINES, _MOST_ROWS, _MOST_ALERTS, _MOST_DOTS = 6, 20, 200, 2_000
_RULE: Final = "rule"
_TOLERATED_LOSS: Final = 0.01


def step_of(begin_ns: int, end_ns: int) -> int:
    """The interval of the charts: whole minutes, some hundred points over the span."""
    return max(1, math.ceil((end_ns - begin_ns) / _POINTS / MINUTE_NS)) * MINUTE_NS


def report_of(
    history: History,
    alerts: Sequence[Committed],
    *,
    sensor: str,
    source: str,
    made_at_ns: int,
    alerts_per_day: float,
    damaged: int,
) -> Report:
    """`alerts` are the latest revision of each; `alerts_per_day` is the budget of the models; `damaged` rows were left out."""
    found = sorted((row.alert for row in alerts), key=lambda alert: alert.started_at_ns, reverse=True)
    traffic = _largest(history.traffic)
    return Report(
        sensor=sensor,
        begin_ns=history.begin_ns,
        end_ns=history.end_ns,
        made_at_ns=made_at_ns,
        step=quantity.duration(history.step_ns / 1e9),
        source=source,
        headline=_headline(found),
        figures=_figures(history, found),
        missing=_missing(history, damaged),
        bits=_lines(
            "Traffic", {name: _rates(points, history, "octets", 8.0) for name, points in traffic.items()}, history, "bit/s"
        ),
        packets=_lines(
            "Packets", {name: _rates(points, history, "packets") for name, points in traffic.items()}, history, "{packets}/s"
        ),
        drops=_lines(
            "Drops", {name: _rates(points, history, "dropped") for name, points in traffic.items()}, history, "{packets}/s"
        ),
        rules=_rule_strength(found, history),
        models=_model_surprise(found, history),
        budget=_budget(found, history, alerts_per_day),
        alerts=tuple(summary_of(alert) for alert in found[:_MOST_ALERTS]),
        alert_count=len(found),
        groups=_groups(found),
        reach=_reach(history),
        devices=_devices(history),
        ports=_ports(history),
        memory=_lines("Memory", _named(history, {"process_resident_bytes": "resident"}), history, "By"),
        load=_lines(
            "Load",
            _named(
                history,
                {
                    "process_cpu_ratio": "netmote, of one core",
                    "cpu_utilization_ratio": "all cores",
                    "memory_used_ratio": "memory used",
                    "disk_used_ratio": "disk used",
                },
            ),
            history,
            "1",
        ),
    )


def _lines(title: str, series: Mapping[str, Mapping[int, float]], history: History, unit: str) -> LineChart:
    return line_chart(title, series, begin_ns=history.begin_ns, end_ns=history.end_ns, step_ns=history.step_ns, unit=unit)


def _largest(traffic: Mapping[str, Mapping[int, Traffic]]) -> dict[str, Mapping[int, Traffic]]:
    """The sources with most packets, most first."""
    totals = {source: sum(each.packets for each in points.values()) for source, points in traffic.items()}
    return {source: traffic[source] for source in sorted(totals, key=lambda each: (-totals[each], each))[:_MOST_LINES]}


def _rates(points: Mapping[int, Traffic], history: History, name: str, factor: float = 1.0) -> dict[int, float]:
    """A second. The first and the last interval are only partly within the span."""
    return {at: factor * getattr(point, name) / _seconds(at, history) for at, point in points.items()}


def _seconds(at: int, history: History) -> float:
    inside = min(at + history.step_ns, history.end_ns) - max(at, history.begin_ns)
    return max(inside, MINUTE_NS) / 1e9


def _named(history: History, names: Mapping[str, str]) -> dict[str, Mapping[int, float]]:
    return {shown: history.gauges[name] for name, shown in names.items() if history.gauges.get(name)}


def _headline(alerts: Sequence[Alert]) -> str:
    if not alerts:
        return "No alert"
    firing = sum(alert.state is AlertState.FIRING for alert in alerts)
    noun = "alert" if len(alerts) == 1 else "alerts"
    return f"{len(alerts):,} {noun}, {firing:,} still firing" if firing else f"{len(alerts):,} {noun}, all resolved"


def _figures(history: History, alerts: Sequence[Alert]) -> tuple[Figure, ...]:
    points = [point for source in history.traffic.values() for point in source.values()]
    octets, packets, dropped = (sum(getattr(point, name) for point in points) for name in ("octets", "packets", "dropped"))
    lost = dropped / (packets + dropped) if packets + dropped else 0.0
    polls = [each for device in history.devices.values() for each in device.values()]
    asked, answered = sum(each.polls for each in polls), sum(each.answered for each in polls)
    grave = sum(alert.severity <= 3 for alert in alerts)  # RFC 5424: error and worse
    figures = [
        Figure("Alerts", f"{len(alerts):,}", f"{grave:,} of severity error or worse" if grave else "", "hot" if grave else ""),
        Figure("Captured", quantity.scaled(octets, "B"), f"{quantity.figure(packets)} packets"),
        Figure("Lost", quantity.percent(lost), f"{quantity.figure(dropped)} packets", "warm" if lost > _TOLERATED_LOSS else ""),
    ]
    if asked:
        share = answered / asked
        note = f"{len(history.devices):,} devices, {asked:,} polls"
        figures.append(Figure("Polls answered", quantity.percent(share), note, "warm" if share < 1 - _TOLERATED_LOSS else ""))
    resident = history.gauges.get("process_resident_bytes")
    if resident:
        figures.append(Figure("Memory, largest", quantity.scaled(max(resident.values()), "B"), "netmote itself"))
    return tuple(figures)


def _missing(history: History, damaged: int) -> tuple[str, ...]:
    lines = [f"{file} (left out)" for file in history.unread]
    if damaged:
        lines.append(f"{damaged:,} rows of the ledger failed their check and were left out")
    if not any((history.traffic, history.devices, history.gauges)):
        lines.append("there is no telemetry of this time")
    return tuple(lines)


def _rule_strength(alerts: Sequence[Alert], history: History) -> DotChart:
    events = []
    for alert in alerts:
        first = next((each for each in alert.contributors if each.threshold), None)
        if alert.detector == _RULE and first is not None and first.threshold:
            events.append(
                (alert.started_at_ns, abs(first.value / first.threshold), alert.severity.word, f"{alert.title}: {first.feature}")
            )
    return dot_chart(
        "Rules against their limits", _strongest(events), begin_ns=history.begin_ns, end_ns=history.end_ns, unit="1", limit=1.0
    )


def _strongest(events: list[tuple[int, float, str, str]]) -> list[tuple[int, float, str, str]]:
    """A flood of alerts would make a page that no browser draws: the largest values, as many as can be told apart."""
    return sorted(events, key=lambda event: -event[1])[:_MOST_DOTS]


def _model_surprise(alerts: Sequence[Alert], history: History) -> DotChart:
    events = [
        (alert.started_at_ns, alert.surprise, alert.severity.word, alert.title) for alert in alerts if alert.detector != _RULE
    ]
    return dot_chart("Scores of models", _strongest(events), begin_ns=history.begin_ns, end_ns=history.end_ns, unit="1")


def _budget(alerts: Sequence[Alert], history: History, alerts_per_day: float) -> LineChart:
    """Alerts of models by UTC day, days without one as zero."""
    first = history.begin_ns // DAY_NS * DAY_NS
    days = dict.fromkeys(range(first, history.end_ns, DAY_NS), 0.0)
    for alert in alerts:
        day = alert.started_at_ns // DAY_NS * DAY_NS
        if alert.detector != _RULE and day in days:
            days[day] += 1.0
    return line_chart(
        "Alerts of models a day, against their budget",
        {"alerts": days},
        begin_ns=history.begin_ns,
        end_ns=history.end_ns,
        step_ns=DAY_NS,
        unit="1",
        limit=alerts_per_day,
    )


def _groups(alerts: Sequence[Alert]) -> tuple[GroupBar, ...]:
    counts = Counter(alert.group for alert in alerts).most_common(_MOST_ROWS)
    lengths = shares([count for _, count in counts])
    return tuple(GroupBar(name, f"{count:,}", length) for (name, count), length in zip(counts, lengths, strict=True))


def _reach(history: History) -> LineChart:
    """Of the devices that answered least, each; with fewer than all shown the others answered more."""
    shares_of = {
        name: {at: each.answered / each.polls for at, each in points.items() if each.polls}
        for name, points in history.devices.items()
    }
    worst = sorted(shares_of, key=lambda name: (_mean(shares_of[name]), name))[:_MOST_LINES]
    return _lines("Devices that answered least", {name: shares_of[name] for name in worst}, history, "1")


def _mean(points: Mapping[int, float]) -> float:
    return sum(points.values()) / len(points) if points else 0.0


def _devices(history: History) -> tuple[DeviceLine, ...]:
    totals: dict[str, Polls] = defaultdict(Polls)
    for name, points in history.devices.items():
        for each in points.values():
            totals[name].polls += each.polls
            totals[name].answered += each.answered
            totals[name].round_trips += each.round_trips
            totals[name].round_trip_ns += each.round_trip_ns
    worst = sorted(totals, key=lambda name: (totals[name].answered / max(1, totals[name].polls), name))
    return tuple(
        DeviceLine(
            name,
            f"{(each := totals[name]).polls:,}",
            quantity.percent(each.answered / each.polls if each.polls else None),
            quantity.duration(each.round_trip_ns / each.round_trips / 1e9 if each.round_trips else None),
        )
        for name in worst[: 5 * _MOST_ROWS]
    )


def _ports(history: History) -> tuple[PortLine, ...]:
    totals = {name: each.receive_octets + each.transmit_octets for name, each in history.ports.items()}
    busiest = [name for name in sorted(totals, key=lambda name: (-totals[name], name)) if totals[name]][:_MOST_ROWS]
    lengths = shares([totals[name] for name in busiest])
    return tuple(
        PortLine(
            name,
            quantity.scaled((each := history.ports[name]).receive_octets, "B"),
            quantity.scaled(each.transmit_octets, "B"),
            quantity.percent(each.invalid_intervals / each.intervals if each.intervals else None),
            length,
        )
        for name, length in zip(busiest, lengths, strict=True)
    )
