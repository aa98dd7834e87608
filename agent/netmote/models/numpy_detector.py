"""The same ONNX file evaluated with numpy, for boards without an onnxruntime wheel (32-bit ARM, old glibc).

Evaluates the graph that `onnx_graph` read from the verified bytes: one file, one set of weights, nothing beside it that could
disagree. Only the operators of `ALLOWED_OPERATORS`, in float32 and int32 as the ONNX operator specification has them.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.models.bundle import CONTRIBUTION, INPUT, SCORE
from netmote.models.onnx_graph import DTYPES, Graph, Node
from netmote.models.refusal import BundleRefused, Refusal

Array = NDArray[Any]
Attributes = Mapping[str, Any]
_One = np.float32(1.0)


def _axes(attributes: Attributes) -> tuple[int, ...] | None:
    return tuple(attributes["axes"]) if "axes" in attributes else None


def _clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.clip(x, low, high)


def _gemm(attributes: Attributes, a: Array, b: Array, c: Array | None = None) -> Array:
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    product = np.float32(attributes.get("alpha", 1.0)) * (a @ b)
    return product if c is None else product + np.float32(attributes.get("beta", 1.0)) * c


def _matmul_integer(a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None) -> Array:
    # Products of 8-bit integers summed over up to 2^16 terms are exact in float64, where BLAS works.
    left = a.astype(np.float64) - (0 if a_zero is None else a_zero.astype(np.float64))
    right = b.astype(np.float64) - (0 if b_zero is None else b_zero.astype(np.float64))
    return (left @ right).astype(np.int32)


def _dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    low, high = np.float32(min(x.min(), 0.0)), np.float32(max(x.max(), 0.0))
    scale = np.float32((high - low) / np.float32(255.0)) or _One
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8), np.asarray(scale), np.asarray(zero, np.uint8)


def _dequantize_linear(attributes: Attributes, x: Array, scale: Array, zero: Array | None = None) -> Array:
    def along(part: Array) -> Array:
        if part.ndim == 0 or part.size == 1:
            return part.reshape(())
        shape = [1] * x.ndim
        shape[attributes.get("axis", 1)] = part.size
        return part.reshape(shape)

    shifted = x.astype(np.int32) - (0 if zero is None else along(zero).astype(np.int32))
    return shifted.astype(np.float32) * along(scale)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": lambda _, x: np.abs(x),
    "Add": lambda _, a, b: a + b,
    "Cast": lambda attributes, x: x.astype(DTYPES[attributes["to"]]),
    "Clip": lambda _, *given: _clip(*given),
    "DequantizeLinear": _dequantize_linear,
    "Div": lambda _, a, b: a / b,
    "DynamicQuantizeLinear": lambda _, x: _dynamic_quantize_linear(x),
    "Exp": lambda _, x: np.exp(x),
    "Gemm": _gemm,
    "Log": lambda _, x: np.log(x),
    "MatMul": lambda _, a, b: a @ b,
    "MatMulInteger": lambda _, *given: _matmul_integer(*given),
    "Max": lambda _, *given: reduce(np.maximum, given),
    "Min": lambda _, *given: reduce(np.minimum, given),
    "Mul": lambda _, a, b: a * b,
    "Neg": lambda _, x: -x,
    "ReduceMax": lambda attributes, x: np.max(x, axis=_axes(attributes), keepdims=bool(attributes.get("keepdims", 1))),
    "ReduceMean": lambda attributes, x: np.mean(
        x, axis=_axes(attributes), keepdims=bool(attributes.get("keepdims", 1)), dtype=np.float32
    ),
    "Relu": lambda _, x: np.maximum(x, 0),
    "Round": lambda _, x: np.rint(x),  # both round half to even
    "Sigmoid": lambda _, x: _One / (_One + np.exp(-x)),
    "Sign": lambda _, x: np.sign(x),
    "Sqrt": lambda _, x: np.sqrt(x),
    "Sub": lambda _, a, b: a - b,
    "Tanh": lambda _, x: np.tanh(x),
}


class NumpyRuntime:
    """A `Runtime` by numpy."""

    kind = "numpy"

    def __init__(self, graph: Graph) -> None:
        """Raises BundleRefused (OPERATOR) for a form of an operator that only onnxruntime knows."""
        for node in graph.nodes:
            if node.operator.startswith("Reduce") and len(node.inputs) > 1:
                raise BundleRefused(Refusal.OPERATOR, f"{node.operator} with axes as an input needs onnxruntime")
        # What depends on weights alone is computed once: 8-bit weights are unpacked here, as onnxruntime does at load.
        self._constants: dict[str, Array | None] = {"": None, **graph.initializers}
        self._nodes: list[Node] = []
        for node in graph.nodes:
            if all(name in self._constants for name in node.inputs):
                self._evaluate(node, self._constants)
            else:
                self._nodes.append(node)

    def run(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        values = {**self._constants, INPUT: features}
        with np.errstate(all="ignore"):
            for node in self._nodes:
                self._evaluate(node, values)
        return np.asarray(values[SCORE], np.float32), np.asarray(values[CONTRIBUTION], np.float32)

    @staticmethod
    def _evaluate(node: Node, values: dict[str, Array | None]) -> None:
        answer = _OPERATORS[node.operator](node.attributes, *(values[name] for name in node.inputs))
        answers = answer if isinstance(answer, tuple) else (answer,)
        values.update(zip(node.outputs, answers, strict=False))
