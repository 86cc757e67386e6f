"""Quantised trunks -> ONNX with Q/DQ pairs: what TensorRT and ONNX Runtime turn into integer convolutions.

Biases stay float32: TensorRT refuses those behind a DequantizeLinear, and ONNX Runtime rounds them itself.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

from fcdd_export.int8.quantized_trunk import QuantizedTrunk
from fcdd_export.int8.ranges import Scale


def with_quantized_trunks(
    model: onnx.ModelProto, trunks: Mapping[str, QuantizedTrunk], weights: Mapping[str, Tensor], round_features: bool
) -> onnx.ModelProto:
    """Return the graph with its trunks quantised; biases and what is not in INT8 are float32.

    Parameters
    ----------
    model : a graph of `onnx_from_network`, left as it is
    trunks : by the module's name, such as `trunk`
    weights : other weights that change, by name, such as `last.weight`
    round_features : whether the features get a Q/DQ pair too: ONNX Runtime's integer convolution answers codes only
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    editor = _Editor(quantized.graph)
    for name, weight in weights.items():
        editor.replace(name, weight)
    for prefix, trunk in trunks.items():
        editor.quantize_trunk(prefix, trunk, round_features)
    quantized.graph.ClearField("value_info")
    return quantized


class _Editor:
    """Puts Q/DQ pairs into a graph, each right in front of the node that takes its tensor."""

    def __init__(self, graph: onnx.GraphProto):
        self.graph = graph
        self.weights = {weight.name: weight for weight in graph.initializer}

    def replace(self, name: str, values: Tensor) -> None:
        """Give a convolution other values of a parameter, such as `last.bias`.

        The exporter leaves biases out that are 0, and may share equal ones: every convolution gets its own here.
        """
        module, parameter = name.rsplit(".", 1)
        node = self._convolution(module)
        if name in self.weights:
            self.graph.initializer.remove(self.weights.pop(name))
        made = numpy_helper.from_array(values.numpy().astype(np.float32), name)
        self.graph.initializer.append(made)
        self.weights[name] = self.graph.initializer[-1]
        position = 1 if parameter == "weight" else 2
        del node.input[position : position + 1]
        node.input.insert(position, name)

    def _convolution(self, module: str) -> onnx.NodeProto:
        found: onnx.NodeProto = next(
            node for node in self.graph.node if node.op_type == "Conv" and node.name.startswith(f"{module}.")
        )
        return found

    def quantize_trunk(self, prefix: str, trunk: QuantizedTrunk, round_features: bool) -> None:
        for index, made in trunk.convolutions.items():
            module = f"{prefix}.{index}"
            node = self._convolution(module)
            self.replace(f"{module}.bias", made.bias)
            if made.input_scale is None or made.weight_steps is None:
                self.replace(f"{module}.weight", made.weight)
                continue
            self._quantize_weight(node, made.weight, made.weight_steps)
            node.input[0] = self._pair(node.input[0], f"{module}.input", made.input_scale, [node])
        if round_features:
            self._round_features(f"{prefix}.{trunk.end}", trunk.scale)

    def _quantize_weight(self, node: onnx.NodeProto, weight: Tensor, steps: Tensor) -> None:
        name = node.input[1]
        codes = (weight / steps[:, None, None, None]).round().numpy().astype(np.int8)
        self.graph.initializer.remove(self.weights.pop(name))
        zeros = np.zeros(len(codes), np.int8)
        names = self._constants(name, codes=codes, steps=steps.numpy().astype(np.float32), zero_points=zeros)
        dequantized = f"{name}.dequantized"
        made = helper.make_node("DequantizeLinear", names, [dequantized], name=f"{name}.dequantize", axis=0)
        self._insert_before([node], [made])
        node.input[1] = dequantized

    def _round_features(self, module: str, scale: Scale) -> None:
        last = [node for node in self.graph.node if module_of(node) == module][-1].output[0]
        takers = [node for node in self.graph.node if last in node.input]
        rounded = self._pair(last, f"{module}.output", scale, takers)
        for node in takers:
            for position, name in enumerate(node.input):
                node.input[position] = rounded if name == last else name

    def _pair(self, tensor: str, name: str, scale: Scale, takers: list[onnx.NodeProto]) -> str:
        """Insert a Q/DQ pair and return the name of the rounded tensor."""
        kind = np.uint8 if scale.lowest == 0 else np.int8
        constants = self._constants(name, step=np.float32(scale.step), zero_point=kind(scale.zero_point))
        codes, rounded = f"{name}.codes", f"{name}.dequantized"
        self._insert_before(
            takers,
            [
                helper.make_node("QuantizeLinear", [tensor, *constants], [codes], name=f"{name}.quantize"),
                helper.make_node("DequantizeLinear", [codes, *constants], [rounded], name=f"{name}.dequantize"),
            ],
        )
        return rounded

    def _constants(self, prefix: str, **values: np.generic | np.ndarray) -> list[str]:  # type: ignore[type-arg]
        names = [f"{prefix}.{name}" for name in values]
        arrays = zip(names, values.values(), strict=True)
        self.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in arrays)
        return names

    def _insert_before(self, takers: list[onnx.NodeProto], nodes: list[onnx.NodeProto]) -> None:
        position = min(index for index, node in enumerate(self.graph.node) if node in takers)
        for offset, node in enumerate(nodes):
            self.graph.node.insert(position + offset, node)


def module_of(node: onnx.NodeProto) -> str:
    """Return the torch module that a node's name says: `trunk.0` of `trunk.0.conv2d`."""
    return ".".join(node.name.split(".")[:2])


def int8_share(model: onnx.ModelProto) -> float:
    """Return the share of the multiply-adds of convolutions and linear layers that is in INT8, 0..1."""
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.value_info
    }
    shapes |= {weight.name: list(weight.dims) for weight in model.graph.initializer}
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    total = quantized = 0
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            cost = int(np.prod(shapes[node.input[1]]) * np.prod(shapes[node.output[0]][2:]))
            total += cost
            quantized += cost * all(makers.get(name) == "DequantizeLinear" for name in node.input[:2])
    return quantized / total
