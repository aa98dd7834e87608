"""What devices grew by, together: the same to the last bit as `differences` says of each."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.records.interface import INTERFACE_COUNTERS, InvalidReason
from netmote.snmp.counters import MALFORMED_BITS, NARROW, WIDE, CounterSample, Epoch, differences
from netmote.snmp.growth import grown, is_plain_kind, line_rates

COUNTERS = len(INTERFACE_COUNTERS)
KINDS = np.array([WIDE] * 8 + [NARROW] * 5 + [0], np.uint8)
values = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
growths = st.one_of(st.just(0), st.integers(0, 2_000), st.integers(-5, 5), st.integers(0, 2**40), st.integers(0, 2**64 - 1))


@settings(max_examples=150)
@given(st.data())
def test_a_plain_device_is_what_differences_say_of_it(data: st.DataObject) -> None:
    """Plain: every difference is valid or absent, and the deltas are equal; who is not plain has an invalid one or went back."""
    devices, ports = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    shape = (devices, ports, COUNTERS)
    cells = devices * ports * COUNTERS
    earlier = np.array(data.draw(st.lists(values, min_size=cells, max_size=cells)), np.uint64)
    steps = data.draw(st.lists(growths, min_size=cells, max_size=cells))
    later = np.array([(int(value) + step) % 2**64 for value, step in zip(earlier, steps, strict=True)], np.uint64)
    earlier, later = earlier.reshape(shape), later.reshape(shape)
    for each in (earlier, later):
        each[..., 8:13] %= np.uint64(2**32)
        each[..., 13] = 0
    speeds = np.array(
        data.draw(st.lists(st.sampled_from([0, 1, 1_000, 400_000]), min_size=devices * ports, max_size=devices * ports))
    )
    types = np.array(data.draw(st.lists(st.sampled_from([6, 23, 24]), min_size=devices * ports, max_size=devices * ports)))
    speeds, types = speeds.reshape(devices, ports), types.reshape(devices, ports)
    seconds = np.array(data.draw(st.lists(st.floats(0.01, 400.0), min_size=devices, max_size=devices)))
    bits = np.tile(KINDS, (ports, 1))
    assert is_plain_kind(bits)

    def sample(numbers: np.ndarray, device: int) -> CounterSample:
        return CounterSample(numbers[device], bits, np.zeros(ports, np.int64), types[device], speeds[device])

    rates = np.stack([line_rates(sample(later, device)) for device in range(devices)])
    deltas, is_plain, has_moved, packets = grown(earlier, later, rates, seconds)
    for device in range(devices):
        expected, invalid = differences(sample(earlier, device), sample(later, device), Epoch.SAME, float(seconds[device]))
        is_sound = np.isin(invalid, (InvalidReason.VALID, InvalidReason.ABSENT)).all()
        # A Counter32 that wrapped is sound, and judged one by one.
        assert is_plain[device] == (is_sound and not (later[device] < earlier[device]).any())
        assert has_moved[device] == (earlier[device] != later[device]).any()
        if is_plain[device]:
            assert np.array_equal(deltas[device], expected)
            assert packets[device] == expected[:, 2:4].max(initial=0)


def test_what_a_line_bounds_must_be_wide_to_be_plain() -> None:
    """A Counter32 of octets may have wrapped, and a malformed cell has its reason: neither is plain."""
    for column, width in ((0, NARROW), (5, MALFORMED_BITS), (9, MALFORMED_BITS)):
        bits = np.tile(KINDS, (2, 1))
        bits[1, column] = width
        assert not is_plain_kind(bits)
