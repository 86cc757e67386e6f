"""What a network, or an artefact made of it, answers for a set of images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from fcdd_export.gate.drift import Inputs, Outputs
from fcdd_export.networks.served import ServedNetwork
from fcdd_export.progress import track

CHUNK = 8


def torch_outputs(network: ServedNetwork, inputs: Inputs) -> Outputs:
    """Run the served network in FP32: the reference that everything else is compared with."""
    with torch.inference_mode():
        parts = [
            network.uncut(*(torch.from_numpy(images) for images in chunk.values()))
            for chunk in track(chunks_of(inputs), "torch FP32")
        ]
    outputs = _joined([(score.numpy(), anomaly_map.numpy()) for score, anomaly_map in parts])
    if not network.cuts_below_zero:
        return outputs
    return replace(outputs, maps=np.maximum(outputs.maps, 0), uncut=outputs.maps)


def onnxruntime_outputs(model: onnx.ModelProto, inputs: Inputs, label: str = "ONNX Runtime") -> Outputs:
    """Run an artefact on ONNX Runtime's CPU provider; `label` names it where progress is shown."""
    return session_outputs(cpu_session(model), inputs, label)


def session_outputs(session: onnxruntime.InferenceSession, inputs: Inputs, label: str) -> Outputs:
    """Run a graph that is open; `label` names it where progress is shown."""
    return _joined([session.run(["score", "anomaly_map"], dict(chunk)) for chunk in track(chunks_of(inputs), label)])


def cpu_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Open a graph on ONNX Runtime's CPU provider."""
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def chunks_of(inputs: Inputs, size: int = CHUNK) -> list[Inputs]:
    """Cut all inputs into batches of at most `size`."""
    count = len(next(iter(inputs.values())))
    return [{name: images[start : start + size] for name, images in inputs.items()} for start in range(0, count, size)]


def _joined(parts: Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]) -> Outputs:
    return Outputs(
        np.concatenate([scores[:, 0] for scores, _ in parts]), np.concatenate([maps[:, 0] for _, maps in parts])
    )
