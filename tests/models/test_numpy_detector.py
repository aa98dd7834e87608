"""The numpy evaluator, operator by operator against onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from netmote.models.numpy_detector import _OPERATORS, NumpyRuntime
from netmote.models.onnx_graph import ALLOWED_OPERATORS, read_graph
from netmote.models.refusal import BundleRefused, Refusal

WIDTH = 5
X = np.concatenate([np.random.default_rng(0).normal(0.0, 3.0, (7, WIDTH)), [[0.5, -0.5, 1.5, 2.5, 0.0]]]).astype(np.float32)
POSITIVE = np.abs(X) + 0.1


def _constants(**values: object) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}


ROW = np.linspace(-2, 2, WIDTH, dtype=np.float32)
SQUARE = np.random.default_rng(1).normal(size=(WIDTH, WIDTH)).astype(np.float32)
LEVELS = np.random.default_rng(2).integers(-127, 128, (WIDTH, WIDTH)).astype(np.int8)

# Nodes from "features" to "y" (float32, same shape), with constants.
CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    **{
        name: ([helper.make_node(name, ["features"], ["y"])], {})
        for name in ("Abs", "Exp", "Neg", "Relu", "Round", "Sigmoid", "Sign", "Tanh")
    },
    **{name: ([helper.make_node(name, ["p"], ["y"])], _constants(p=POSITIVE)) for name in ("Log", "Sqrt")},
    **{
        name: ([helper.make_node(name, ["features", "c"], ["y"])], _constants(c=ROW))
        for name in ("Add", "Div", "Max", "Min", "Mul", "Sub")
    },
    "Clip": ([helper.make_node("Clip", ["features", "a", "b"], ["y"])], _constants(a=np.float32(-1), b=np.float32(2))),
    "Clip without a low end": ([helper.make_node("Clip", ["features", "", "b"], ["y"])], _constants(b=np.float32(2))),
    "MatMul": ([helper.make_node("MatMul", ["features", "w"], ["y"])], _constants(w=SQUARE)),
    "Gemm": (
        [helper.make_node("Gemm", ["features", "w", "c"], ["y"], alpha=0.5, beta=2.0, transB=1)],
        _constants(w=SQUARE, c=ROW),
    ),
    "Gemm without a bias": ([helper.make_node("Gemm", ["f", "w"], ["y"], transA=1)], _constants(f=SQUARE, w=SQUARE)),
    "Cast": (
        [
            helper.make_node("Cast", ["features"], ["i"], to=TensorProto.INT32),
            helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ],
        {},
    ),
    "ReduceMax": (
        [helper.make_node("ReduceMax", ["features"], ["m"], axes=[1]), helper.make_node("Sub", ["features", "m"], ["y"])],
        {},
    ),
    "ReduceMean": ([helper.make_node("ReduceMean", ["features"], ["m"]), helper.make_node("Sub", ["features", "m"], ["y"])], {}),
    "DequantizeLinear": (
        [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])],
        _constants(q=LEVELS, s=np.float32(0.5), z=np.int8(3)),
    ),
    "DequantizeLinear per column": (
        [helper.make_node("DequantizeLinear", ["q", "s"], ["y"], axis=1)],
        _constants(q=LEVELS, s=np.abs(ROW) + np.float32(0.1)),
    ),
    "DynamicQuantizeLinear, MatMulInteger": (
        [
            helper.make_node("DynamicQuantizeLinear", ["features"], ["q", "s", "z"]),
            helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "s"], ["y"]),
        ],
        _constants(w=LEVELS, wz=np.int8(0)),
    ),
    "MatMulInteger without zero points": (
        [
            helper.make_node("Cast", ["features"], ["q"], to=TensorProto.INT8),
            helper.make_node("MatMulInteger", ["q", "w"], ["i"]),
            helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ],
        _constants(w=LEVELS),
    ),
}


def _model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> bytes:
    tail = [
        helper.make_node("Mul", ["y", "y"], ["contribution"]),
        helper.make_node("ReduceMean", ["contribution"], ["score"], axes=[1], keepdims=0),
    ]
    shape = {"features": ["n", WIDTH], "contribution": ["n", WIDTH], "score": ["n"]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in shape.items()}
    graph = helper.make_graph(
        [*nodes, *tail],
        "case",
        [values["features"]],
        [values["score"], values["contribution"]],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("case", CASES)
def test_each_operator_answers_as_onnxruntime(case: str) -> None:
    """Scores and contributions agree within float32 rounding; a constant subgraph and a live one alike."""
    model = _model(*CASES[case])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    score, contribution = session.run(["score", "contribution"], {"features": X})
    ours, parts = NumpyRuntime(read_graph(model)).run(X)
    assert ours == pytest.approx(score, rel=1e-5, abs=1e-6)
    assert parts == pytest.approx(contribution, rel=1e-5, abs=1e-6)
    assert (ours.dtype, parts.dtype) == (np.float32, np.float32)


def test_every_allowed_operator_is_known_and_shown() -> None:
    """What the reader lets through the evaluator can run, and each has a case above."""
    assert set(_OPERATORS) == ALLOWED_OPERATORS
    assert {node.op_type for nodes, _ in CASES.values() for node in nodes} >= ALLOWED_OPERATORS


def test_all_zero_rows_quantise_to_zero() -> None:
    """DynamicQuantizeLinear of zeros has scale 1 and level 0, not a division by zero."""
    model = _model(*CASES["DynamicQuantizeLinear, MatMulInteger"])
    assert NumpyRuntime(read_graph(model)).run(np.zeros((2, WIDTH), np.float32))[0].tolist() == [0.0, 0.0]


def test_axes_as_an_input_need_onnxruntime() -> None:
    """The form of a reduction that opset 18 brought is refused by name, not answered wrongly."""
    node = helper.make_node("ReduceMax", ["features", "axes"], ["y"])
    with pytest.raises(BundleRefused) as refusal:
        NumpyRuntime(read_graph(_model([node], _constants(axes=np.array([1])))))
    assert refusal.value.reason is Refusal.OPERATOR
