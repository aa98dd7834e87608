"""Whether an interface can carry packets: down, without carrier and gone are not silent."""

import contextlib
import time

import pytest

from netmote.capture.link_state import LinkState
from netmote.capture.ring import InterfaceGone

pytestmark = pytest.mark.root


def comes_to(state: LinkState, *, up: bool) -> bool:
    """The kernel tells changes of the carrier at most once a second (linkwatch)."""
    deadline = time.monotonic() + 5
    while state.is_up() is not up:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_up_down_carrier_and_gone(wire) -> None:
    """Up with a carrier it is up; set down, or with its peer down, it is not; without the interface that is said."""
    with wire.inside_right():
        state = LinkState(wire.right)
    with contextlib.closing(state):
        assert comes_to(state, up=True)
        wire.ip_right("link", "set", wire.right, "down")
        assert comes_to(state, up=False)
        wire.ip_right("link", "set", wire.right, "up")
        assert comes_to(state, up=True)
        wire.ip_left("link", "set", wire.left, "down")
        assert comes_to(state, up=False)
        wire.ip_right("link", "set", "lo", "up")
        with wire.inside_right(), contextlib.closing(LinkState("lo")) as loopback:
            assert comes_to(loopback, up=True)
        wire.ip_right("link", "del", wire.right)
        with pytest.raises(InterfaceGone, match=wire.right):
            state.is_up()
