"""An exported ONNX model run node by node in PyTorch, each tensor in the very type that the file gives it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from fcdd_export.gate.drift import Inputs, Outputs
from fcdd_export.gate.outputs import chunks_of

TYPES = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16}
Operation = Callable[..., Tensor]


class TorchModel:
    """The graph of a model whose trunk is convolutions, activations and pooling: FCDD in FP32 or FP16."""

    def __init__(self, model: onnx.ModelProto, device: torch.device, channels_last: bool = False):
        """Copy the weights to a device.

        Raises
        ------
        KeyError
            If the graph has other operations than FCDD's.
        """
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._device = device
        arrays = {weight.name: numpy_helper.to_array(weight).copy() for weight in model.graph.initializer}
        # Whole numbers are arguments, such as axes.
        self._weights = {name: self._placed(array) for name, array in arrays.items() if array.dtype.kind == "f"}
        whole = {name: tuple(int(value) for value in np.ravel(array)) for name, array in arrays.items()}
        self._nodes = [_prepared(node, whole) for node in model.graph.node]

    def tensors(self, mip: Tensor) -> dict[str, Tensor]:
        """Return every tensor of the graph by its name.

        Parameters
        ----------
        mip : uint8 (N, 1, 224, 224) on the model's device
        """
        values = {**self._weights, "mip": mip.contiguous(memory_format=self._format)}
        for operation, inputs, output in self._nodes:
            values[output] = operation(*(values[name] for name in inputs))
        return values

    def run(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score, float32 (N, 1), and map, float32 (N, 1, 28, 28), on the device."""
        values = self.tensors(mip)
        return values["score"], values["anomaly_map"]

    def outputs(self, inputs: Inputs, batch: int = 8) -> Outputs:
        """Answer a set of images in batches of one size, but for the last."""
        with torch.inference_mode():
            parts = [self.run(torch.from_numpy(chunk["mip"]).to(self._device)) for chunk in chunks_of(inputs, batch)]
        scores, maps = (torch.cat(values).cpu().numpy()[:, 0] for values in zip(*parts, strict=True))
        return Outputs(scores, maps)

    def _placed(self, array: npt.NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array).to(self._device)
        return tensor.contiguous(memory_format=self._format) if tensor.ndim == 4 else tensor


def _prepared(node: onnx.NodeProto, whole: dict[str, tuple[int, ...]]) -> tuple[Operation, Sequence[str], str]:
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    operation = OPERATIONS[node.op_type](attributes, [whole[name] for name in node.input if name in whole])
    tensors = node.input[:1] if node.op_type == "ReduceMean" else node.input
    return operation, list(tensors), node.output[0]


def _convolution(attributes: dict[str, Any], _: list[tuple[int, ...]]) -> Operation:
    pads = attributes["pads"]
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, attributes["strides"], pads[: len(pads) // 2])


def _pool(attributes: dict[str, Any], _: list[tuple[int, ...]]) -> Operation:
    pads = attributes["pads"]
    return lambda x: F.max_pool2d(x, attributes["kernel_shape"], attributes["strides"], pads[: len(pads) // 2])


def _mean(attributes: dict[str, Any], whole: list[tuple[int, ...]]) -> Operation:
    keep = bool(attributes["keepdims"])
    return lambda x: x.mean(whole[0], keepdim=keep)


OPERATIONS: dict[str, Callable[[dict[str, Any], list[tuple[int, ...]]], Operation]] = {
    "Cast": lambda attributes, _: lambda x: x.to(TYPES[attributes["to"]]),
    "Conv": _convolution,
    "MaxPool": _pool,
    "ReduceMean": _mean,
    "Relu": lambda *_: torch.relu,
    "LeakyRelu": lambda attributes, _: lambda x: F.leaky_relu(x, attributes["alpha"]),
    "Add": lambda *_: torch.add,
    "Sub": lambda *_: torch.sub,
    "Mul": lambda *_: torch.mul,
    "Div": lambda *_: torch.div,
    "Sqrt": lambda *_: torch.sqrt,
}
