"""A rule of a document bound to the schema it looks at: names become columns, quantities become numbers, or problems.

Every problem of a rule is found in one pass; each carries the place in the document.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType

from netmote.config.document import Location
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Severity
from netmote.scoring.rules.condition import (
    AllOf,
    AnyOf,
    Comparison,
    FeatureValue,
    Node,
    NotOf,
    PortValue,
    RatioValue,
    Value,
    WindowValue,
)
from netmote.scoring.rules.document import Condition, Rule, Threshold
from netmote.scoring.rules.quantity import parse_quantity
from netmote.scoring.rules.title import Title
from netmote.windows.schema import Feature, FeatureSchema
from netmote.windows.schemas import DEVICE, INTERFACE, SENSOR, TRAFFIC

# Units of the values of facts (records.fact says what each value means).
FACT_UNITS: Mapping[str, str] = MappingProxyType({"device_restarted": "s", "new_listener": "{port}", "clock_step": "s"})
# A fact is a window of one feature.
_FACT_FEATURE = "value"
_UNKNOWN_UNIT = ""
_WINDOW_VALUES = ("loss_ratio", "coverage")

SCHEMAS: Mapping[str, FeatureSchema] = MappingProxyType({schema.name: schema for schema in (TRAFFIC, INTERFACE, DEVICE, SENSOR)})

Report = Callable[[Location, str], None]


@dataclass(frozen=True, slots=True)
class Exemptions:
    """What a rule does not look at."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    entities: frozenset[Entity] = frozenset()
    ports: frozenset[int] = frozenset()

    def covers(self, entity: Entity) -> bool:
        """Whether this entity is exempt."""
        if entity in self.entities:
            return True
        if not self.networks or entity.kind is not EntityKind.HOST:
            return False
        try:
            address = ip_address(entity.name)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule ready to be evaluated."""

    rule: Rule
    severity: Severity
    condition: Node | None
    title: Title
    coverage: float
    max_loss: float
    exemptions: Exemptions
    for_ns: int
    keep_firing_for_ns: int


def fact_schema(fact: str) -> FeatureSchema:
    """The schema of a fact seen as a window of one feature, its value."""
    unit = FACT_UNITS.get(fact, "1")
    return FeatureSchema("fact", 1, 0, 0, (Feature(_FACT_FEATURE, unit, f"value of {fact}"),))


def bind_rule(rule: Rule, report: Report) -> BoundRule | None:
    """Bind to the shipped schemas. Calls `report` for every problem (location within the rule) and then returns None."""
    problems: list[Location] = []

    def note(location: Location, message: str) -> None:
        problems.append(location)
        report(location, message)

    schema = fact_schema(rule.fact or "") if rule.over == "fact" else SCHEMAS[rule.over]
    binder = _Binder(schema, note)
    condition = None if rule.when is None else binder.node(rule.when, ("when",))
    bound = BoundRule(
        rule=rule,
        severity=Severity.of(rule.severity),
        condition=condition,
        title=Title.parse(rule.title, schema, is_fact=rule.over == "fact", report=lambda message: note(("title",), message)),
        coverage=binder.number(rule.coverage, "1", ("coverage",)),
        max_loss=binder.number(rule.max_loss, "1", ("max_loss",)),
        exemptions=binder.exemptions(rule),
        for_ns=round(rule.for_ * 1e9),
        keep_firing_for_ns=round(rule.keep_firing_for_seconds * 1e9),
    )
    return None if problems else bound


class _Binder:
    def __init__(self, schema: FeatureSchema, report: Report) -> None:
        self._schema = schema
        self._report = report

    def node(self, condition: Condition, at: Location) -> Node:
        if condition.all is not None:
            return AllOf(tuple(self.node(part, (*at, "all", place)) for place, part in enumerate(condition.all)))
        if condition.any is not None:
            return AnyOf(tuple(self.node(part, (*at, "any", place)) for place, part in enumerate(condition.any)))
        if condition.not_ is not None:
            return NotOf(self.node(condition.not_, (*at, "not")))
        value = self._value(condition, at)

        def limit(key: str) -> float | None:
            written: Threshold | None = getattr(condition, key)
            # Without the feature its unit is not known either: one mistake is one problem.
            return None if written is None or value.unit == _UNKNOWN_UNIT else self.number(written, value.unit, (*at, key))

        above, below, clear_below, clear_above = map(limit, ("above", "below", "clear_below", "clear_above"))
        if above is not None and clear_below is not None and clear_below > above:
            self._report((*at, "clear_below"), f"{clear_below:g} is greater than 'above' ({above:g}); it must be at most that")
        if below is not None and clear_above is not None and clear_above < below:
            self._report((*at, "clear_above"), f"{clear_above:g} is less than 'below' ({below:g}); it must be at least that")
        for key in ("above_baseline_sigma", "below_baseline_sigma"):
            if getattr(condition, key) is not None and (self._schema.name == "fact" or isinstance(value, WindowValue)):
                self._report((*at, key), f"there is no baseline of {value.name!r}; {key!r} compares a feature of a window")
        sigma_above, sigma_below = condition.above_baseline_sigma, condition.below_baseline_sigma
        return Comparison(value, above, below, clear_below, clear_above, sigma_above, sigma_below)

    def number(self, written: Threshold, unit: str, at: Location) -> float:
        try:
            return parse_quantity(written, unit)
        except ValueError as error:
            self._report(at, str(error))
            return 0.0

    def exemptions(self, rule: Rule) -> Exemptions:
        networks: list[IPv4Network | IPv6Network] = []
        entities: list[Entity] = []
        ports: list[int] = []
        for place, exempt in enumerate(rule.exempt):
            at: Location = ("exempt", place)
            if isinstance(exempt, int):
                if rule.fact != "new_listener":
                    self._report(at, "only rules over the fact 'new_listener' know a port; write addresses, networks or entities")
                elif not 0 < exempt < 65536:
                    self._report(at, f"{exempt} is not a port; allowed: 1 to 65535")
                ports.append(exempt)
                continue
            try:
                networks.append(ip_network(exempt, strict=False))
            except ValueError:
                try:
                    entities.append(Entity.parse(exempt))
                except ValueError:
                    kinds = ", ".join(EntityKind)
                    self._report(at, f"{exempt!r} is no address, network or entity (<kind>:<name>, kind one of {kinds})")
        return Exemptions(tuple(networks), frozenset(entities), frozenset(ports))

    def _value(self, condition: Condition, at: Location) -> Value:
        if condition.feature is not None:
            if condition.feature in _WINDOW_VALUES and condition.feature not in self._schema.index:
                return WindowValue(condition.feature)
            column, unit = self._column(condition.feature, (*at, "feature"))
            return FeatureValue(condition.feature, unit, column)
        if condition.ratio is not None:
            upper, lower = (
                [self._column(name, (*at, "ratio", side)) for name in ([names] if isinstance(names, str) else names)]
                for side, names in enumerate(condition.ratio)
            )
            name = " / ".join(names if isinstance(names, str) else " + ".join(names) for names in condition.ratio)
            units = {unit for _, unit in (*upper, *lower)}
            unit = _UNKNOWN_UNIT if _UNKNOWN_UNIT in units else "1" if len(units) == 1 else f"{upper[0][1]} / {lower[0][1]}"
            return RatioValue(name, unit, tuple(column for column, _ in upper), tuple(column for column, _ in lower))
        key = "brief_slices_on_ports"
        ports = condition.brief_slices_on_ports or ()
        for place, port in enumerate(ports):
            if not 0 <= port < 65536:
                self._report((*at, key, place), f"{port} is not a port; allowed: 0 to 65535")
        if self._schema.name != TRAFFIC.name:
            self._report((*at, key), f"only windows of traffic know ports, not those of {self._schema.name}")
        return PortValue(key, "{slice}", frozenset(ports))

    def _column(self, name: str, at: Location) -> tuple[int, str]:
        column = self._schema.index.get(name)
        if column is None:
            near = difflib.get_close_matches(name, self._schema.names, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            self._report(at, f"{name!r} is not a feature of {self._schema.name}; {hint}allowed: {', '.join(self._schema.names)}")
            return 0, _UNKNOWN_UNIT
        return column, self._schema.features[column].unit
