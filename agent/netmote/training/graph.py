"""The ONNX graph of the autoencoder: raw features in, score and contribution of each feature out; preprocessing inside.

The INT8 form stores the weights per column in 8 bits and multiplies in float32; the runtime unpacks them once, at load. The usual dynamic
quantisation quantises the activations too, with one scale for the whole batch: one wild host would coarsen the scores of all others
(by 4 % measured), and at this size it is slower than float32. Here every row's answer is the same alone and in any batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.models.bundle import CONTRIBUTION, INPUT, SCORE
from netmote.training.fit import Network
from netmote.training.preparation import CLIP, Preparation

OPSET, IR_VERSION = 17, 8
# One feature's residual counts up to 8 spreads, so that a single wild feature is at most 64 / features of the score.
MOST_RESIDUAL = 8.0
LEVELS = 127
PRODUCER = "netmote.training"


class _Builder:
    """Nodes and initializers in the making, with names that count up."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, name: str, value: NDArray[Any] | float) -> str:
        from onnx import numpy_helper

        array = np.asarray(value, np.float32) if isinstance(value, float) else value
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def build_graph(network: Network, preparation: Preparation, *, int8: bool, metadata: Mapping[str, str]) -> bytes:
    """The serialised model. The same weights and metadata give the same bytes."""
    from onnx import TensorProto, helper

    features = len(preparation.centre)
    build = _Builder()
    prepared = _prepare(build, preparation)
    hidden = prepared
    for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        stored = _int8(build, index, weight) if int8 else build.constant(f"w{index}", weight)
        product = build.node("MatMul", hidden, stored)
        hidden = build.node("Add", product, build.constant(f"b{index}", bias))
        if index < len(network.weights) - 1:
            hidden = build.node("Relu", hidden)
    residual = build.node("Abs", build.node("Sub", hidden, prepared))
    bounded = build.node("Min", residual, build.constant("most_residual", MOST_RESIDUAL))
    build.node("Mul", bounded, bounded, output=CONTRIBUTION)
    build.node("ReduceMean", CONTRIBUTION, output=SCORE, axes=[1], keepdims=0)
    graph = helper.make_graph(
        build.nodes,
        "autoencoder",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["windows", features])],
        [
            helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, ["windows"]),
            helper.make_tensor_value_info(CONTRIBUTION, TensorProto.FLOAT, ["windows", features]),
        ],
        build.initializers,
    )
    model = helper.make_model(
        graph, producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return bytes(model.SerializeToString(deterministic=True))


def _prepare(build: _Builder, preparation: Preparation) -> str:
    size = build.node("Log", build.node("Add", build.node("Abs", INPUT), build.constant("one", 1.0)))
    logs = build.node("Mul", build.node("Sign", INPUT), size)
    centred = build.node("Sub", logs, build.constant("centre", preparation.centre))
    scaled = build.node("Div", centred, build.constant("scale", preparation.scale))
    return build.node("Clip", scaled, build.constant("low", -CLIP), build.constant("high", CLIP))


def _int8(build: _Builder, index: int, weight: NDArray[np.float32]) -> str:
    from onnx import TensorProto

    scale = (np.maximum(np.abs(weight).max(axis=0), np.float32(1e-12)) / np.float32(LEVELS)).astype(np.float32)
    levels = np.rint(weight / scale).astype(np.int8)
    # Cast and Mul, not DequantizeLinear: onnxruntime fuses that one with MatMul into a kernel that rounds the activations too.
    unpacked = build.node("Cast", build.constant(f"w{index}", levels), to=TensorProto.FLOAT)
    return build.node("Mul", unpacked, build.constant(f"s{index}", scale))
