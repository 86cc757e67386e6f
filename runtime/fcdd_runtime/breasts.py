"""Projection -> 8-bit images of the right and the left breast, each with the way back to the patient."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_runtime.body import Sternum, find_sternum
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.mip import Projection
from fcdd_runtime.result import SplitChoice
from fcdd_runtime.volume import FloatArray, SliceSource

_Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BreastImage:
    """One breast. Pixel coordinates in all methods are those of `pixels`; a mirrored image is undone inside."""

    laterality: str
    """`R` or `L`: the patient's side."""
    pixels: _Grey
    """(rows, columns), 0..255: anterior up; patient right at the left, or medial at the left where mirrored."""
    projection: Projection
    """What the image was cut from."""
    first_column: int
    """Column of the projection at which the breast's box begins; the box begins at row 0."""
    mirrored: bool

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Distance of neighbouring rows and of neighbouring columns, mm."""
        return self.projection.pixel_mm

    def voxel(self, row: int, column: int) -> tuple[int, int, int]:
        """Return the voxel (slice, row, column; from 0) that a pixel came from."""
        return self.projection.voxel(row, self._projection_column(column))

    def patient_mm(self, row: int, column: int) -> tuple[float, float, float]:
        """Return the centre of that voxel in LPS, mm."""
        return self.projection.patient_mm(row, self._projection_column(column))

    def source(self, row: int, column: int) -> SliceSource:
        """Return the post-contrast slice that this voxel lies in."""
        return self.projection.source(row, self._projection_column(column))

    def _projection_column(self, column: int) -> int:
        return self.first_column + (self.pixels.shape[1] - 1 - column if self.mirrored else column)


def split_breasts(projection: Projection, recipe: MipRecipe) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    """Cut a projection at the midline and behind the chest wall, and window it to 8 bits.

    The midline is the valley of the skin over the sternum, in the pre-contrast mean; the images reach from the front
    of the projection to `posterior_margin_mm` behind the skin there. Without a convincing valley the image is cut
    into halves at its centre, over its whole depth.

    Returns
    -------
    images : right breast, left breast
    choice : how the cut was found

    Raises
    ------
    StudyError
        If the projection is less than two columns wide.
    """
    rows, columns = projection.maximum.shape
    if columns < 2:
        raise StudyError("the projection is one column wide and cannot be split; give a bilateral axial field of view")
    sternum = find_sternum(projection.pre_mean, projection.pixel_mm)
    if sternum is None:
        midline, last_row = columns // 2, rows
    else:
        midline, last_row = sternum.midline, _posterior_cut(projection, sternum, recipe)
    grey = _windowed(projection.maximum[:last_row], recipe)
    images = (
        BreastImage("R", grey[:, :midline], projection, 0, False),
        BreastImage("L", _mirrored(grey[:, midline:], recipe), projection, midline, recipe.mirror_left),
    )
    return images, SplitChoice(
        method="image centre" if sternum is None else "sternum",
        confidence=0.0 if sternum is None else sternum.confidence,
        midline_x_mm=projection.x_mm(midline - 0.5),
    )


def _posterior_cut(projection: Projection, sternum: Sternum, recipe: MipRecipe) -> int:
    """Return the number of rows in front of the cut."""
    margin = round(recipe.posterior_margin_mm / projection.pixel_mm[0])
    return min(max(1, sternum.skin_row + margin), len(projection.maximum))


def _windowed(subtraction: FloatArray, recipe: MipRecipe) -> _Grey:
    """Map `window_low` to 0 and the recipe's quantile to 255, linearly, rounded half up, clipped."""
    values = subtraction.astype(np.float64)
    high = float(np.quantile(values, recipe.window_high_quantile))
    if high <= recipe.window_low:
        return np.zeros(subtraction.shape, dtype=np.uint8)
    grey = np.floor((values - recipe.window_low) / (high - recipe.window_low) * 255 + 0.5)
    return np.asarray(np.clip(grey, 0, 255), dtype=np.uint8)


def _mirrored(grey: _Grey, recipe: MipRecipe) -> _Grey:
    return grey[:, ::-1] if recipe.mirror_left else grey
