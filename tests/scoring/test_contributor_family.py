"""Families group the features of the shipped schemas."""

from netmote.scoring.contributor_family import _FAMILY_OF, family_of
from netmote.windows.schemas import ALL, TRAFFIC


def test_every_listed_feature_exists() -> None:
    """A family names no feature that no schema has (a renamed feature would silently leave its family)."""
    known = {name for schema in ALL for name in schema.names}
    assert set(_FAMILY_OF) <= known


def test_every_traffic_feature_has_a_family() -> None:
    """No traffic feature makes an alert group of its own."""
    assert set(TRAFFIC.names) <= set(_FAMILY_OF)
    assert family_of("uniq_dport") == family_of("max_ports_per_dst") == "ports"


def test_a_foreign_feature_is_its_own_family() -> None:
    """A user's feature keeps its name."""
    assert family_of("queue_depth") == "queue_depth"
