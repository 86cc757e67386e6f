"""The skin of the breasts: what of a projection lies in front of it and beside it, and how far one breast reaches."""

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.projection import Projection
from fcdd_runtime.volumes.body_mask import body_mask, without_islands
from fcdd_runtime.volumes.volume import FloatArray

SKIN_MM = 10.0
"""A column's surface is where body begins that goes on for this long, so that ghosts and noise in air are passed."""
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
    rows = len(body)
    length = min(max(1, round(SKIN_MM / row_mm)), rows)
    total = np.concatenate([np.zeros((1, body.shape[1]), dtype=np.intp), np.cumsum(body, axis=0)])
    lasting = total[length:] - total[:-length] >= 0.8 * length
    starts = body[: len(lasting)] & lasting
    return np.where(starts.any(axis=0), starts.argmax(axis=0), rows)


def body_beside(projection: Projection, columns: slice) -> tuple[Mask, Mask] | None:
    """Find which pixels of some columns show body before contrast.

    A mean along the body hides a breast that fills a few slices, a maximum hides fat beside bright skin; both are
    judged against the whole projection and against these columns alone, where a weak coil leaves one side dark.

    Returns
    -------
    body : (rows, columns); None if nothing stands out
    islands : what else is as bright, such as marker capsules
    """
    bright = np.zeros(projection.maximum.shape, dtype=np.bool_)[:, columns]
    body = bright.copy()
    for image in (projection.pre_mean, projection.pre_maximum):
        whole, beside = body_mask(image), body_mask(image[:, columns])
        bright |= whole[:, columns] | beside
        body |= without_islands(whole)[:, columns] | without_islands(beside)
    return (body, bright & ~body) if stands_out(projection.pre_mean[:, columns], body) else None


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
    """Find how far one breast reaches, in pixels of what is given.

    Parameters
    ----------
    body : of this side, in front of the cut behind the chest wall; an arm that lies apart is no breast
    laterality : `R` or `L`: the breast's outer side is that of the first or of the last column

    Returns
    -------
    row : of its foremost skin
    column : of its outermost skin; None if there is no body that is as large as a breast
    """
    breast = without_islands(body, 1.0)
    from_side = breast.T if laterality == "R" else breast.T[::-1]
    front, side = front_surface(breast, pixel_mm[0]).min(), front_surface(from_side, pixel_mm[1]).min()
    if front == len(breast) or side == len(from_side):
        return None
    return int(front), int(side if laterality == "R" else len(from_side) - 1 - side)
