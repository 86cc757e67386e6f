"""Projection -> 8-bit images of the right and the left breast, each with the way back to the patient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.projection import Projection
from fcdd_runtime.breasts.sternum import Sternum, deepest_skin_row, find_sternum
from fcdd_runtime.breasts.which_sides import check_two_sides, only_side
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.result import SplitChoice
from fcdd_runtime.volumes.body_mask import body_mask
from fcdd_runtime.volumes.volume import FloatArray, SliceSource

MAX_OBLIQUE_DEGREES = 10.0
"""A projection along the nearest voxel axis that is turned further from the patient's looks different."""
MIN_WINDOW = 0.05
"""Window height below which grey shows noise, as a share of the mean signal of the body before contrast."""
MIN_ENHANCEMENT = 0.1
"""Share of the window that the brightest pixels of each breast reach at least; skin and vessels do."""

STERNUM_REACH_MM = 40.0
"""The sternum lies within this distance of an assumed midline; its skin is the deepest between the breasts."""
MAX_GAP_MM = 10.0
"""A field of view of one breast that ends further from the midline does not show the skin over the sternum."""

_SIDES = {"R": "right", "L": "left"}
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

    @property
    def enhancement(self) -> FloatArray:
        """What `pixels` show, before windowing: post - pre, float32, of the same shape, rescaled scanner units."""
        columns = slice(self.first_column, self.first_column + self.pixels.shape[1])
        return self.projection.maximum[: len(self.pixels), columns][:, :: -1 if self.mirrored else 1]

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


@dataclass(frozen=True)
class _Box:
    """The part of a projection that shows one breast; it begins at row 0."""

    laterality: str
    projection: Projection
    first_column: int
    end_column: int
    end_row: int

    @property
    def maximum(self) -> FloatArray:
        return self.projection.maximum[: self.end_row, self.first_column : self.end_column]


def split_breasts(
    projection: Projection, recipe: MipRecipe, laterality: str = ""
) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    """Cut a projection at the midline and behind the chest wall, and window it to 8 bits.

    The midline is the valley of the skin over the sternum, in the pre-contrast mean; the images reach from the front
    of the projection to `posterior_margin_mm` behind the skin there. Without a convincing valley the image is cut
    into halves at its centre, over its whole depth. A projection of one breast is cut behind the chest wall only.

    Parameters
    ----------
    laterality : `L`, `R` or `B`: what the headers say is shown; empty if they say nothing

    Returns
    -------
    images : right breast, left breast; one of them in a unilateral study
    choice : how the cut was found

    Raises
    ------
    StudyError
        If the projection is less than two columns wide, nothing enhances, or it is unclear which breasts are shown.
    """
    columns = projection.maximum.shape[1]
    if columns < 2:
        raise StudyError("the projection is one column wide and cannot be split; give a bilateral axial field of view")
    sternum = find_sternum(projection.pre_mean, projection.pixel_mm)
    boxes, choice = _boxes(projection, recipe, sternum, laterality)
    images = _images(boxes, recipe)
    return images, replace(choice, warnings=(*choice.warnings, *_warnings(images, recipe)))


def separate_breasts(
    right: Projection, left: Projection, recipe: MipRecipe, lateralities: tuple[str, str]
) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    """Take the right and the left breast from a projection each, with one window for both.

    Parameters
    ----------
    lateralities : what the headers of the right and of the left say, as in `split_breasts`

    Raises
    ------
    StudyError
        If nothing enhances, or headers and positions contradict each other.
    """
    confidence = check_two_sides(right, left, lateralities)
    midline = (right.x_mm(right.maximum.shape[1] - 0.5) + left.x_mm(-0.5)) / 2
    boxes = [_single("R", right, midline, recipe), _single("L", left, midline, recipe)]
    images = _images(boxes, recipe)
    return images, SplitChoice("separate series", confidence, midline, (*_uncut(boxes), *_warnings(images, recipe)))


_HALVED = "No sternum was found, so the image was halved at its centre and not cut behind the chest wall."


def _boxes(
    projection: Projection, recipe: MipRecipe, sternum: Sternum | None, laterality: str
) -> tuple[list[_Box], SplitChoice]:
    columns = projection.maximum.shape[1]
    side = only_side(projection, sternum, laterality)
    warnings: tuple[str, ...] = ()
    if sternum is not None:
        boxes = _beside_sternum(projection, recipe, sternum)
        midline = projection.x_mm(sternum.midline - 0.5)
    elif side is not None:
        boxes, midline = [_single(side.laterality, projection, 0.0, recipe)], 0.0
        warnings = tuple(_uncut(boxes))
    else:
        boxes = _halves(projection)
        midline, warnings = projection.x_mm(columns // 2 - 0.5), (_HALVED,)
    if side is not None:
        shown = [box for box in boxes if box.laterality == side.laterality]
        return shown, SplitChoice(side.method, side.confidence, midline, warnings)
    method, confidence = ("image centre", 0.0) if sternum is None else ("sternum", sternum.confidence)
    return boxes, SplitChoice(method, confidence, midline, warnings)


def _beside_sternum(projection: Projection, recipe: MipRecipe, sternum: Sternum) -> list[_Box]:
    last_row = _posterior_cut(projection, sternum.skin_row, recipe)
    return [
        _Box("R", projection, 0, sternum.midline, last_row),
        _Box("L", projection, sternum.midline, projection.maximum.shape[1], last_row),
    ]


def _halves(projection: Projection) -> list[_Box]:
    rows, columns = projection.maximum.shape
    return [_Box("R", projection, 0, columns // 2, rows), _Box("L", projection, columns // 2, columns, rows)]


def _single(laterality: str, projection: Projection, midline_x_mm: float, recipe: MipRecipe) -> _Box:
    """Take a projection of one breast, cut behind the skin over the sternum where that can be seen at its edge."""
    rows, columns = projection.maximum.shape
    away = np.abs(np.array([projection.x_mm(column) for column in range(columns)]) - midline_x_mm)
    near = (away <= STERNUM_REACH_MM) & (away.min() <= MAX_GAP_MM)
    skin_row = deepest_skin_row(projection.pre_mean, projection.pixel_mm, near)
    last_row = rows if skin_row is None else _posterior_cut(projection, skin_row, recipe)
    return _Box(laterality, projection, 0, columns, last_row)


def _uncut(boxes: Sequence[_Box]) -> Iterator[str]:
    for box in boxes:
        if box.end_row == len(box.projection.maximum):
            yield (
                f"The image of the {_SIDES[box.laterality]} breast was not cut behind the chest wall, because the skin "
                "over the sternum is not in its field of view."
            )


def _posterior_cut(projection: Projection, skin_row: int, recipe: MipRecipe) -> int:
    """Return the number of rows in front of the cut."""
    margin = round(recipe.posterior_margin_mm / projection.pixel_mm[0])
    return min(max(1, skin_row + margin), len(projection.maximum))


def _images(boxes: Sequence[_Box], recipe: MipRecipe) -> tuple[BreastImage, ...]:
    high = _window_high(boxes, recipe)
    return tuple(_image(box, high, recipe) for box in boxes)


def _window_high(boxes: Sequence[_Box], recipe: MipRecipe) -> float:
    """Return the recipe's quantile of the subtraction values in all boxes."""
    values = np.concatenate([box.maximum.ravel() for box in boxes]).astype(np.float64)
    high = float(np.quantile(values, recipe.window_high_quantile))
    if high <= recipe.window_low:
        raise StudyError(
            f"nothing enhances: the post-contrast phase is nowhere more than {recipe.window_low:g} brighter than the "
            "pre-contrast phase; give the phases before and after contrast"
        )
    return high


def _image(box: _Box, high: float, recipe: MipRecipe) -> BreastImage:
    """Map `window_low` to 0 and `high` to 255, linearly, rounded half up, clipped."""
    height = high - recipe.window_low
    grey = np.floor((box.maximum.astype(np.float64) - recipe.window_low) / height * 255 + 0.5)
    mirrored = recipe.mirror_left and box.laterality == "L"
    pixels = np.clip(grey, 0, 255).astype(np.uint8)[:, :: -1 if mirrored else 1]
    return BreastImage(box.laterality, pixels, box.projection, box.first_column, mirrored)


def _warnings(images: Sequence[BreastImage], recipe: MipRecipe) -> Iterator[str]:
    for degrees in {image.projection.obliqueness_degrees for image in images}:
        if degrees > MAX_OBLIQUE_DEGREES:
            yield (
                f"The acquisition is turned by {degrees:.0f} degrees against the patient's axes; the projection runs "
                "along its own nearest axis."
            )
    brightest = [float(np.quantile(image.enhancement, recipe.window_high_quantile)) for image in images]
    height = max(brightest) - recipe.window_low
    for image, value in zip(images, brightest, strict=True):
        side = _SIDES[image.laterality]
        if value - recipe.window_low < MIN_ENHANCEMENT * height:
            yield f"The {side} breast enhances nowhere, as if it had no signal; its score may mean nothing."
        if value - recipe.window_low < MIN_WINDOW * _body_level(image.projection):
            yield f"The {side} breast hardly enhances against its signal before contrast; its image may show noise."


def _body_level(projection: Projection) -> float:
    body = projection.pre_mean[body_mask(projection.pre_mean)]
    return float(body.mean(dtype=np.float64)) if body.size else 0.0
