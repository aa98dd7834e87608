"""The written graph computes what the network and its preparation compute, and its bytes depend on nothing else."""

import numpy as np
import onnx
import pytest
from bundle_workshop import network

from netmote.models.onnx_detector import OnnxRuntime
from netmote.training.graph import IR_VERSION, LEVELS, MOST_RESIDUAL, OPSET, build_graph

WIDTH = 37
NETWORK, PREPARATION = network(WIDTH)
RAW = np.expm1(np.random.default_rng(1).exponential(2.0, (50, WIDTH)))


def test_equal_to_the_arithmetic_in_numpy() -> None:
    """Preprocessing, network, bounded squared residual and mean: as computed outside."""
    score, contribution = OnnxRuntime(build_graph(NETWORK, PREPARATION, int8=False, metadata={})).run(RAW.astype(np.float32))
    prepared = PREPARATION.apply(RAW.astype(np.float32).astype(np.float64))
    expected = np.minimum(np.abs(NETWORK.reconstruct(prepared) - prepared), MOST_RESIDUAL) ** 2
    assert contribution == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert score == pytest.approx(expected.mean(axis=1), rel=1e-4, abs=1e-5)


def test_int8_weights_are_int8_and_close() -> None:
    """Every matrix is stored in 8 bits, the file is less than half, scores are within a few per cent."""
    small, large = (build_graph(NETWORK, PREPARATION, int8=int8, metadata={}) for int8 in (True, False))
    matrices = [tensor for tensor in onnx.load_from_string(small).graph.initializer if tensor.name.startswith("w")]
    assert [tensor.data_type for tensor in matrices] == [onnx.TensorProto.INT8] * 4
    assert max(int(np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max()) for tensor in matrices) == LEVELS
    assert len(small) < len(large) / 2
    (ours, _), (theirs, _) = (OnnxRuntime(model).run(RAW.astype(np.float32)) for model in (small, large))
    assert ours == pytest.approx(theirs, rel=0.05)


def test_bytes_and_metadata() -> None:
    """The same weights give the same bytes; metadata is inside, opset and IR version are as declared, onnx accepts the model."""
    models = [
        build_graph(NETWORK, PREPARATION, int8=True, metadata=given) for given in ({"b": "2", "a": "1"}, {"a": "1", "b": "2"})
    ]
    assert models[0] == models[1]
    proto = onnx.load_from_string(models[0])
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"a": "1", "b": "2"}
    assert (proto.ir_version, proto.opset_import[0].version) == (IR_VERSION, OPSET)
