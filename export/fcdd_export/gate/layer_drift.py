"""Where drift enters an artefact: its tensors against those of the FP32 graph, layer by layer."""

import numpy as np
import numpy.typing as npt
import onnx

from fcdd_export.gate.drift import Inputs, LayerDrift
from fcdd_export.gate.half_simulation import further_outputs, tensor_types
from fcdd_export.gate.outputs import cpu_session

WORST = 5
"""How many layers a report names."""
_IMAGES = 2
"""Enough to rank layers by; all tensors of a whole VGG11 take 120 MB an image."""

Tensor = npt.NDArray[np.float32]


def layer_drifts(artefact: onnx.ModelProto, reference: onnx.ModelProto, inputs: Inputs) -> list[LayerDrift]:
    """Compare the tensors that both graphs have, in the order of the reference's nodes.

    Parameters
    ----------
    artefact : a graph that ONNX Runtime's CPU provider computes as the target would, such as a half simulation
    reference : the FP32 graph of the same network
    inputs : a few images are enough
    """
    kinds, reference_kinds = tensor_types(artefact), tensor_types(reference)
    floats = {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}
    nodes = [
        node
        for node in reference.graph.node
        if node.output[0] in floats and reference_kinds.get(node.output[0]) == onnx.TensorProto.FLOAT
    ]
    names = [node.output[0] for node in nodes]
    few = {name: images[:_IMAGES] for name, images in inputs.items()}
    # One after the other: sessions of the largest networks take gigabytes.
    ours = _tensors(artefact, names, few)
    theirs = _tensors(reference, names, few)
    errors = [_relative_error(found, true) for found, true in zip(ours, theirs, strict=True)]
    before = dict(zip(names, errors, strict=True))
    return [
        LayerDrift(node.name, error, error - max((before.get(name, 0.0) for name in node.input), default=0.0))
        for node, error in zip(nodes, errors, strict=True)
    ]


def worst(drifts: list[LayerDrift]) -> list[LayerDrift]:
    """Return the layers in which most of the drift enters, the worst first."""
    finite = [drift for drift in drifts if np.isfinite(drift.error)]
    overflowing = [drift for drift in drifts if not np.isfinite(drift.error)]
    return [*overflowing[:1], *sorted(finite, key=lambda drift: -drift.entered)][:WORST]


def _tensors(model: onnx.ModelProto, names: list[str], inputs: Inputs) -> list[Tensor]:
    with further_outputs(model, names):
        session = cpu_session(model)
    tensors: list[Tensor] = session.run(names, dict(inputs))
    return tensors


def _relative_error(ours: Tensor, theirs: Tensor) -> float:
    if not np.isfinite(ours).all():
        return float("inf")
    axes = (0, *range(2, ours.ndim))
    found, true = ours.astype(np.float64), theirs.astype(np.float64)
    squares = (found * found).sum(axes, keepdims=True)
    scale = np.divide((found * true).sum(axes, keepdims=True), squares, out=np.ones_like(squares), where=squares > 0)
    size = float(np.square(true).mean())
    return float(np.sqrt(np.square(scale * found - true).mean() / size)) if size > 0 else 0.0
