"""Reading ONNX without onnx: equal to what onnx reads, and every forbidden construction refused by its own reason."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from bundle_workshop import edited, model_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from netmote.models.onnx_graph import ALLOWED_OPERATORS, DTYPES, read_graph
from netmote.models.refusal import BundleRefused, Refusal

MODEL = model_bytes()


@pytest.mark.parametrize("int8", [True, False])
def test_equal_to_what_onnx_reads(int8: bool) -> None:
    """Nodes, attributes, initializers, inputs, outputs, opset and metadata are those of the onnx package."""
    model = model_bytes(int8=int8)
    ours, theirs = read_graph(model), onnx.load_from_string(model)
    assert [(n.operator, list(n.inputs), list(n.outputs)) for n in ours.nodes] == [
        (n.op_type, list(n.input), list(n.output)) for n in theirs.graph.node
    ]
    for our, their in zip(ours.nodes, theirs.graph.node, strict=True):
        expected = {a.name: helper.get_attribute_value(a) for a in their.attribute}
        assert {name: list(v) if isinstance(v, tuple) else v for name, v in our.attributes.items()} == expected
    for tensor in theirs.graph.initializer:
        expected = numpy_helper.to_array(tensor)
        assert np.array_equal(ours.initializers[tensor.name], expected)
        assert ours.initializers[tensor.name].dtype == expected.dtype
    assert (ours.ir_version, ours.opset) == (theirs.ir_version, theirs.opset_import[0].version)
    assert ours.inputs == tuple(value.name for value in theirs.graph.input)
    assert ours.outputs == tuple(value.name for value in theirs.graph.output)
    assert dict(ours.metadata) == {entry.key: entry.value for entry in theirs.metadata_props}


@pytest.mark.parametrize(
    ("code", "raw"), [(code, raw) for code in sorted(DTYPES) for raw in (True, False) if raw or code != TensorProto.DOUBLE]
)
def test_every_allowed_tensor_type(code: int, raw: bool) -> None:
    """Each data type, as raw bytes or as typed fields, comes back with values and shape."""
    values = np.array([[1, 2, 3], [4, 5, 6]]).astype(helper.tensor_dtype_to_np_dtype(code))
    tensor = helper.make_tensor("x", code, values.shape, values.tobytes() if raw else values.ravel(), raw=raw)
    model = edited(MODEL, lambda proto: proto.graph.initializer.append(tensor))
    assert np.array_equal(read_graph(model).initializers["x"], values)


def test_float_attributes_and_initializers_listed_as_inputs() -> None:
    """A float attribute is read; an initializer that is also listed as an input is not an input of the model."""

    def change(proto: onnx.ModelProto) -> None:
        proto.graph.node.append(helper.make_node("Gemm", ["a", "b"], ["c"], alpha=0.5, transB=1))
        proto.graph.input.append(helper.make_tensor_value_info("w0", TensorProto.FLOAT, [1]))

    graph = read_graph(edited(MODEL, change))
    assert dict(graph.nodes[-1].attributes) == {"alpha": 0.5, "transB": 1}
    assert graph.inputs == ("features",)


def _external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="../../etc/passwd"))


def _location_only(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL


def _subgraph(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Abs", ["features"], ["y"])
    node.attribute.append(helper.make_attribute("body", helper.make_graph([], "inner", [], [])))
    proto.graph.node.append(node)


FORBIDDEN = {
    "custom domain on a node": (
        Refusal.OPERATOR,
        lambda p: p.graph.node.append(helper.make_node("Abs", ["features"], ["y"], domain="evil")),
    ),
    "custom domain imported": (Refusal.OPERATOR, lambda p: p.opset_import.append(helper.make_opsetid("com.microsoft", 1))),
    "operator not on the list": (Refusal.OPERATOR, lambda p: p.graph.node.append(helper.make_node("Loop", ["a"], ["y"]))),
    "subgraph in an attribute": (Refusal.OPERATOR, _subgraph),
    "function": (Refusal.OPERATOR, lambda p: p.functions.append(onnx.FunctionProto(name="f", domain="x"))),
    "training information": (Refusal.OPERATOR, lambda p: p.training_info.append(onnx.TrainingInfoProto())),
    "sparse initializer": (Refusal.OPERATOR, lambda p: p.graph.sparse_initializer.append(onnx.SparseTensorProto())),
    "external data": (Refusal.EXTERNAL_DATA, _external),
    "external location without data": (Refusal.EXTERNAL_DATA, _location_only),
    "opset too old": (Refusal.OPSET, lambda p: setattr(p.opset_import[0], "version", 9)),
    "opset unknown": (Refusal.OPSET, lambda p: setattr(p.opset_import[0], "version", 99)),
    "no opset": (Refusal.OPSET, lambda p: p.ClearField("opset_import")),
    "IR version unknown": (Refusal.IR_VERSION, lambda p: setattr(p, "ir_version", 99)),
    "no graph": (Refusal.NOT_ONNX, lambda p: p.ClearField("graph")),
    "tensor type not allowed": (Refusal.NOT_ONNX, lambda p: setattr(p.graph.initializer[0], "data_type", TensorProto.STRING)),
    "negative dimension": (Refusal.NOT_ONNX, lambda p: p.graph.initializer[-1].dims.append(-5)),
    "shape does not fit the bytes": (Refusal.NOT_ONNX, lambda p: p.graph.initializer[-1].dims.append(7)),
    "doubles that are not raw": (
        Refusal.NOT_ONNX,
        lambda p: p.graph.initializer.append(helper.make_tensor("x", TensorProto.DOUBLE, [1], [1.0])),
    ),
    "input without a name": (Refusal.NOT_ONNX, lambda p: p.graph.input.append(onnx.ValueInfoProto())),
    "too many nodes": (
        Refusal.OVERSIZED,
        lambda p: p.graph.node.extend([helper.make_node("Abs", ["features"], ["y"])] * 1_001),
    ),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_each_forbidden_construction_has_its_reason(case: str) -> None:
    """Refused before any runtime sees the bytes."""
    reason, change = FORBIDDEN[case]
    with pytest.raises(BundleRefused) as refusal:
        read_graph(edited(MODEL, change))
    assert refusal.value.reason is reason
    assert refusal.value.detail


@given(st.binary(max_size=300))
def test_junk_is_refused(junk: bytes) -> None:
    """Any bytes are refused, never another exception."""
    with pytest.raises(BundleRefused):
        read_graph(junk)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(MODEL) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(position: int, byte: int) -> None:
    """One byte changed anywhere: a graph or a refusal, never another exception (the checksum catches what is still a graph)."""
    damaged = bytearray(MODEL)
    damaged[position] = byte
    with suppress(BundleRefused):
        assert {node.operator for node in read_graph(bytes(damaged)).nodes} <= ALLOWED_OPERATORS


def test_a_cut_file_is_refused() -> None:
    """Cut anywhere: refused or, at the border of a field, lacking something that a later check misses."""
    refused = 0
    for length in range(0, len(MODEL), 37):
        try:
            read_graph(MODEL[:length])
        except BundleRefused:
            refused += 1
    assert refused >= len(MODEL) // 37
