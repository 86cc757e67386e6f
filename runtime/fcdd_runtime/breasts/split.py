"""Left/right split: a projection -> 8-bit images of the right and the left breast, with the way back to the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.crop import Part, crop_parts, window_high
from fcdd_runtime.breasts.projection import Projection
from fcdd_runtime.breasts.sternum import find_deepest_skin_row, find_lone_breast, find_sternum, skin_behind_contact
from fcdd_runtime.breasts.which_sides import MIN_BILATERAL_MM, Side, check_two_sides, find_only_side
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import SIDES, Finding
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
MAX_BESIDE_MM = 10.0
"""A field of view of one breast that ends further from the midline does not show the skin over the sternum."""

_HALVED = "No sternum was found, so the image was halved at its centre and not cut behind the chest wall."


Place = TypeVar("Place", int, npt.NDArray[np.intp])
"""A row or column, or several."""


@dataclass(frozen=True)
class BreastImage:
    """One breast. Pixel coordinates in all methods are those of `pixels`; a mirrored image is undone inside."""

    laterality: str
    """`R` or `L`: the patient's side."""
    pixels: npt.NDArray[np.uint8]
    """(rows, columns), 0..255: anterior up; patient right at the left, or medial at the left where mirrored."""
    enhancement: FloatArray
    """What `pixels` show, before windowing: post - pre, float32, of the same shape, rescaled scanner units. Air that
    the recipe clears has the window's low end."""
    air: npt.NDArray[np.bool_]
    """Which pixels were cleared; none where the recipe keeps air."""
    projection: Projection
    """What the image was cut from."""
    first_row: int
    """Row of the projection at which the breast's box begins."""
    first_column: int
    """Column of the projection at which it begins."""
    mirrored: bool

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Distance of neighbouring rows and of neighbouring columns, mm."""
        return self.projection.pixel_mm

    def voxel(self, row: int, column: int) -> tuple[int, int, int]:
        """Return the voxel (slice, row, column; from 0) that a pixel came from."""
        return self.projection.voxel(*self._projection_pixel(row, column))

    def voxels(self) -> npt.NDArray[np.int32]:
        """Return the voxel that each pixel came from: (rows, columns, 3), slice, row and column from 0."""
        rows, columns = (np.arange(count) for count in self.pixels.shape)
        return self.projection.voxels(*self._projection_pixel(rows, columns))

    def patient_mm(self, row: int, column: int) -> tuple[float, float, float]:
        """Return the centre of that voxel in LPS, mm."""
        return self.projection.patient_mm(*self._projection_pixel(row, column))

    def source(self, row: int, column: int) -> SliceSource:
        """Return the post-contrast slice that this voxel lies in."""
        return self.projection.source(*self._projection_pixel(row, column))

    def _projection_pixel(self, row: Place, column: Place) -> tuple[Place, Place]:
        return self.first_row + row, self.first_column + (
            self.pixels.shape[1] - 1 - column if self.mirrored else column
        )


def split_breasts(
    projection: Projection, recipe: MipRecipe, laterality: str = ""
) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    """Cut a projection at the midline and behind the chest wall, crop it as the recipe says, and window it to 8 bits.

    The midline is the valley of the skin over the sternum, before contrast; the images reach to
    `posterior_margin_mm` behind the skin there. Without a convincing valley the image is cut into halves at its
    centre, over its whole depth. A projection of one breast is cut behind the chest wall only.

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
    rows, columns = projection.maximum.shape
    if columns < 2:
        raise StudyError(
            "the projection is one column wide and cannot be split; give a bilateral axial field of view", "no-image"
        )
    # The maximum shows skin that lies in front in a few slices, as that of small breasts does; where breasts touch each
    # other in some slices, only the mean shows the valley.
    by_maximum = find_sternum(projection.pre_maximum, projection.pixel_mm)
    sternum = by_maximum or find_sternum(projection.pre_mean, projection.pixel_mm)
    side, findings = find_only_side(projection, sternum, laterality)
    lone, empty_side = None, ""
    # Where the field of view lies says nothing against both breasts; what the headers say may be the one that is left.
    may_show_both = side is None or side.method == "laterality in the headers"
    if sternum is None and may_show_both and columns * projection.pixel_mm[1] >= MIN_BILATERAL_MM:
        lone = find_lone_breast(projection.pre_mean, projection.pixel_mm)
    if sternum is not None:
        skin_row = skin_behind_contact(sternum, projection.pre_mean, projection.pixel_mm)
        middle, end_row = sternum.midline, _posterior_cut(projection, skin_row, recipe)
        midline_mm = projection.x_mm(middle - 0.5)
        parts = _halves(projection, middle, end_row)
    elif lone is not None:
        middle, end_row = lone.midline, _posterior_cut(projection, lone.skin_row, recipe)
        midline_mm = projection.x_mm(middle - 0.5)
        empty_side = "L" if lone.laterality == "R" else "R"
        parts = [part for part in _halves(projection, middle, end_row) if part.laterality == lone.laterality]
        code = "one-breast" if laterality == lone.laterality else "no-breast"
        sentence = f"No breast is shown on the {SIDES[empty_side]} side, which was not scored."
        # What was unclear is settled; headers that name the breast that there is contradict nothing.
        findings = (Finding(code, sentence),)
        if laterality == empty_side:
            findings += (Finding("side-unclear", f"The headers say that the {SIDES[empty_side]} breast is shown."),)
        side = Side(lone.laterality, "one breast", lone.confidence)
    elif side is not None:
        midline_mm = 0.0
        parts = [_whole(side.laterality, projection, midline_mm, recipe)]
        findings += _check_cut(parts)
    else:
        middle = columns // 2
        midline_mm = projection.x_mm(middle - 0.5)
        parts = _halves(projection, middle, rows)
        findings += (Finding("no-sternum", _HALVED),)
    method, confidence = ("image centre", 0.0) if sternum is None else ("sternum", sternum.confidence)
    if side is not None:
        method, confidence = side.method, side.confidence
        parts = [part for part in parts if part.laterality == side.laterality]
    parts, doubts = crop_parts(parts, recipe)
    images = _window(parts, recipe)
    return images, SplitChoice(
        method, confidence, midline_mm, findings + doubts + _check_images(images, recipe), empty_side
    )


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
        If nothing enhances, or it is unclear whether these are two breasts.
    """
    confidence, contradicted = check_two_sides(right, left, lateralities)
    midline_mm = (right.x_mm(right.maximum.shape[1] - 0.5) + left.x_mm(-0.5)) / 2
    parts = [_whole("R", right, midline_mm, recipe), _whole("L", left, midline_mm, recipe)]
    parts, doubts = crop_parts(parts, recipe)
    images = _window(parts, recipe)
    findings = contradicted + _check_cut(parts) + doubts + _check_images(images, recipe)
    return images, SplitChoice("separate series", confidence, midline_mm, findings)


def _halves(projection: Projection, middle: int, end_row: int) -> list[Part]:
    """Part a projection at a column, in front of a row."""
    rows = slice(0, end_row)
    return [
        Part("R", projection, rows, slice(0, middle)),
        Part("L", projection, rows, slice(middle, projection.maximum.shape[1])),
    ]


def _whole(laterality: str, projection: Projection, midline_x_mm: float, recipe: MipRecipe) -> Part:
    """Take a projection of one breast, cut behind the skin over the sternum where that can be seen at its edge."""
    rows, columns = projection.maximum.shape
    away = np.abs(np.array([projection.x_mm(column) for column in range(columns)]) - midline_x_mm)
    near = (away <= STERNUM_REACH_MM) & (away.min() <= MAX_BESIDE_MM)
    skin_row = find_deepest_skin_row(projection.pre_mean, projection.pixel_mm, near)
    end_row = rows if skin_row is None else _posterior_cut(projection, skin_row, recipe)
    return Part(laterality, projection, slice(0, end_row), slice(0, columns))


def _posterior_cut(projection: Projection, skin_row: int, recipe: MipRecipe) -> int:
    """Return the number of rows in front of the cut."""
    margin = round(recipe.posterior_margin_mm / projection.pixel_mm[0])
    return min(max(1, skin_row + margin), len(projection.maximum))


def _window(parts: Sequence[Part], recipe: MipRecipe) -> tuple[BreastImage, ...]:
    """Map `window_low` to 0, and the recipe's quantile of the values in all parts to 255.

    Linearly, rounded half up, clipped.
    """
    high = window_high(parts, recipe)
    if high <= recipe.window_low:
        raise StudyError(
            f"nothing enhances: the post-contrast phase is nowhere more than {recipe.window_low:g} brighter than the "
            "pre-contrast phase; give the phases before and after contrast",
            "no-image",
        )
    images = []
    for part in parts:
        enhancement = part.enhancement(recipe.window_low)
        grey = np.floor((enhancement.astype(np.float64) - recipe.window_low) / (high - recipe.window_low) * 255 + 0.5)
        pixels = np.clip(grey, 0, 255).astype(np.uint8)
        air = np.zeros(pixels.shape, dtype=np.bool_) if part.air is None else part.air
        mirrored = recipe.mirrors(part.laterality)
        columns = slice(None, None, -1 if mirrored else 1)
        images.append(
            BreastImage(
                laterality=part.laterality,
                pixels=pixels[:, columns],
                enhancement=enhancement[:, columns],
                air=air[:, columns],
                projection=part.projection,
                first_row=part.rows.start,
                first_column=part.columns.start,
                mirrored=mirrored,
            )
        )
    return tuple(images)


def _check_cut(parts: Sequence[Part]) -> tuple[Finding, ...]:
    """Warn of projections of one breast that are not cut behind the chest wall."""
    return tuple(
        Finding(
            "not-cut",
            f"The image of the {SIDES[part.laterality]} breast was not cut behind the chest wall, because the skin "
            "over the sternum is not in its field of view.",
        )
        for part in parts
        if part.rows.stop == len(part.projection.maximum)
    )


def _check_images(images: Sequence[BreastImage], recipe: MipRecipe) -> tuple[Finding, ...]:
    """Warn of an oblique acquisition, and of breasts that hardly enhance."""
    findings = []
    for degrees in {image.projection.obliqueness_degrees for image in images}:
        if degrees > MAX_OBLIQUE_DEGREES:
            findings.append(
                Finding(
                    "oblique",
                    f"The acquisition is turned by {degrees:.0f} degrees against the patient's axes; the projection "
                    "runs along its own nearest axis.",
                )
            )
    brightest = [float(np.quantile(image.enhancement, recipe.window_high_quantile)) for image in images]
    highest = max(brightest) - recipe.window_low
    for image, value in zip(images, brightest, strict=True):
        side, height = SIDES[image.laterality], value - recipe.window_low
        if height < MIN_ENHANCEMENT * highest:
            sentence = f"The {side} breast enhances nowhere, as if it had no signal; its score may mean nothing."
            findings.append(Finding("no-enhancement", sentence))
        pre_mean = image.projection.pre_mean
        body = pre_mean[body_mask(pre_mean)]
        if height < MIN_WINDOW * (float(body.mean(dtype=np.float64)) if body.size else 0.0):
            sentence = (
                f"The {side} breast hardly enhances against its signal before contrast; its image may show noise."
            )
            findings.append(Finding("no-enhancement", sentence))
    return tuple(findings)
