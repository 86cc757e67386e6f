"""FP32 ONNX -> FP16 ONNX, strongly typed: precision lives in the graph, not in a builder's flags."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fcdd_export.graph import TRUNK_PREFIX, checked


def fp16_from_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its trunk in FP16, and normalisation, last convolution, head and mean in FP32.

    Two casts only, one into the trunk and one out of it. In FP16 the head would answer 0 for |o| <= 0.03 and
    infinity for |o| >= 256, so it never sees a half-precision tensor.

    Parameters
    ----------
    model : a graph of `onnx_from_network`, left as it is
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    trunk = [node for node in half.graph.node if node.name.startswith(TRUNK_PREFIX)]
    _halve_weights(half.graph, {name for node in trunk for name in node.input})
    entry, exit_ = trunk[0].input[0], trunk[-1].output[0]
    position = list(half.graph.node).index(trunk[0])
    _rewire(half.graph, entry, f"{entry}_fp16", inside=trunk)
    _rewire(half.graph, exit_, f"{exit_}_fp32", inside=[node for node in half.graph.node if node not in trunk])
    half.graph.node.insert(position, _cast("trunk.to_fp16", entry, f"{entry}_fp16", TensorProto.FLOAT16))
    after = position + 1 + len(trunk)
    half.graph.node.insert(after, _cast("head.to_fp32", exit_, f"{exit_}_fp32", TensorProto.FLOAT))
    half.graph.ClearField("value_info")
    return checked(half)


def _halve_weights(graph: onnx.GraphProto, names: set[str]) -> None:
    for weight in graph.initializer:
        if weight.name in names:
            values = numpy_helper.to_array(weight)
            # An overflow becomes an infinity here, and verification then refuses the model.
            with np.errstate(over="ignore"):
                weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), weight.name))


def _rewire(graph: onnx.GraphProto, old: str, new: str, inside: list[onnx.NodeProto]) -> None:
    for node in inside:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _cast(name: str, source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=name, to=kind)
