"""Every artefact against torch in FP32 on the same images: drift and the gate."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor

from fcdd_export.network import ServedNetwork
from fcdd_runtime.contract import OperatingPoint
from fcdd_runtime.errors import GateError

CHUNK = 8
HALF_MAX = 65504.0
"""Largest finite FP16 number."""

Images = npt.NDArray[np.uint8]
"""uint8 (N, 1, 224, 224)."""


@dataclass(frozen=True)
class Outputs:
    """What a network answers for a set of images."""

    scores: npt.NDArray[np.float32]
    """float32 (N,)."""
    maps: npt.NDArray[np.float32]
    """float32 (N, 28, 28)."""


@dataclass(frozen=True)
class Limits:
    """What a precision may differ from FP32 at most."""

    score: float
    """Largest relative score error."""
    map: float
    """Largest map error, as a share of the image's largest map value."""
    extreme: float
    """The same two for images at the ends of the input range. They are there to find overflows; in a flat image
    every cell is rounded alike, so that errors add up which the mean of a real image's score takes out."""


LIMITS = {
    # Another order of summation is all that may differ.
    "fp32": Limits(score=1e-4, map=1e-4, extreme=5e-4),
    # Half has 11 bits: 5e-4 a rounding, and it is rounded about 14 times on the way through the trunk.
    "fp16": Limits(score=1e-2, map=1e-2, extreme=5e-2),
}


@dataclass(frozen=True)
class Drift:
    """How far one way of running an artefact is from torch in FP32."""

    way: str
    """`onnxruntime` (the very artefact on the CPU) or `fp16 simulation` (every tensor rounded to half)."""
    extreme: bool
    """Whether the images are those at the ends of the input range, rather than the verification images."""
    images: int
    score_largest: float
    """Largest relative score error; scores below 1 % of the set's largest count as that much."""
    score_mean: float
    """Mean relative score error."""
    rank_correlation: float | None
    """Spearman's correlation of the scores; None for fewer than three images."""
    map_largest: float
    """Largest map error as a share of that image's largest map value; images whose maps stay below 5 % of the set's
    largest value count as that much."""
    flips: int | None
    """Images on the other side of the operating point; None without one."""
    nonfinite: int
    """Number of NaN and infinite values in scores and maps."""
    activation_largest: float | None = None
    """Largest absolute activation of the trunk, against 65504; known for the FP16 simulation only."""


def torch_outputs(network: ServedNetwork, images: Images) -> Outputs:
    """Run the served network in FP32: the reference that everything else is compared with."""
    with torch.inference_mode():
        parts = [network(chunk) for chunk in torch.split(torch.from_numpy(images), CHUNK)]
    return _joined([(score.numpy(), anomaly_map.numpy()) for score, anomaly_map in parts])


def onnxruntime_outputs(model: onnx.ModelProto, images: Images) -> Outputs:
    """Run an artefact on ONNX Runtime's CPU provider."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    starts = range(0, len(images), CHUNK)
    return _joined([session.run(["score", "anomaly_map"], {"mip": images[start : start + CHUNK]}) for start in starts])


def fp16_simulation(network: ServedNetwork, images: Images) -> tuple[Outputs, float]:
    """Run the trunk with every weight and every tensor rounded to half, the head in FP32.

    ONNX Runtime's CPU provider computes FP16 convolutions in FP32 and would hide an overflow between layers.

    Returns
    -------
    outputs, and the largest absolute activation (infinity after an overflow)
    """
    with torch.inference_mode():
        parts = [_simulated(network, chunk) for chunk in torch.split(torch.from_numpy(images), CHUNK)]
    outputs = _joined([(score.numpy(), anomaly_map.numpy()) for score, anomaly_map, _ in parts])
    return outputs, max(largest for _, _, largest in parts)


def measure_drift(
    way: str,
    outputs: Outputs,
    reference: Outputs,
    operating_point: OperatingPoint | None = None,
    *,
    extreme: bool = False,
) -> Drift:
    """Compare outputs with the reference's for the same images."""
    floor = max(0.01 * float(reference.scores.max()), float(np.finfo(np.float32).tiny))
    with np.errstate(invalid="ignore"):
        relative = np.abs(outputs.scores - reference.scores) / np.maximum(reference.scores, floor)
        largest = np.maximum(reference.maps.max((1, 2)), 0.05 * float(reference.maps.max()))
        map_error = (np.abs(outputs.maps - reference.maps).max((1, 2)) / np.maximum(largest, floor)).max()
    return Drift(
        way=way,
        extreme=extreme,
        images=len(reference.scores),
        score_largest=float(relative.max()),
        score_mean=float(relative.mean()),
        rank_correlation=_rank_correlation(outputs.scores, reference.scores),
        map_largest=float(map_error),
        flips=_flips(outputs.scores, reference.scores, operating_point),
        nonfinite=int((~np.isfinite(outputs.scores)).sum() + (~np.isfinite(outputs.maps)).sum()),
    )


def check_drift(drift: Drift, precision: str) -> None:
    """Refuse an artefact that is too far from FP32.

    Raises
    ------
    GateError
        If a limit of the precision is exceeded, a value is not finite, or FP16 overflows.
    """
    limits = LIMITS[precision]
    score, anomaly_map = (limits.extreme, limits.extreme) if drift.extreme else (limits.score, limits.map)
    if drift.nonfinite or (drift.activation_largest is not None and not drift.activation_largest <= HALF_MAX):
        raise GateError(
            f"{precision} ({drift.way}) overflows: {drift.nonfinite} values are not finite; "
            "export with a higher precision"
        )
    for what, value, limit in (("scores", drift.score_largest, score), ("maps", drift.map_largest, anomaly_map)):
        if not value <= limit:
            raise GateError(
                f"{precision} ({drift.way}) changes {what} by {value:.2e}, more than {limit:.0e}; "
                "export with a higher precision"
            )


def _joined(parts: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]) -> Outputs:
    return Outputs(
        np.concatenate([scores[:, 0] for scores, _ in parts]), np.concatenate([maps[:, 0] for _, maps in parts])
    )


def _simulated(network: ServedNetwork, images: Tensor) -> tuple[Tensor, Tensor, float]:
    tensor = network.normalised(images).half().float()
    largest = float(tensor.abs().max())
    for layer in network.trunk:
        rounded = {name: weight.half().float() for name, weight in layer.named_parameters()}
        tensor = torch.func.functional_call(layer, rounded, tensor).half().float()
        largest = max(largest, float(tensor.abs().max()))
    score, anomaly_map = network.head(tensor)
    # A NaN compares with nothing, so it would vanish in the maximum.
    return score, anomaly_map, largest if math.isfinite(float(tensor.sum())) else math.inf


def _rank_correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float | None:
    if len(first) < 3 or not np.isfinite(first).all():
        return None
    return float(np.corrcoef(_midranks(first), _midranks(second))[0, 1])


def _midranks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def _flips(
    scores: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], operating_point: OperatingPoint | None
) -> int | None:
    if operating_point is None:
        return None
    threshold = operating_point.threshold
    return int(((scores >= threshold) != (reference >= threshold)).sum())
