"""What an FP16 artefact answers where every tensor really is half: a proof that needs no GPU.

ONNX Runtime's CPU provider computes FP16 convolutions in FP32, so it would hide an overflow between two layers.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fcdd_export.gate.drift import Inputs, Outputs
from fcdd_export.gate.outputs import chunks_of, cpu_session
from fcdd_export.graphs.onnx_graph import checked, with_weights
from fcdd_export.progress import track


def half_simulation(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an FP32 graph in which every tensor that is FP16 in `model` is rounded to half where it arises.

    Sums inside a convolution stay FP32, as in the tensor cores' accumulators. Tensor names stay. A model without half
    tensors is its own simulation.
    """
    halves = half_tensors(model)
    if not halves:
        return model
    simulated = with_weights(
        model,
        (
            numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), weight.name)
            if weight.data_type == TensorProto.FLOAT16
            else weight
            for weight in model.graph.initializer
        ),
    )
    nodes = [rounded for node in model.graph.node for rounded in _rounded(node, halves)]
    simulated.graph.ClearField("node")
    simulated.graph.node.extend(nodes)
    return checked(simulated)


class SimulatedSession:
    """The half simulation of an artefact, opened once for several sets of images."""

    def __init__(self, simulation: onnx.ModelProto, names: Collection[str]):
        """Open a simulation; `names` are the tensors that are half in the artefact."""
        self.names = sorted(names)
        with further_outputs(simulation, self.names):
            self.session = cpu_session(simulation)

    def outputs(self, inputs: Inputs) -> tuple[Outputs, float]:
        """Run it.

        Returns
        -------
        outputs, and the largest absolute value of any half tensor (infinity after an overflow)
        """
        parts, largest = [], 0.0
        for chunk in track(chunks_of(inputs, 2), "FP16 simulation"):
            score, anomaly_map, *tensors = self.session.run(["score", "anomaly_map", *self.names], dict(chunk))
            parts.append((score[:, 0], anomaly_map[:, 0]))
            maxima = [float(np.abs(tensor).max()) for tensor in tensors]
            # A NaN compares with nothing, so it would vanish in the maximum.
            largest = max(largest, *(maximum if np.isfinite(maximum) else float("inf") for maximum in maxima))
        scores, maps = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Outputs(scores, maps), largest


def simulated_outputs(model: onnx.ModelProto, inputs: Inputs) -> tuple[Outputs, float]:
    """Simulate an FP16 artefact on one set of images; returns what `SimulatedSession.outputs` does."""
    return SimulatedSession(half_simulation(model), half_tensors(model)).outputs(inputs)


def half_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of the FP16 tensors that nodes of a graph give."""
    kinds = tensor_types(model)
    outputs = {name for node in model.graph.node for name in node.output}
    return {name for name in outputs if kinds.get(name) == TensorProto.FLOAT16}


def tensor_types(model: onnx.ModelProto) -> Mapping[str, int]:
    """Return the element type of every tensor of a checked graph that is no weight, inputs and outputs included."""
    tensors = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    return {tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors}


@contextmanager
def further_outputs(model: onnx.ModelProto, names: Sequence[str]) -> Iterator[onnx.ModelProto]:
    """Let a checked graph have further tensors among its outputs, for a while: no copy of its weights is made."""
    kinds = tensor_types(model)
    present = [output.name for output in model.graph.output]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, kinds[name], None) for name in names if name not in present
    )
    try:
        yield model
    finally:
        del model.graph.output[len(present) :]


def _rounded(node: onnx.NodeProto, halves: set[str]) -> list[onnx.NodeProto]:
    """Let a node give its tensor in FP32, and round it to half and back right behind."""
    name = node.output[0]
    if name not in halves:
        return [node]
    exact = onnx.NodeProto()
    exact.CopyFrom(node)
    nodes = []
    if node.op_type == "Cast":
        source = node.input[0]
    else:
        source = exact.output[0] = f"{name}.exact"
        nodes.append(exact)
    return [
        *nodes,
        helper.make_node("Cast", [source], [f"{name}.half"], name=f"{node.name}.to_half", to=TensorProto.FLOAT16),
        helper.make_node("Cast", [f"{name}.half"], [name], name=f"{node.name}.from_half", to=TensorProto.FLOAT),
    ]
