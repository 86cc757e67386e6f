"""Lines of equal heat where colours end: a region that is all of the hottest colour still shows where its height is."""

import numpy as np
import numpy.typing as npt

from fcdd_runtime.contract import ModelContract
from fcdd_runtime.images.heatmap import Heatmaps, display_range
from fcdd_runtime.images.network_input import image_position
from fcdd_runtime.report.colormap import Scale
from fcdd_runtime.result import BreastResult

Segments = npt.NDArray[np.float64]
"""(segments, 2 ends, 2): row and column of each end, pixels, with pixel centres at whole numbers."""

MOST_RINGS = 6
"""Up to 64 times the end of the scale; heat above lies within the last."""


def ring_levels(breast: BreastResult, contract: ModelContract, scale: Scale) -> list[float]:
    """Return the heights at which lines are drawn: the end of the scale, and each time twice as far above its low."""
    display = contract.display
    low, span = display_range(breast.heatmap, display.quantile) if scale == "local" else display.reference_range
    highest = float(breast.heatmap.max())
    levels = [low + span * 2**number for number in range(MOST_RINGS)] if span > 0 else []
    return [level for level in levels if level < highest]


def rings_mm(breast: BreastResult, contract: ModelContract, scale: Scale) -> Segments:
    """Return the lines as they lie on the display image: mm below its top and right of its left edge, for each end."""
    found = [line_at(breast.heatmap, level) for level in ring_levels(breast, contract, scale)]
    if not found:
        return np.zeros((0, 2, 2))
    segments = np.concatenate(found)
    first, one = (image_position((place, place), breast.image.shape, contract.resize) for place in (0, 1))
    scaled = segments * np.subtract(one, first) + first
    if contract.recipe.mirrors(breast.laterality):
        scaled[..., 1] = breast.image.shape[1] - 1 - scaled[..., 1]
    inside: Segments = (scaled + 0.5) * breast.pixel_mm
    return inside


def line_at(heatmap: Heatmaps, level: float) -> Segments:
    """Return where a heatmap, float32 (rows, columns), crosses a level (marching squares, linear between pixels)."""
    heat = heatmap.astype(np.float64) - level
    above = heat > 0
    whole = above[:-1, :-1], above[:-1, 1:], above[1:, 1:], above[1:, :-1]
    row, column = np.nonzero(np.logical_or.reduce(whole) & ~np.logical_and.reduce(whole))
    # The corners of each crossed square of four pixels, around it; its four sides run from each corner to the next.
    corners = [(0, 0), (0, 1), (1, 1), (1, 0)]
    value = [heat[row + down, column + right] for down, right in corners]
    crossed, place = [], []
    for start, end in ((0, 1), (1, 2), (2, 3), (3, 0)):
        crossed.append((value[start] > 0) != (value[end] > 0))
        fall = value[start] - value[end]
        share = np.divide(value[start], fall, out=np.zeros_like(fall), where=crossed[-1])
        (down, right), (down_end, right_end) = corners[start], corners[end]
        place.append(
            np.stack([row + down + share * (down_end - down), column + right + share * (right_end - right)], -1)
        )
    sides, points = np.stack(crossed, -1), np.stack(place, -2)
    segments = []
    for count, pairs in ((2, ((0, 1),)), (4, ((0, 1), (2, 3)))):
        squares = sides.sum(-1) == count
        here = points[squares][sides[squares]].reshape(-1, count, 2)
        segments += [here[:, list(pair)] for pair in pairs if len(here)]
    return np.concatenate(segments) if segments else np.zeros((0, 2, 2))
