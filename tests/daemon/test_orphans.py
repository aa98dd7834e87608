"""Conditions of what is no longer observed are ended by the daemon."""

from dataclasses import replace

from sample_alert import sample_alert

from netmote.daemon.orphans import orphan_facts
from netmote.records.entity import Entity, EntityKind

NOW = 1_700_000_000_000_000_000


def ended(*entities: str, devices: set[str] = frozenset(), captured: set[str] = frozenset()) -> set[tuple[str, str]]:  # type: ignore[assignment]
    active = [replace(sample_alert(number), entity=Entity.parse(text)) for number, text in enumerate(entities)]
    batch = orphan_facts(active, sensor="s1", devices=devices, captured=captured, now_ns=NOW)
    if batch is None:
        return set()
    assert all(fact.value == 0.0 and fact.time_ns == NOW for fact in batch.facts)
    return {(fact.name, str(fact.entity)) for fact in batch.facts}


def test_devices_and_their_ports() -> None:
    """Only those of devices that are not configured any more."""
    assert ended("device:sw1", "interface:sw1/ge0", devices={"sw1"}) == set()
    assert ended("device:sw1", "interface:sw1/ge0", devices={"sw2"}) == {
        ("device_unreachable", "device:sw1"),
        ("snmp_broken", "device:sw1"),
        ("counters_stuck", "device:sw1"),
        ("bgp_peer_down", "device:sw1"),
        ("interface_down", "interface:sw1/ge0"),
    }


def test_interfaces_of_ours() -> None:
    """One that is not captured any more, and the sensor itself when nothing is captured."""
    assert ended("interface:s1/eth0", "sensor:s1", captured={"eth0"}) == set()
    assert ended("interface:s1/eth0", captured={"eth1"}) == {
        ("capture_interface_gone", "interface:s1/eth0"),
        ("capture_unavailable", "interface:s1/eth0"),
        ("capture_link_down", "interface:s1/eth0"),
    }
    assert ("capture_unavailable", "sensor:s1") in ended("sensor:s1")


def test_hosts_end_by_themselves() -> None:
    """What windows raised ends with the windows."""
    assert ended("host:10.0.0.1") == set()
    assert ended() == set()


def test_one_fact_for_many_alerts() -> None:
    """Two alerts of one device need one end."""
    active = [replace(sample_alert(n), entity=Entity(EntityKind.DEVICE, "sw1")) for n in range(3)]
    batch = orphan_facts(active, sensor="s1", devices=(), captured=(), now_ns=NOW)
    assert [fact.name for fact in batch.facts] == ["device_unreachable", "snmp_broken", "counters_stuck", "bgp_peer_down"]
