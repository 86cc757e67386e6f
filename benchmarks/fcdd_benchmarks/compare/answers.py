"""Whether a contender answers as torch does in FP32: only then does its time count."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_export.gate.drift import Drift, Outputs, ReferenceAnswers, measure_drift, violations
from fcdd_export.graphs.precisions import PRECISIONS

Images = npt.NDArray[np.uint8]
"""uint8 (N, 1, 224, 224)."""
Run = Callable[[Images], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""Images of one batch -> scores float32 (N,) and maps float32 (N, 28, 28)."""


@dataclass(frozen=True)
class Contender:
    """One way to run the network."""

    name: str
    """Such as `ONNX Runtime FP32`."""
    precision: str
    """`fp32` or `int8`: whose limits it must keep."""
    run: Run


@dataclass(frozen=True)
class Checked:
    """What came of a contender's check."""

    contender: Contender
    drift: Drift
    refused: str | None
    """Which limits it exceeds; None: it is timed."""


def checked(contender: Contender, reference: ReferenceAnswers, batch: int) -> Checked:
    """Run all images in batches and hold the answers against the reference, by the limits of the export's gate.

    Parameters
    ----------
    reference : its number of images is a multiple of `batch`
    """
    images = reference.inputs["mip"]
    parts = [contender.run(images[start : start + batch]) for start in range(0, len(images), batch)]
    scores, maps = (np.concatenate(one) for one in zip(*parts, strict=True))
    drift = measure_drift(contender.name, Outputs(scores, maps), reference)
    exceeded = violations(drift, contender.precision) + (["values that are not finite"] if drift.nonfinite else [])
    return Checked(contender, drift, "; ".join(exceeded) or None)


def limits_in_words(precision: str) -> str:
    """Return the limits of a precision as a sentence."""
    limits = PRECISIONS[precision].limits
    if limits.score is not None:
        return f"scores and maps within {limits.score:g} of torch's"
    return (
        f"scores within {limits.score_mean:g} of torch's on the mean, their rank correlation at least {limits.rank:g}, "
        f"maps within {limits.map_of_set:g} of the set's largest value"
    )
