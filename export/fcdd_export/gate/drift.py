"""Every artefact against torch in FP32 on the same images: drift, and which limits it exceeds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fcdd_export.gate.roc import FEWEST_RANKED, AucChange, Labels, auc_change, rank_correlation
from fcdd_export.graphs.precisions import HALF_MAX, PRECISIONS
from fcdd_export.markdown import markdown_table
from fcdd_runtime.contract import OperatingPoint, Upsampling
from fcdd_runtime.errors import GateError
from fcdd_runtime.images.heatmap import upsample

Inputs = Mapping[str, npt.NDArray[np.uint8]]
"""Input name -> uint8 (N, 1, 224, 224), in the order of the network's arguments."""

Maps = npt.NDArray[np.float32]

SMALL = 0.05
"""Scores and maps below this share of the largest of all images count as that much where errors are relative: networks
answer next to nothing on quiet images, and it does not matter how much next to nothing is."""


@dataclass(frozen=True)
class Outputs:
    """What a network answers for a set of images."""

    scores: npt.NDArray[np.float32]
    """float32 (N,)."""
    maps: Maps
    """float32 (N, 28, 28)."""
    uncut: Maps | None = None
    """Grad-CAM before what is below 0 is cut off, float32 (N, 28, 28), as torch knows it; None for other maps."""

    def sizes(self) -> npt.NDArray[np.float32]:
        """Return what rounding errors of each image's map are in proportion to, float32 (N,): its largest value.

        Grad-CAM is a sum of positive and negative terms of which ReLU may leave next to nothing.
        """
        values = self.maps if self.uncut is None else np.abs(self.uncut)
        sizes: npt.NDArray[np.float32] = values.max((1, 2))
        return sizes


@dataclass(frozen=True)
class ReferenceAnswers:
    """Images, what torch answers for them in FP32, and how to judge what others answer."""

    inputs: Inputs
    outputs: Outputs
    upsampling: Upsampling
    image_size: int
    """Side of a heatmap, pixels."""
    operating_point: OperatingPoint | None = None
    labels: Labels | None = None
    """Truth, bool (N,), where the images come in folders `normal` and `anomalous`."""
    extreme: bool = False
    """Whether the images are those at the ends of the input range, rather than the verification images."""


@dataclass(frozen=True)
class Drift:
    """How far one way of running an artefact is from torch in FP32."""

    way: str
    """`onnxruntime` (the very artefact on the CPU), `fp16 simulation` (every tensor rounded to half), or an engine."""
    extreme: bool
    """Whether the images are those at the ends of the input range, rather than the verification images."""
    images: int
    score_largest: float
    """Largest relative score error; scores below 5 % of the set's largest count as that much."""
    score_mean: float
    """Mean relative score error."""
    rank_correlation: float | None
    """Spearman's correlation of the scores; None where it is not judged."""
    map_largest: float
    """Largest map error as a share of that image's largest map value, for Grad-CAM before what is below 0 is cut off;
    images whose maps stay below 5 % of the set's largest value count as that much."""
    map_of_set: float
    """Largest map error as a share of the largest map value of all images, which for Grad-CAM counts as 5 % at least of
    the largest value before what is below 0 is cut off."""
    map_correlation: float | None
    """Smallest correlation of an image's map with the reference's; None where no map varies."""
    heatmap_psnr_db: float | None
    """Peak signal-to-noise ratio of all heatmaps, the peak being the set's largest heatmap value; None if equal."""
    flips: int | None
    """Images on the other side of the operating point; None without one."""
    auc: AucChange | None
    """None without labels."""
    nonfinite: int
    """Number of NaN and infinite values in scores and maps."""
    activation_largest: float | None = None
    """Largest absolute activation of the trunk, against 65504; known for the FP16 simulation only."""
    rank_not_judged: str | None = None
    """Why there is no rank correlation; None where there is one."""


@dataclass(frozen=True)
class LayerDrift:
    """How far one layer's output is from FP32."""

    layer: str
    """Name of the node."""
    error: float
    """Root mean square of the difference, as a share of the tensor's own; each channel's scale is fitted first,
    because equalisation before quantisation changes scales on purpose. Infinity where a value is not finite."""
    entered: float
    """What this layer adds to the error of the layer before."""


@dataclass(frozen=True)
class Errors:
    """How far scores and maps are from true ones; infinite or NaN where an answer is."""

    score_largest: float
    score_mean: float
    map_largest: float
    map_of_set: float


def measure_errors(outputs: Outputs, truth: Outputs) -> Errors:
    """Compare answers for the same images; `Drift` says what each of the errors is a share of."""
    tiny = float(np.finfo(np.float32).tiny)
    floor = max(SMALL * float(truth.scores.max()), tiny)
    with np.errstate(invalid="ignore", over="ignore"):
        relative = np.abs(outputs.scores - truth.scores) / np.maximum(truth.scores, floor)
        map_errors = np.abs(outputs.maps - truth.maps).max((1, 2))
    sizes = truth.sizes()
    of_set = max(float(truth.maps.max()), SMALL * float(sizes.max()), tiny)
    own = np.maximum(sizes, SMALL * of_set)
    return Errors(
        score_largest=float(relative.max()),
        score_mean=float(relative.mean()),
        map_largest=float((map_errors / own).max()),
        map_of_set=float(map_errors.max()) / of_set,
    )


def measure_drift(way: str, outputs: Outputs, reference: ReferenceAnswers) -> Drift:
    """Compare outputs with the reference's for the same images."""
    truth = reference.outputs
    errors = measure_errors(outputs, truth)
    nonfinite = int((~np.isfinite(outputs.scores)).sum() + (~np.isfinite(outputs.maps)).sum())
    rank = rank_correlation(outputs.scores, truth.scores)
    unranked = None
    if rank is None:
        few = f"fewer than {FEWEST_RANKED} images" if len(truth.scores) < FEWEST_RANKED else None
        unranked = few or ("values are not finite" if nonfinite else "all scores are equal in FP32")
    point, flips = reference.operating_point, None
    if point is not None:
        flips = int(((outputs.scores >= point.threshold) != (truth.scores >= point.threshold)).sum())
    drift = Drift(
        way=way,
        extreme=reference.extreme,
        images=len(truth.scores),
        score_largest=errors.score_largest,
        score_mean=errors.score_mean,
        rank_correlation=rank,
        map_largest=errors.map_largest,
        map_of_set=errors.map_of_set,
        map_correlation=None,
        heatmap_psnr_db=None,
        flips=flips,
        auc=None,
        nonfinite=nonfinite,
        rank_not_judged=unranked,
    )
    if nonfinite:
        return drift
    labels = reference.labels
    return replace(
        drift,
        map_correlation=_map_correlation(outputs.maps, truth.maps),
        heatmap_psnr_db=_heatmap_psnr_db(outputs.maps, reference),
        auc=None if labels is None else auc_change(outputs.scores, truth.scores, labels),
    )


def _map_correlation(ours: Maps, theirs: Maps) -> float | None:
    """Return the smallest correlation of two maps that both vary."""
    pairs = [(found.ravel(), true.ravel()) for found, true in zip(ours, theirs, strict=True)]
    varying = [(found, true) for found, true in pairs if np.ptp(found) > 0 and np.ptp(true) > 0]
    return min((float(np.corrcoef(found, true)[0, 1]) for found, true in varying), default=None)


def _heatmap_psnr_db(maps: Maps, reference: ReferenceAnswers) -> float | None:
    ours, theirs = (
        upsample(values, reference.upsampling, reference.image_size) for values in (maps, reference.outputs.maps)
    )
    error = float(np.square(ours.astype(np.float64) - theirs).mean())
    peak = float(theirs.max())
    return float(10 * np.log10(peak * peak / error)) if error > 0 and peak > 0 else None


def violations(drift: Drift, precision: str) -> list[str]:
    """Say which limits of a precision a drift exceeds, such as `scores by 2.0e-02 (limit 1e-02)`."""
    limits = PRECISIONS[precision].limits
    # What changes, by how much, and its limit.
    upper: list[tuple[str, float, float | None]] = [
        ("scores by", drift.score_largest, limits.score),
        ("scores on the mean by", drift.score_mean, limits.score_mean),
        ("maps by", drift.map_largest, limits.map),
        ("maps, as a share of the set's largest value, by", drift.map_of_set, limits.map_of_set),
    ]
    if drift.auc is not None:
        upper.append(("the AUC by as much as", max(abs(drift.auc.low), abs(drift.auc.high)), limits.auc))
    if drift.flips is not None:
        upper.append(("the decisions of a share of", max(drift.flips - 1, 0) / drift.images, limits.flips))
    if drift.extreme:
        upper = [
            ("scores at the ends of the input range by", drift.score_largest, limits.extreme),
            ("maps at the ends of the input range by", drift.map_of_set, limits.extreme),
        ]
    found = [
        f"{what} {value:.2e} (limit {limit:g})"
        for what, value, limit in upper
        if limit is not None and not value <= limit
    ]
    rank = drift.rank_correlation
    if not drift.extreme and rank is not None and limits.rank is not None and not rank >= limits.rank:
        found.append(f"the order of the scores (rank correlation {rank:.4f}, limit {limits.rank:g})")
    return found


def check_finite(drift: Drift, precision: str) -> None:
    """Refuse an artefact that overflows: no reason makes its numbers usable.

    Raises
    ------
    GateError
        If a value is not finite, or an activation exceeds what FP16 holds.
    """
    if drift.nonfinite or (drift.activation_largest is not None and not drift.activation_largest <= HALF_MAX):
        raise GateError(
            f"{precision} ({drift.way}) overflows: {drift.nonfinite} values are not finite; "
            "export with a higher precision"
        )


def layer_table(layers: tuple[LayerDrift, ...]) -> list[str]:
    """Return the lines of a Markdown table of layers, the worst first."""
    rows = [[layer.layer, f"{layer.entered:.2e}", f"{layer.error:.2e}"] for layer in layers]
    return markdown_table(["layer", "enters here", "error of its output"], rows)
