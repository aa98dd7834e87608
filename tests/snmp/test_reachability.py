"""When a device counts as unreachable, and when as there without SNMP of use."""

from netmote.snmp.reachability import DeviceState, Reachability

NOTHING: dict[str, float] = {}
GONE, BACK = {"device_unreachable": 1.0}, {"device_unreachable": 0.0}
BROKEN, MENDED = {"snmp_broken": 1.0}, {"snmp_broken": 0.0}


def up() -> Reachability:
    device = Reachability()
    assert device.answered() == BACK | MENDED, "up at first sight: ends what an earlier process may have announced"
    return device


def test_two_silences_in_a_row_announce_once() -> None:
    """One lost poll is nothing; the second in a row begins the condition, once; the next answer ends it, once."""
    device = up()
    assert device.answered() == NOTHING
    assert device.silent() == NOTHING
    assert device.state is DeviceState.UP
    assert device.silent() == GONE
    assert device.state is DeviceState.UNREACHABLE
    assert device.silent() == NOTHING
    assert device.answered() == BACK
    assert device.answered() == NOTHING
    assert device.state is DeviceState.UP


def test_a_silent_agent_on_a_host_that_is_there_is_broken() -> None:
    """Seen by ICMP or TCP, or by its own word that no agent listens."""
    device = up()
    assert [device.silent(is_host_there=True), device.silent(is_host_there=True)] == [NOTHING, BROKEN]
    assert device.state is DeviceState.SNMP_BROKEN
    assert device.silent(is_host_there=True) == NOTHING
    assert device.answered() == MENDED


def test_a_host_that_was_seen_has_to_be_missed_twice() -> None:
    """One lost echo does not make a broken agent a dead host; two do, and then one condition takes the other's place."""
    device = up()
    device.silent(is_host_there=True)
    device.silent(is_host_there=True)
    assert device.silent() == NOTHING
    assert device.state is DeviceState.SNMP_BROKEN
    assert device.silent(is_host_there=True) == NOTHING
    assert [device.silent(), device.silent()] == [NOTHING, MENDED | GONE]
    assert device.state is DeviceState.UNREACHABLE


def test_a_host_that_came_back_without_its_agent_is_seen_at_once() -> None:
    """A sign of life needs no second one."""
    device = up()
    device.silent()
    device.silent()
    assert device.silent(is_host_there=True) == BACK | BROKEN
    assert device.state is DeviceState.SNMP_BROKEN


def test_an_answer_between_silences_starts_the_count_anew() -> None:
    """Every second poll lost is a bad line, not a dead device."""
    device = up()
    assert [device.silent(), device.answered(), device.silent(), device.answered()] == [NOTHING] * 4


def test_a_device_that_never_answered_is_announced_too() -> None:
    """A wrong address in the configuration shows like a dead device."""
    device = Reachability()
    assert (device.state, device.silent(), device.silent()) == (DeviceState.UNKNOWN, NOTHING, GONE)


def test_a_refusal_is_a_sign_of_life() -> None:
    """A device that answers uselessly is there: unreachable ends with its first word, broken begins with the second such poll."""
    device = Reachability()
    device.silent()
    assert device.silent() == GONE
    assert device.refused() == BACK | BROKEN, "the third poll in a row of no use"
    assert device.state is DeviceState.SNMP_BROKEN
    assert device.refused() == NOTHING
    assert [device.silent(), device.silent()] == [NOTHING, MENDED | GONE]


def test_one_refusal_announces_nothing() -> None:
    """An agent that is restarting answers nonsense once."""
    device = up()
    assert [device.refused(), device.answered(), device.refused(), device.refused()] == [NOTHING, NOTHING, NOTHING, BROKEN]
