"""When a device counts as unreachable."""

from netmote.snmp.reachability import DeviceState, Reachability


def test_two_silences_in_a_row_announce_once() -> None:
    """One lost poll is nothing; the second in a row begins the condition, once; the next answer ends it, once."""
    device = Reachability()
    assert device.answered() == 0.0, "up at first sight: ends what an earlier process may have announced"
    assert device.answered() is None
    assert device.silent() is None
    assert device.state is DeviceState.UP
    assert device.silent() == 1.0
    assert device.state is DeviceState.UNREACHABLE
    assert device.silent() is None
    assert device.answered() == 0.0
    assert device.answered() is None
    assert device.state is DeviceState.UP


def test_a_host_without_an_agent_is_broken_and_announced_as_silence() -> None:
    """ICMP port unreachable: the state says that the host is there, the condition that nothing is known of it."""
    device = Reachability()
    device.answered()
    assert [device.silent(is_host_there=True), device.silent(is_host_there=True)] == [None, 1.0]
    assert device.state is DeviceState.SNMP_BROKEN
    assert device.silent() is None
    assert device.state is DeviceState.UNREACHABLE, "now the host is silent too"
    assert device.answered() == 0.0


def test_an_answer_between_silences_starts_the_count_anew() -> None:
    """Every second poll lost is a bad line, not a dead device."""
    device = Reachability()
    device.answered()
    assert [device.silent(), device.answered(), device.silent(), device.answered()] == [None, None, None, None]


def test_a_device_that_never_answered_is_announced_too() -> None:
    """A wrong address in the configuration shows like a dead device."""
    device = Reachability()
    assert (device.state, device.silent(), device.silent()) == (DeviceState.UNKNOWN, None, 1.0)


def test_a_refusal_is_a_sign_of_life() -> None:
    """A device that answers uselessly is there: the condition ends, the state says that SNMP is broken."""
    device = Reachability()
    device.silent()
    assert device.silent() == 1.0
    assert device.refused() == 0.0
    assert device.state is DeviceState.SNMP_BROKEN
    assert device.refused() is None
    assert device.silent() is None
    assert device.silent() == 1.0
