"""Which parts a new document begins anew."""

from typing import Any

import pytest

from netmote.daemon.config import Config
from netmote.daemon.reload import AT_START_ONLY, PARTS, changed_parts, needs_start, refuse_parts, without_start_only
from netmote.errors import ConfigError

TARGET = {"name": "sw1", "address": "192.0.2.1"}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, ()),
        ({"capture": {"interfaces": ["eth0"]}}, ("capture",)),
        ({"metering": {"idle_timeout": "60s"}}, ("capture",)),
        ({"snmp": {"targets": [TARGET]}}, ("snmp",)),
        ({"host": {"interval": "5s"}}, ("host",)),
        ({"windows": {"lateness": "5s"}}, ("analysis",)),
        ({"scoring": {"disabled_rules": ["vertical_scan"]}}, ("analysis",)),
        ({"models": {"bundles": []}}, ("analysis",)),
        ({"alerts": {"cool_down": "1m"}}, ("analysis",)),
        ({"sinks": []}, ("sinks",)),
        ({"web": {"port": 8080}}, ("web",)),
        ({"log": {"level": "debug"}}, ("log",)),
        ({"sensor": "other"}, ()),
        ({"store": {"free_space_floor": "1GB"}}, ()),
        ({"capture": {"interfaces": []}, "web": {"port": 1}, "alerts": {"cool_down": "1m"}}, ("capture", "analysis", "web")),
    ],
)
def test_each_section_begins_its_part_anew(change: dict[str, Any], parts: tuple[str, ...]) -> None:
    """A section changes the parts that stand on it and no other."""
    assert changed_parts(Config(), Config.model_validate(change)) == parts


def test_every_section_is_either_a_part_or_waits_for_the_start() -> None:
    """A section added to the document cannot be forgotten here."""
    sections = {section for names in PARTS.values() for section in names} | set(AT_START_ONLY)
    assert sections == set(Config.model_fields)


def test_privacy_is_taken_up_whole_or_not_at_all() -> None:
    """A new sink that the same document hides addresses from must not begin before that holds."""
    sinks = [{"type": "journal"}, {"type": "webhook", "name": "chat", "url": "http://127.0.0.1:1/"}]
    new = Config.model_validate({"sinks": sinks, "privacy": {"sinks": {"chat": "hash"}}})
    with pytest.raises(ConfigError, match="privacy: is taken up at a start only"):
        refuse_parts(Config(), new)
    refuse_parts(new, new)


def test_what_waits_for_the_next_start_keeps_being_said() -> None:
    """Identity and place of the ledger stay as they are, at this reload and the next."""
    old = Config()
    new = Config.model_validate({"sensor": "other", "store": {"telemetry_age": "1d"}, "web": {"port": 1}})
    assert needs_start(old, new) == ("sensor", "store")
    taken = without_start_only(old, new)
    assert (taken.sensor, taken.store, taken.web.port) == (old.sensor, old.store, 1)
    assert needs_start(taken, new) == ("sensor", "store")
