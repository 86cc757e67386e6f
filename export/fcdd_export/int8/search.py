"""Which convolutions stay out of INT8: a greedy search on images that were not calibrated on, without labels."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from fcdd_export.gate.drift import Inputs, measure_errors
from fcdd_export.gate.outputs import onnxruntime_outputs
from fcdd_export.gate.roc import rank_correlation
from fcdd_export.int8.qdq_graph import int8_share
from fcdd_export.progress import track

SMALLEST_SHARE = 0.6
"""Of the multiply-adds in INT8; below it the speed is hardly worth the drift."""
RANK_LOSS, SCORE_ERROR, MAP_ERROR = 0.005, 0.02, 0.025
"""Wanted at most: 1 - rank correlation, mean relative score error, and map error as a share of the largest map value.
Half of what the gate refuses, or less, since other images will drift further than these."""
GAIN = 0.9
"""A convolution leaves INT8 only where that lowers the drift at least to this share."""


class DriftFromFp32:
    """Measures how far a graph drifts from the FP32 graph on the same images."""

    def __init__(self, graph: onnx.ModelProto, images: npt.NDArray[np.uint8]):
        self.inputs: Inputs = {value.name: np.roll(images, place, 0) for place, value in enumerate(graph.graph.input)}
        self.truth = onnxruntime_outputs(graph, self.inputs, "FP32")

    def of(self, model: onnx.ModelProto) -> float:
        """Return the worst of the three errors as a share of what is wanted: at most 1 is good.

        Infinity where an answer is not finite. Scores that have no order worth comparing lose none.
        """
        ours = onnxruntime_outputs(model, self.inputs, "INT8")
        errors, rank = measure_errors(ours, self.truth), rank_correlation(ours.scores, self.truth.scores)
        rank_loss = 0.0 if rank is None else 1 - rank
        worst = max(rank_loss / RANK_LOSS, errors.score_mean / SCORE_ERROR, errors.map_of_set / MAP_ERROR)
        return worst if np.isfinite([errors.score_mean, errors.map_of_set]).all() else float("inf")


def search_graph(
    quantize: Callable[[frozenset[str]], onnx.ModelProto], convolutions: Sequence[str], drift: DriftFromFp32
) -> onnx.ModelProto:
    """Return the first graph that drifts little enough, or else the one that drifts least.

    Each convolution is tried alone, and then they leave INT8 in the order of what that gained, as long as the drift
    falls: less than two graphs a convolution are made, where trying all at every step would take hours.

    Parameters
    ----------
    quantize : makes a graph in which the named convolutions stay out of INT8
    convolutions : all names
    """
    model = quantize(frozenset())
    least = drift.of(model)
    if least <= 1:
        return model
    alone: dict[str, float] = {}
    best, best_model = None, model
    for name in track(convolutions, "accurate INT8: one out"):
        tried = quantize(frozenset({name}))
        alone[name] = drift.of(tried)
        if int8_share(tried) >= SMALLEST_SHARE and (best is None or alone[name] < alone[best]):
            best, best_model = name, tried
    if best is None or alone[best] > GAIN * least:
        return model
    model, least, kept = best_model, alone[best], frozenset({best})
    by_gain = sorted(convolutions, key=alone.__getitem__)
    for name in track(by_gain[by_gain.index(best) + 1 :], "accurate INT8"):
        if least <= 1:
            break
        tried = quantize(kept | {name})
        if int8_share(tried) < SMALLEST_SHARE:
            continue
        found = drift.of(tried)
        if found <= GAIN * least:
            model, least, kept = tried, found, kept | {name}
    return model
