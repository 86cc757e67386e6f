"""What TensorRT made of a graph, layer by layer, and whether every layer has the type that its precision demands.

TensorRT runs a strongly typed network in the types that it parsed, so this is where a head in half precision, or a
convolution that lost its quantisation, can be seen without a GPU.
"""

from dataclasses import dataclass
from typing import Any

from fcdd_export.graphs.precisions import PRECISIONS, PrecisionSpec
from fcdd_runtime.contract import Precision
from fcdd_runtime.errors import GateError

TRUNK_PREFIX = "trunk."
"""Names of the layers in front of the head contain this."""
FLOATING = frozenset({"FLOAT", "HALF", "BF16", "INT8", "UINT8", "FP8", "INT4", "FP4", "E8M0"})
"""Types of values, as against those of shapes and indices."""


@dataclass(frozen=True)
class Layer:
    """One layer of a parsed network."""

    name: str
    """That of the ONNX node, or of a constant."""
    kind: str
    """TensorRT's `LayerType`, such as `CONVOLUTION`."""
    inputs: tuple[str, ...]
    """Names of the tensors."""
    input_types: tuple[str, ...]
    """TensorRT's `DataType` of each input, such as `HALF`."""
    outputs: tuple[str, ...]
    output_types: tuple[str, ...]

    @property
    def in_trunk(self) -> bool:
        """Whether the layer's name says that it lies in front of the head."""
        return TRUNK_PREFIX in self.name


def layers_of(network: Any) -> list[Layer]:
    """List the layers of a parsed `INetworkDefinition`, in its order: every layer comes after those that feed it."""
    listed = []
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
        # An input that is not used, such as a bias, is None.
        present = [tensor for tensor in inputs if tensor is not None]
        outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
        listed.append(
            Layer(
                name=layer.name,
                kind=layer.type.name,
                inputs=tuple(tensor.name for tensor in present),
                input_types=tuple(tensor.dtype.name for tensor in present),
                outputs=tuple(tensor.name for tensor in outputs),
                output_types=tuple(tensor.dtype.name for tensor in outputs),
            )
        )
    return listed


def check_layers(layers: list[Layer], precision: Precision) -> None:
    """Refuse a network whose layers are not of the types that a precision demands.

    In all precisions the head, which is everything behind the trunk, and so the last convolution, answers FLOAT.
    fp32: every value is FLOAT. fp16: every layer of the trunk answers HALF, and so takes HALF. int8: convolutions take
    both image and weights from DEQUANTIZE layers or neither, and at least one does.

    Raises
    ------
    GateError
        Naming the first layer that is not as it should be.
    """
    spec, head = PRECISIONS[precision], _head(layers)
    for layer in layers:
        if fault := _fault(layer, layers, layer.name in head, spec):
            raise GateError(f"TensorRT made the layer {layer.name} ({layer.kind}) {fault}; {precision} is not exported")
    convolutions = [layer for layer in layers if layer.kind == "CONVOLUTION" and layer.in_trunk]
    if not any(
        _dequantized(layer, layers) == {True} if spec.quantized else {*layer.output_types} == {spec.trunk_type}
        for layer in convolutions
    ):
        raise GateError(f"TensorRT made no convolution of the trunk {precision}; {precision} is not exported")


def quantized_convolutions(layers: list[Layer]) -> list[str]:
    """Return the names of the convolutions whose image and weights come from DEQUANTIZE layers."""
    return [layer.name for layer in layers if layer.kind == "CONVOLUTION" and _dequantized(layer, layers) == {True}]


def _head(layers: list[Layer]) -> set[str]:
    """Return the names of the layers that no layer of the trunk depends on and that are not in the trunk."""
    needed: set[str] = set()
    head: set[str] = set()
    for layer in reversed(layers):
        if layer.in_trunk or needed & {*layer.outputs}:
            needed |= {*layer.inputs}
        else:
            head.add(layer.name)
    return head


def _fault(layer: Layer, layers: list[Layer], in_head: bool, spec: PrecisionSpec) -> str | None:
    """Say what is wrong with a layer's types, or with what makes its inputs."""
    answers = FLOATING & {*layer.output_types}
    if (in_head or spec.trunk_type == "FLOAT") and answers - {"FLOAT"}:
        return f"answer {', '.join(sorted(answers))} instead of FLOAT"
    if spec.trunk_type is not None and layer.in_trunk and answers - {spec.trunk_type}:
        return f"answer {', '.join(sorted(answers))} instead of {spec.trunk_type}"
    if in_head and layer.kind not in {"CAST", "DEQUANTIZE"} and (FLOATING & {*layer.input_types}) - {"FLOAT"}:
        return f"take {', '.join(layer.input_types)} instead of FLOAT"
    if not spec.quantized and layer.kind in {"QUANTIZE", "DEQUANTIZE"}:
        return "quantise"
    if layer.kind == "CONVOLUTION" and len(_dequantized(layer, layers)) > 1:
        return "take only one of image and weights from a DEQUANTIZE layer"
    return None


def _dequantized(convolution: Layer, layers: list[Layer]) -> set[bool]:
    """Say of image and weights whether a DEQUANTIZE layer makes them; weights that are no input are not quantised."""
    makers = {name: layer.kind for layer in layers for name in layer.outputs}
    image = makers.get(convolution.inputs[0]) == "DEQUANTIZE"
    weights = len(convolution.inputs) > 1 and makers.get(convolution.inputs[1]) == "DEQUANTIZE"
    return {image, weights}
