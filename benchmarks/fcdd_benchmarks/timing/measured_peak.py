"""What this machine's arithmetic can do: large matrix products, timed among the contenders."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import helper, numpy_helper

from fcdd_export.graphs.onnx_graph import MAX_IR_VERSION, OPSET

SIZE = 2048
"""Rows and columns of both factors."""
MULTIPLY_ADDS = SIZE**3


def float32_product() -> Callable[[], object]:
    """Return ONNX Runtime's float32 matrix product; torch's is half as fast on some processors."""
    left, right = np.random.default_rng(0).random((2, SIZE, SIZE), np.float32)
    return _product("MatMul", left, right, np.dtype(np.float32))


def int8_product() -> Callable[[], object]:
    """Return ONNX Runtime's product of uint8 and int8 matrices into int32: what INT8 artefacts for CPUs do."""
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (SIZE, SIZE), np.uint8)
    right = rng.integers(-128, 128, (SIZE, SIZE), np.int8)
    return _product("MatMulInteger", left, right, np.dtype(np.int32))


def share_of_peak(multiply_adds: float, ms: float, product_ms: float) -> float:
    """Return arithmetic per time as a share of what the matrix product reached."""
    return (multiply_adds / ms) / (MULTIPLY_ADDS / product_ms)


def _product(
    operation: str, left: npt.NDArray[np.generic], right: npt.NDArray[np.generic], kind: "np.dtype[np.generic]"
) -> Callable[[], object]:
    """Build a product whose right factor is constant, so that it is packed once, as a network's weights are."""
    inputs = [helper.make_tensor_value_info("left", helper.np_dtype_to_tensor_dtype(left.dtype), left.shape)]
    outputs = [helper.make_tensor_value_info("product", helper.np_dtype_to_tensor_dtype(kind), left.shape)]
    node = helper.make_node(operation, ["left", "right"], ["product"])
    graph = helper.make_graph([node], "product", inputs, outputs, [numpy_helper.from_array(right, "right")])
    model = helper.make_model(graph, ir_version=MAX_IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"left": left})
