"""Boxes in patient space around slices, and how far two of them show the same part of the body."""

import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fcdd_runtime.study.slices import Slice

Box = npt.NDArray[np.float64]
"""Smallest and largest x, y and z that pixel centres reach: (2, 3), LPS, mm."""

SAME_REGION = 0.5
"""Share of the smaller box above which two volumes show the same part of the body. Slabs of the two breasts touch at
the midline, or overlap there by the margin of their fields of view; repeats of one breast overlap nearly whole."""


def box_of(slices: Iterable[Slice]) -> Box:
    """Return the box of slices, all with a plane."""
    corners = np.concatenate([_corners(one) for one in slices])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def are_side_by_side(one: Box, other: Box) -> bool:
    """Whether two boxes lie beside each other, as seen by the patient, and at one height."""
    shares = overlaps(one, other)
    return bool(shares[0] <= SAME_REGION and shares[1] > SAME_REGION and shares[2] > SAME_REGION)


def overlaps(one: Box, other: Box) -> Box:
    """Return what two boxes share along x, y and z, as shares of the shorter."""
    shared = np.minimum(one[1], other[1]) - np.maximum(one[0], other[0])
    shorter = np.minimum(one[1] - one[0], other[1] - other[0])
    # A box may be flat, such as that of a single slice; then it is inside or outside.
    return np.where(shorter > 0, np.clip(shared, 0, None) / np.where(shorter > 0, shorter, 1), shared >= 0)


def _corners(one: Slice) -> Box:
    if one.plane is None:
        return np.empty((0, 3))
    rows, columns = (one.pixels.rows - 1, one.pixels.columns - 1) if one.pixels is not None else (0, 0)
    steps = np.array([one.plane.row_step_mm, one.plane.column_step_mm])
    places = np.array(list(itertools.product((0, rows), (0, columns))))
    return np.asarray(np.array(one.plane.origin_mm) + places @ steps)
