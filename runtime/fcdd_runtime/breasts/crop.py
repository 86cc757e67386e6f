"""The part of a projection that shows one breast, cropped to its skin, and cleared of air, as the recipe says.

Half of a scanner's field of view is air in front of the breasts and beside them; without, a network sees more of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.projection import Projection
from fcdd_runtime.breasts.skin import WholeBody, air_around, body_beside, outermost_skin, whole_body, widened
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.findings import SIDES, Finding
from fcdd_runtime.volumes.volume import FloatArray

SMALLEST_MM = 5.0
"""Width of the smallest thing that is looked for in what was taken for air."""
BRIGHT_QUANTILE, BRIGHT_SHARE = 0.998, 1 / 3
"""Air stays below this share of this quantile of what the images show, averaged over as much, whatever their window:
0.04 to 0.18 on drawn and real examinations."""

MAX_MARKERS_MM2 = 400.0
"""More than this beside a breast that is bright and no body is more than markers."""


@dataclass(frozen=True)
class Part:
    """The part of a projection that shows one breast."""

    laterality: str
    projection: Projection
    rows: slice
    columns: slice
    air: npt.NDArray[np.bool_] | None = None
    """What of it is cleared."""

    @property
    def maximum(self) -> FloatArray:
        """Largest post - pre, as the scanner has it: float32 (rows, columns)."""
        return self.projection.maximum[self.rows, self.columns]

    def enhancement(self, low: float) -> FloatArray:
        """Return the maximum, with `low` where air is cleared."""
        return self.maximum if self.air is None else np.where(self.air, np.float32(low), self.maximum)


def crop_parts(parts: Sequence[Part], recipe: MipRecipe) -> tuple[list[Part], tuple[Finding, ...]]:
    """Crop and clear parts as the recipe says, and say where that was not possible.

    A breast whose skin is not found, or beside which something enhances that was taken for air, is left whole.
    """
    if recipe.crop == "field" and recipe.air == "keep":
        return list(parts), ()
    # Both breasts mostly share a projection.
    projections = {id(part.projection): part.projection for part in parts}
    whole = {
        key: [whole_body(image) for image in (projection.pre_mean, projection.pre_maximum)]
        for key, projection in projections.items()
    }
    outlines = [_outline(part, whole[id(part.projection)]) for part in parts]
    fitted = [
        part if outline is None else _fit(part, outline, recipe) for part, outline in zip(parts, outlines, strict=True)
    ]
    bright = BRIGHT_SHARE * window_high(fitted, replace(recipe, window_high_quantile=BRIGHT_QUANTILE))
    chosen, findings = [], []
    for part, outline, fit in zip(parts, outlines, fitted, strict=True):
        side = SIDES[part.laterality]
        if outline is None:
            findings.append(Finding("no-skin", f"The skin of the {side} breast was not found; its image is whole."))
            chosen.append(part)
        elif _enhances(part, _left_out(part, fit) & ~outline.markers, bright):
            sentence = f"What was taken for air around the {side} breast enhances; its image is whole."
            findings.append(Finding("air-enhances", sentence))
            chosen.append(part)
        else:
            chosen.append(fit)
    return chosen, tuple(findings)


def window_high(parts: Sequence[Part], recipe: MipRecipe) -> float:
    """Return the recipe's quantile of the values in all parts."""
    values = np.concatenate([part.enhancement(recipe.window_low).ravel() for part in parts])
    return float(np.quantile(values.astype(np.float64), recipe.window_high_quantile))


@dataclass(frozen=True)
class _Outline:
    """How far a part's breast reaches, in pixels of the part, and what around it is air."""

    foremost: int
    outermost: int
    air: npt.NDArray[np.bool_]
    markers: npt.NDArray[np.bool_]
    """Surroundings of a marker or two, which may move between the phases."""


def _outline(part: Part, whole: Sequence[WholeBody]) -> _Outline | None:
    found, pixel_mm = body_beside(part.projection, whole, part.columns), part.projection.pixel_mm
    if found is None:
        return None
    body, islands = found
    skin = outermost_skin(body[part.rows], part.laterality, pixel_mm)
    if skin is None:
        return None
    air, markers = air_around(body, pixel_mm)[part.rows], islands[part.rows]
    if markers.sum() * math.prod(pixel_mm) > MAX_MARKERS_MM2:
        markers[:] = False
    return _Outline(*skin, air, widened(markers, pixel_mm))


def _fit(part: Part, outline: _Outline, recipe: MipRecipe) -> Part:
    """Take off what the recipe crops, and mark what it clears."""
    air, rows, columns = outline.air, part.rows, part.columns
    if recipe.crop == "breast":
        above, beside = (math.ceil(recipe.crop_margin_mm / size) for size in part.projection.pixel_mm)
        top, (_, width) = max(0, outline.foremost - above), air.shape
        left = max(0, outline.outermost - beside) if part.laterality == "R" else 0
        right = min(width, outline.outermost + 1 + beside) if part.laterality == "L" else width
        air = air[top:, left:right]
        rows, columns = slice(top, rows.stop), slice(columns.start + left, columns.start + right)
    return replace(part, rows=rows, columns=columns, air=air if recipe.air == "clear" else None)


def _left_out(part: Part, fit: Part) -> npt.NDArray[np.bool_]:
    """Return which pixels of a part its fit does not show: those outside of its box, and those that are cleared."""
    left_out = np.ones(part.maximum.shape, dtype=np.bool_)
    left, right = (column - part.columns.start for column in (fit.columns.start, fit.columns.stop))
    left_out[fit.rows.start - part.rows.start :, left:right] = False if fit.air is None else fit.air
    return left_out


def _enhances(part: Part, left_out: npt.NDArray[np.bool_], bright: float) -> bool:
    """Whether something as large as a small lesion is brighter than that in what is left out."""
    step_rows, step_columns = (max(1, round(SMALLEST_MM / size)) for size in part.projection.pixel_mm)
    rows, columns = part.maximum.shape
    if rows < step_rows or columns < step_columns:
        return False
    total = np.zeros((rows + 1, columns + 1))
    total[1:, 1:] = np.where(left_out, part.maximum, 0).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    boxes = total[step_rows:] - total[:-step_rows]
    boxes = boxes[:, step_columns:] - boxes[:, :-step_columns]
    return bool(boxes.max() > bright * step_rows * step_columns)
