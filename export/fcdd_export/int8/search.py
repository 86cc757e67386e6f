"""Which convolutions stay out of INT8: a greedy search on images that were not calibrated on, without labels."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from fcdd_export.gate.drift import SMALL, Inputs, Outputs
from fcdd_export.gate.outputs import onnxruntime_outputs
from fcdd_export.int8.qdq_graph import int8_share
from fcdd_export.progress import track

SMALLEST_SHARE = 0.6
"""Of the multiply-adds in INT8; below it the speed is hardly worth the drift."""
RANK_LOSS, SCORE_ERROR, MAP_ERROR = 0.005, 0.02, 0.025
"""Wanted at most: 1 - rank correlation, mean relative score error, and map error as a share of the largest map value.
Half of what the gate refuses, or less, since other images will drift further than these."""
GAIN = 0.9
"""A convolution leaves INT8 only where that lowers the drift at least to this share."""


class Judged:
    """Measures how far a graph drifts from the FP32 graph on the same images."""

    def __init__(self, graph: onnx.ModelProto, images: npt.NDArray[np.uint8]):
        self.inputs: Inputs = {value.name: np.roll(images, place, 0) for place, value in enumerate(graph.graph.input)}
        self.truth = onnxruntime_outputs(graph, self.inputs, "FP32")

    def drift(self, model: onnx.ModelProto) -> float:
        """Return the worst of the three errors as a share of what is wanted: at most 1 is good."""
        ours = onnxruntime_outputs(model, self.inputs, "INT8")
        return max(
            _rank_loss(ours, self.truth) / RANK_LOSS,
            _score_error(ours, self.truth) / SCORE_ERROR,
            _map_error(ours, self.truth) / MAP_ERROR,
        )


def searched(
    quantize: Callable[[frozenset[str]], onnx.ModelProto], convolutions: Sequence[str], judged: Judged
) -> onnx.ModelProto:
    """Return the first graph that drifts little enough, or else the one that drifts least.

    Each convolution is tried alone, and then they leave INT8 in the order of what that gained, as long as the drift
    falls: at most two graphs a convolution are made, where trying all at every step would take hours.

    Parameters
    ----------
    quantize : makes a graph in which the named convolutions stay out of INT8
    convolutions : all names
    """
    kept: frozenset[str] = frozenset()
    model = quantize(kept)
    drift = judged.drift(model)
    if drift <= 1:
        return model
    for name in track(_by_gain(quantize, convolutions, judged), "accurate INT8"):
        tried = quantize(kept | {name})
        if int8_share(tried) < SMALLEST_SHARE:
            continue
        found = judged.drift(tried)
        if found <= GAIN * drift:
            drift, kept, model = found, kept | {name}, tried
        if drift <= 1:
            break
    return model


def _by_gain(
    quantize: Callable[[frozenset[str]], onnx.ModelProto], convolutions: Sequence[str], judged: Judged
) -> list[str]:
    """Return the convolutions, that whose absence leaves the least drift first."""
    drifts = {name: judged.drift(quantize(frozenset({name}))) for name in track(convolutions, "accurate INT8: one out")}
    return sorted(convolutions, key=drifts.__getitem__)


def _rank_loss(ours: Outputs, truth: Outputs) -> float:
    first, second = (scores.argsort().argsort() for scores in (ours.scores, truth.scores))
    return 1 - float(np.corrcoef(first, second)[0, 1])


def _score_error(ours: Outputs, truth: Outputs) -> float:
    floor = max(SMALL * float(truth.scores.max()), float(np.finfo(np.float32).tiny))
    return float((np.abs(ours.scores - truth.scores) / np.maximum(truth.scores, floor)).mean())


def _map_error(ours: Outputs, truth: Outputs) -> float:
    return float(np.abs(ours.maps - truth.maps).max()) / max(float(truth.maps.max()), float(np.finfo(np.float32).tiny))
