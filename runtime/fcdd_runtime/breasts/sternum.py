"""Where the sternum is: the valley between the breasts in the front surface of the body, seen from the head."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.skin import front_surface, stands_out
from fcdd_runtime.volumes.body_mask import body_mask, without_islands
from fcdd_runtime.volumes.volume import FloatArray

SMOOTHING_MM = 9.0
"""Width of the moving average over the surface profile."""
CENTRAL_SHARE = 0.5
"""Share of the body's width, about its middle, in which the sternum is looked for."""
MIN_VALLEY_MM = 10.0
MIN_CONFIDENCE = 0.15
"""A shallower valley, in mm or against the height of the lower breast, is taken for none."""
MIN_PEAK_DISTANCE_MM = 20.0
"""How far, at least, each breast's most anterior point lies beside the valley."""
FLOOR_SHARE = 0.1
"""The floor of the valley reaches up to this share of its depth."""

MOST_SLICES = 0.6
"""Share of the chest's mean signal over the sternum that skin reaches which is there in most slices."""
CHEST_MM, BESIDE_MM = 80.0, 6.0
"""How far behind the skin, and beside the midline, the chest's signal is taken from."""
CONTACT_MM = 10.0
"""Skin that most slices show lies less than this behind the foremost (2 mm on a real examination, up to 4 mm on drawn
ones), unless breasts touch each other in front of it."""

LONE_ABOVE_MM, LONE_OFF_MM = 30.0, 40.0
"""A lone breast stands so far out of the other side, and lies so far off the middle. Breasts of one patient differ by
less in height unless the smaller one leaves a valley over the sternum."""
OPPOSITE_MM = 20.0
"""How far the two sides may be mirrored amiss."""

_Heights = npt.NDArray[np.float64]
"""Of the body's front surface, a column each."""


@dataclass(frozen=True)
class Sternum:
    """The valley between the breasts, in pixels of the projection."""

    midline: int
    """First column to the patient's left of the valley's centre."""
    skin_row: int
    """Row of the skin there."""
    confidence: float
    """0..1: depth of the valley against the height of the lower breast above its lateral foot."""


@dataclass(frozen=True)
class LoneBreast:
    """One breast in a field of view of both, in pixels of the projection."""

    laterality: str
    """`R` or `L`."""
    midline: int
    """First column to the patient's left of the body's middle."""
    skin_row: int
    """Row of the skin there."""
    confidence: float
    """0..1: how far the breast stands out of the other side, against its height above the body's middle."""


@dataclass(frozen=True)
class _Profile:
    """The front surface of the body, a column each."""

    surface: npt.NDArray[np.intp]
    """First row of lasting body; the number of rows where there is none."""
    height_mm: _Heights
    """The same as a height above the image's last row, smoothed."""
    right_edge: int
    """First column that shows body, and the last."""
    left_edge: int


def find_sternum(pre: FloatArray, pixel_mm: tuple[float, float]) -> Sternum | None:
    """Find the sternum in the head-foot mean, or maximum, of the pre-contrast phase.

    Parameters
    ----------
    pre : (rows, columns), anterior to posterior and patient right to left
    pixel_mm : distance of neighbouring rows and of neighbouring columns

    Returns
    -------
    None if there is no convincing valley.
    """
    profile = _profile(pre, pixel_mm)
    if profile is None:
        return None
    height_mm, right_edge, left_edge = profile.height_mm, profile.right_edge, profile.left_edge
    # How far each column lies below the lower of the highest points on its two sides.
    from_right, from_left = np.maximum.accumulate(height_mm), np.maximum.accumulate(height_mm[::-1])[::-1]
    depth = np.minimum(from_right, from_left) - height_mm
    margin = round((left_edge - right_edge + 1) * (1 - CENTRAL_SHARE) / 2)
    start, stop = right_edge + margin, max(right_edge + margin + 1, left_edge + 1 - margin)
    valley = start + int(np.argmax(depth[start:stop]))

    right, left = int(np.argmax(height_mm[: valley + 1])), valley + int(np.argmax(height_mm[valley:]))
    confidence = _confidence(height_mm, (right, left), float(depth[valley]), (right_edge, left_edge))
    beside_mm = min(valley - right, left - valley) * pixel_mm[1]
    if depth[valley] < MIN_VALLEY_MM or confidence < MIN_CONFIDENCE or beside_mm < MIN_PEAK_DISTANCE_MM:
        return None

    walls = np.flatnonzero(height_mm > height_mm[valley] + FLOOR_SHARE * float(depth[valley]))
    first = int(walls[walls < valley].max(initial=-1)) + 1
    last = int(walls[walls > valley].min(initial=len(height_mm))) - 1
    skin_row = int(np.median(profile.surface[first : last + 1]))
    return Sternum(midline=(first + last) // 2 + 1, skin_row=skin_row, confidence=confidence)


def skin_behind_contact(sternum: Sternum, pre_mean: FloatArray, pixel_mm: tuple[float, float]) -> int:
    """Return the row of the skin over the sternum, also where breasts touch each other in front of it in some slices.

    Parameters
    ----------
    sternum : as it was found; in a maximum, breasts that touch in one slice are skin
    pre_mean, pixel_mm : as in `find_sternum`
    """
    beside = max(1, round(BESIDE_MM / pixel_mm[1]))
    profile = np.median(pre_mean[:, max(0, sternum.midline - beside) : sternum.midline + beside], axis=1)
    chest = profile[sternum.skin_row : sternum.skin_row + max(1, round(CHEST_MM / pixel_mm[0]))]
    row = int(np.argmax(profile >= MOST_SLICES * chest.max(initial=0.0)))
    return row if (row - sternum.skin_row) * pixel_mm[0] > CONTACT_MM else sternum.skin_row


def find_lone_breast(pre_mean: FloatArray, pixel_mm: tuple[float, float]) -> LoneBreast | None:
    """Find the only breast in a field of view of both, such as after a mastectomy, where there is no sternum.

    Its front lies off the body's middle, and far in front of all that lies as far off on the other side.

    Parameters
    ----------
    pre_mean, pixel_mm : as in `find_sternum`

    Returns
    -------
    None if both sides are alike.
    """
    profile = _profile(pre_mean, pixel_mm)
    if profile is None:
        return None
    height_mm, middle = profile.height_mm, (profile.right_edge + profile.left_edge) / 2
    peak = profile.right_edge + int(np.argmax(height_mm[profile.right_edge : profile.left_edge + 1]))
    opposite, reach = round(2 * middle - peak), round(OPPOSITE_MM / pixel_mm[1])
    beside = height_mm[max(opposite - reach, profile.right_edge) : min(opposite + reach, profile.left_edge) + 1]
    above_mm = float(height_mm[peak] - beside.max(initial=0.0))
    if abs(peak - middle) * pixel_mm[1] < LONE_OFF_MM or above_mm < LONE_ABOVE_MM:
        return None
    near = slice(max(0, round(middle) - reach // 2), round(middle) + reach // 2 + 1)
    height = float(height_mm[peak] - np.median(height_mm[near]))
    return LoneBreast(
        laterality="R" if peak < middle else "L",
        midline=round(middle),
        skin_row=int(np.median(profile.surface[near])),
        confidence=min(1.0, above_mm / max(height, above_mm, 1.0)),
    )


def find_deepest_skin_row(
    pre_mean: FloatArray, pixel_mm: tuple[float, float], columns: npt.NDArray[np.bool_]
) -> int | None:
    """Return the row of the most posterior skin in some columns; None if most of them show no body.

    Parameters
    ----------
    pre_mean, pixel_mm : as in `find_sternum`
    columns : (columns,), which to look in
    """
    body = without_islands(body_mask(pre_mean))
    if not columns.any() or not stands_out(pre_mean, body):
        return None
    surface = front_surface(body, pixel_mm[0])[columns]
    inside = surface[surface < len(pre_mean)]
    return int(inside.max()) if 2 * len(inside) > len(surface) else None


def _profile(pre_mean: FloatArray, pixel_mm: tuple[float, float]) -> _Profile | None:
    """Return the body's front surface; None if there is no body to speak of."""
    body = without_islands(body_mask(pre_mean))
    if not stands_out(pre_mean, body):
        return None
    surface = front_surface(body, pixel_mm[0])
    inside = np.flatnonzero(surface < len(pre_mean))
    if len(inside) < 3:
        return None
    half = round(SMOOTHING_MM / pixel_mm[1]) // 2
    padded = np.pad((len(pre_mean) - surface) * pixel_mm[0], half, mode="edge")
    height_mm = np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    return _Profile(surface, height_mm, int(inside[0]), int(inside[-1]))


def _confidence(height_mm: _Heights, peaks: tuple[int, int], depth: float, body: tuple[int, int]) -> float:
    """Depth of the valley against the height of the lower breast above the lowest point lateral to its peak."""
    right, left = peaks
    if height_mm[right] < height_mm[left]:
        height = height_mm[right] - height_mm[min(body[0], right) : right + 1].min()
    else:
        height = height_mm[left] - height_mm[left : max(body[1], left) + 1].min()
    return float(depth / max(height, depth)) if depth > 0 else 0.0
