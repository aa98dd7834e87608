"""The wire format: what the reference implementation writes is read, what is malformed is refused."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.models.protobuf import VARINT, fields, number, packed_numbers, signed, text, varint, view


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_as_the_reference_writes_them(value: int) -> None:
    """Every int64 written by protobuf itself comes back."""
    message = onnx.TensorProto(dims=[value]).SerializeToString()
    assert [packed_numbers(part, kind) for _, kind, part in fields(memoryview(message))] == [[value]]
    message = onnx.AttributeProto(i=value).SerializeToString()
    assert [number(part) for _, _, part in fields(memoryview(message))] == [value]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_packed_lists(values: list[int]) -> None:
    """A packed repeated field is read whole."""
    message = onnx.TensorProto(int64_data=values).SerializeToString()
    ((_, kind, part),) = fields(memoryview(message))
    assert packed_numbers(part, kind) == values


@given(st.text())
def test_texts(value: str) -> None:
    """Strings come back; the empty one is not written."""
    message = onnx.NodeProto(op_type=value).SerializeToString()
    assert [text(part) for _, _, part in fields(memoryview(message))] == [value]


@given(st.binary(max_size=200))
def test_junk_ends_or_is_a_value_error(junk: bytes) -> None:
    """Any bytes give fields within the message or a ValueError, never another exception and never an endless loop."""
    try:
        for _, _, part in fields(memoryview(junk)):
            assert isinstance(part, int) or len(part) <= len(junk)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        (b"\x00\x01", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x0a\x05ab", "longer than the message"),
        (b"\x0d\x01\x02", "longer than the message"),
        (b"\x08\x80", "over the end"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "ten bytes"),
    ],
)
def test_each_way_to_be_malformed(junk: bytes, reason: str) -> None:
    """Each is refused with its reason."""
    with pytest.raises(ValueError, match=reason):
        list(fields(memoryview(junk)))


def test_kinds_are_not_confused() -> None:
    """A varint where text belongs, and bytes where a number belongs, are errors."""
    with pytest.raises(ValueError, match="varint stands"):
        view(3)
    with pytest.raises(ValueError, match="bytes stand"):
        number(memoryview(b"x"))
    with pytest.raises(ValueError):
        text(memoryview(b"\xff\xfe"))
    assert packed_numbers(2**64 - 1, VARINT) == [-1]
    assert (signed(1), varint(memoryview(b"\xac\x02"), 0)) == (1, (300, 2))
