"""An ONNX model as values, read from bytes without onnx and without a runtime, refusing what netmote does not run.

Read before onnxruntime sees the bytes, so that custom operators, subgraphs, functions and external files are refused by us,
each with its reason; and by the numpy evaluator, so that one file holds the weights for both runtimes.
Field numbers: onnx/onnx.proto (IR version 8 and later).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.models.protobuf import FIXED32, fields, number, packed_numbers, text, view
from netmote.models.refusal import BundleRefused, Refusal

# What the shipped architectures need and the numpy evaluator knows; no control flow, nothing that can allocate beyond its inputs.
ALLOWED_OPERATORS = frozenset(
    {
        "Abs", "Add", "Cast", "Clip", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Exp", "Gemm", "Log", "MatMul",
        "MatMulInteger", "Max", "Min", "Mul", "Neg", "ReduceMax", "ReduceMean", "Relu", "Round", "Sigmoid", "Sign", "Sqrt", "Sub",
        "Tanh",
    }
)  # fmt: skip
ALLOWED_OPSETS = range(13, 22)
ALLOWED_IR_VERSIONS = range(7, 12)

# TensorProto.DataType
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    11: np.dtype("<f8"),
}
_MOST_NODES = 1_000


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the default domain."""

    operator: str
    inputs: tuple[str, ...]  # "" = an optional input left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, int | float | tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A checked model: the nodes in topological order."""

    ir_version: int
    opset: int
    nodes: tuple[Node, ...]
    initializers: Mapping[str, NDArray[Any]]
    inputs: tuple[str, ...]  # without the initializers
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]


def read_graph(model: bytes) -> Graph:
    """Parse and check. Raises BundleRefused with NOT_ONNX, IR_VERSION, OPSET, OPERATOR or EXTERNAL_DATA."""
    try:
        return _model(memoryview(model))
    except (ValueError, struct.error, RecursionError) as error:
        raise BundleRefused(Refusal.NOT_ONNX, str(error)) from error


def _model(message: memoryview) -> Graph:
    ir_version, opsets, graph, metadata = 0, {}, None, {}
    for field, _, value in fields(message):
        if field == 1:
            ir_version = number(value)
        elif field == 7:
            graph = view(value)
        elif field == 8:
            domain, version = _pair(view(value), as_number=True)
            opsets[domain] = int(version)
        elif field == 14:
            key, word = _pair(view(value), as_number=False)
            metadata[key] = word
        elif field in (20, 25):
            raise BundleRefused(Refusal.OPERATOR, "training information and functions are not allowed")
    if graph is None:
        raise ValueError("no graph")
    if ir_version not in ALLOWED_IR_VERSIONS:
        raise BundleRefused(Refusal.IR_VERSION, f"{ir_version}; allowed {_span(ALLOWED_IR_VERSIONS)}")
    foreign = sorted(set(opsets) - {"", "ai.onnx"})
    if foreign:
        raise BundleRefused(Refusal.OPERATOR, f"domain {foreign[0]!r}; only the default domain is allowed")
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    if opset not in ALLOWED_OPSETS:
        raise BundleRefused(Refusal.OPSET, f"{opset}; allowed {_span(ALLOWED_OPSETS)}")
    return _graph(graph, ir_version, opset, metadata)


def _graph(message: memoryview, ir_version: int, opset: int, metadata: Mapping[str, str]) -> Graph:
    nodes: list[Node] = []
    initializers: dict[str, NDArray[Any]] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for field, _, value in fields(message):
        if field == 1:
            nodes.append(_node(view(value)))
        elif field == 5:
            name, array = _tensor(view(value))
            initializers[name] = array
        elif field == 11:
            inputs.append(_first_text(view(value)))
        elif field == 12:
            outputs.append(_first_text(view(value)))
        elif field == 15:
            raise BundleRefused(Refusal.OPERATOR, "sparse initializers are not allowed")
    if len(nodes) > _MOST_NODES:
        raise BundleRefused(Refusal.OVERSIZED, f"{len(nodes)} nodes; allowed {_MOST_NODES}")
    return Graph(
        ir_version=ir_version,
        opset=opset,
        nodes=tuple(nodes),
        initializers=initializers,
        inputs=tuple(name for name in inputs if name not in initializers),
        outputs=tuple(outputs),
        metadata=dict(metadata),
    )


def _node(message: memoryview) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    operator, domain = "", ""
    attributes: dict[str, int | float | tuple[int, ...]] = {}
    for field, _, value in fields(message):
        if field == 1:
            inputs.append(text(value))
        elif field == 2:
            outputs.append(text(value))
        elif field == 4:
            operator = text(value)
        elif field == 5:
            name, content = _attribute(view(value))
            attributes[name] = content
        elif field == 7:
            domain = text(value)
    if domain not in ("", "ai.onnx") or operator not in ALLOWED_OPERATORS:
        raise BundleRefused(Refusal.OPERATOR, f"{domain + '.' if domain else ''}{operator} is not allowed")
    return Node(operator, tuple(inputs), tuple(outputs), attributes)


def _attribute(message: memoryview) -> tuple[str, int | float | tuple[int, ...]]:
    name = ""
    content: int | float | tuple[int, ...] | None = None
    integers: list[int] = []
    for field, kind, value in fields(message):
        if field == 1:
            name = text(value)
        elif field == 2 and kind == FIXED32:
            content = float(struct.unpack("<f", view(value))[0])
        elif field == 3:
            content = number(value)
        elif field == 8:
            integers += packed_numbers(value, kind)
        elif field not in (13, 20, 21):
            raise BundleRefused(Refusal.OPERATOR, f"attribute {name!r} holds a graph, tensor or text: not allowed")
    return name, tuple(integers) if content is None else content


def _tensor(message: memoryview) -> tuple[str, NDArray[Any]]:
    name, data_type, dims = "", 0, []
    raw: bytes | None = None
    floats, integers = bytearray(), []
    for field, kind, value in fields(message):
        if field == 1:
            dims += packed_numbers(value, kind)
        elif field == 2:
            data_type = number(value)
        elif field == 4:
            floats += view(value)
        elif field in (5, 7):
            integers += packed_numbers(value, kind)
        elif field == 8:
            name = text(value)
        elif field == 9:
            raw = view(value).tobytes()
        elif field == 13 or (field == 14 and value != 0):
            raise BundleRefused(Refusal.EXTERNAL_DATA, f"tensor {name!r} lies outside the file")
    dtype = DTYPES.get(data_type)
    if dtype is None or any(size < 0 for size in dims):
        raise ValueError(f"tensor {name!r} has data type {data_type} and dimensions {dims}")
    if raw is not None:
        flat = np.frombuffer(raw, dtype)
    elif floats:
        flat = np.frombuffer(bytes(floats), "<f4").astype(dtype)
    else:
        flat = np.array(integers, np.int64).astype(dtype)
    return name, flat.reshape(dims)


def _pair(message: memoryview, *, as_number: bool) -> tuple[str, str]:
    first, second = "", "0" if as_number else ""
    for field, _, value in fields(message):
        if field == 1:
            first = text(value)
        elif field == 2:
            second = str(number(value)) if as_number else text(value)
    return first, second


def _first_text(message: memoryview) -> str:
    for field, _, value in fields(message):
        if field == 1:
            return text(value)
    raise ValueError("an input or output has no name")


def _span(allowed: range) -> str:
    return f"{allowed.start} to {allowed.stop - 1}"
