"""What is said of the machine's clock, from each state the kernel can report."""

from pathlib import Path

from netmote.daemon.kernel_clock import KernelClock, Timex, read_kernel_clock

_UNSYNC, _NANO = 0x0040, 0x2000


def kernel(status: int, offset: int):
    def fill(state: Timex) -> int:
        assert state.modes == 0, "it is only read"
        state.status, state.offset = status, offset
        return 0

    return fill


def refused(_state: Timex) -> int:
    raise PermissionError(1, "Operation not permitted")


def test_an_unsynchronised_clock_has_no_offset(tmp_path: Path) -> None:
    """While nothing keeps the clock, the offset the kernel still holds means nothing."""
    assert read_kernel_clock(kernel(_UNSYNC, 500), mark=tmp_path / "none") == KernelClock(None, is_synchronised=False)


def test_the_offset_is_local_minus_reference_in_either_unit(tmp_path: Path) -> None:
    """The kernel says what is to be added, in micro- or nanoseconds: a clock that is behind has a negative offset."""
    assert read_kernel_clock(kernel(0, 2_000), mark=tmp_path / "none") == KernelClock(-0.002, is_synchronised=True)
    assert read_kernel_clock(kernel(_NANO, -2_000), mark=tmp_path / "none") == KernelClock(2e-06, is_synchronised=True)


def test_without_permission_timesyncd_is_asked(tmp_path: Path) -> None:
    """A sandbox that refuses the call leaves timesyncd's mark; without it nothing is known, and nothing is claimed."""
    mark = tmp_path / "synchronized"
    assert read_kernel_clock(refused, mark=mark) == KernelClock(None, None)
    mark.touch()
    assert read_kernel_clock(refused, mark=mark) == KernelClock(None, is_synchronised=True)


def test_the_kernel_itself_answers() -> None:
    """The real call works here, and says the same twice: the layout of the structure is the kernel's."""
    first, second = read_kernel_clock(), read_kernel_clock()
    assert first.is_synchronised == second.is_synchronised
    if first.offset_seconds is not None:
        assert abs(first.offset_seconds) < 60
