"""The skin of the breasts: what of a projection lies in front of it and beside it, and how far one breast reaches."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.projection import Projection
from fcdd_runtime.volumes.body_mask import body_mask, without_islands
from fcdd_runtime.volumes.volume import FloatArray

SKIN_MM = 10.0
"""A column's surface is where body begins that goes on for this long, so that ghosts and noise in air are passed."""
LASTING_SHARE = 0.8
"""Share of such a run that is body."""
ABOVE_NOISE, LEAST_SIGNAL = 4.0, 0.02
"""Body is brighter than so many times the noise in air, and than this share of bright body, where the air is all 0. Of
a real examination's air 99 % stays below three times its median."""
MIN_CONTRAST = 2.0
"""How much brighter than air the body is at least, mean against mean; noise alone has less."""
GUARD_MM = 5.0
"""What lies this near to the body is no air: skin is blurred, and moves between the phases."""

Mask = npt.NDArray[np.bool_]
"""(rows, columns) of a projection, or of a part of it."""


def stands_out(pre_mean: FloatArray, body: Mask) -> bool:
    """Whether what was taken for body is bright against the rest."""
    if body.all() or not body.any():
        return False
    return float(pre_mean[body].mean()) > MIN_CONTRAST * float(pre_mean[~body].mean())


def front_surface(body: Mask, row_mm: float) -> npt.NDArray[np.intp]:
    """Return each column's first row of lasting body; the number of rows where there is none."""
    lasting = _runs(body, row_mm)
    starts = body[: len(lasting)] & lasting
    return np.where(starts.any(axis=0), starts.argmax(axis=0), len(body))


def _runs(body: Mask, row_mm: float) -> Mask:
    """Return from which pixels on the body lasts down the column; the last rows, where no run fits, are missing."""
    length = min(max(1, round(SKIN_MM / row_mm)), len(body))
    total = np.concatenate([np.zeros((1, body.shape[1]), dtype=np.intp), np.cumsum(body, axis=0)])
    return np.asarray(total[length:] - total[:-length] >= LASTING_SHARE * length)


class WholeBody(NamedTuple):
    """What is bright, and what is body, in a whole image: (rows, columns) each."""

    bright: Mask
    body: Mask


def whole_body(image: FloatArray) -> WholeBody:
    """Part a projection of the phase before contrast, (rows, columns), into body and air."""
    bright = body_mask(image)
    return WholeBody(bright, without_islands(bright | _above_noise(image, bright)))


def body_beside(projection: Projection, whole: Sequence[WholeBody], columns: slice) -> tuple[Mask, Mask] | None:
    """Find which pixels of some columns show body before contrast.

    A mean along the body hides a breast that fills a few slices, a maximum hides fat beside bright skin; both are
    judged against the whole projection and against these columns alone, where a weak coil leaves one side dark. Where
    a coil weakens towards the front, no threshold between bright and dark finds all of a breast, so whatever stands
    out of the noise in air is body too.

    Parameters
    ----------
    whole : of the projection's mean and maximum

    Returns
    -------
    body : (rows, columns); None if nothing stands out
    islands : what else is bright, such as marker capsules
    """
    bright = np.zeros(projection.maximum.shape, dtype=np.bool_)[:, columns]
    body = bright.copy()
    for image, found in zip((projection.pre_mean, projection.pre_maximum), whole, strict=True):
        beside = body_mask(image[:, columns])
        bright |= found.bright[:, columns] | beside
        body |= found.body[:, columns] | without_islands(beside)
    return (body, bright & ~body) if stands_out(projection.pre_mean[:, columns], body) else None


def _above_noise(image: FloatArray, bright: Mask) -> Mask:
    """Return what is far brighter than most of what is dark in an image, which is air if there is air at all."""
    if bright.all() or not bright.any():
        return bright
    dark, body = float(np.median(image[~bright])), float(np.median(image[bright]))
    return np.asarray(image > max(ABOVE_NOISE * dark, LEAST_SIGNAL * body))


def air_around(body: Mask, pixel_mm: tuple[float, float]) -> Mask:
    """Return what lies in front of the body and beside it, at least `GUARD_MM` away; never what is behind skin."""
    return ~widened(np.logical_or.accumulate(body, axis=0), pixel_mm)


def widened(mask: Mask, pixel_mm: tuple[float, float]) -> Mask:
    """Add what lies within `GUARD_MM` along rows and columns."""
    for axis, size_mm in enumerate(pixel_mm):
        narrow = mask.swapaxes(0, axis)
        wide = narrow.copy()
        for step in range(1, min(int(np.ceil(GUARD_MM / size_mm)), len(wide) - 1) + 1):
            wide[step:] |= narrow[:-step]
            wide[:-step] |= narrow[step:]
        mask = wide.swapaxes(0, axis)
    return mask


def outermost_skin(body: Mask, laterality: str, pixel_mm: tuple[float, float]) -> tuple[int, int] | None:
    """Find how far the body reaches beside one breast, in pixels of what is given.

    Skin is body that goes on for `SKIN_MM` to the back or to the side, so that the thin skin of a dark breast counts.
    What lies apart counts too, as the front of a breast behind a dark band does: an arm makes a box larger.

    Parameters
    ----------
    body : of this side, in front of the cut behind the chest wall
    laterality : `R` or `L`: the breast's outer side is that of the first or of the last column

    Returns
    -------
    row : of the foremost skin
    column : of the outermost skin; None if there is none
    """
    lasting = _lasting(body, pixel_mm[0]) | _lasting(body.T, pixel_mm[1]).T
    rows, columns = np.flatnonzero(lasting.any(axis=1)), np.flatnonzero(lasting.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0] if laterality == "R" else columns[-1])


def _lasting(body: Mask, row_mm: float) -> Mask:
    """Return which pixels of the body lie in a run of `SKIN_MM` down a column."""
    starts = _runs(body, row_mm)
    inside = np.zeros_like(body)
    for step in range(len(body) - len(starts) + 1):
        inside[step : step + len(starts)] |= starts
    return inside & body
