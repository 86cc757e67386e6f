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
    corners = []
    for image_slice in slices:
        if (plane := image_slice.plane) is None:
            continue
        pixels = image_slice.pixels
        rows, columns = (pixels.rows - 1, pixels.columns - 1) if pixels is not None else (0, 0)
        places = np.array(list(itertools.product((0, rows), (0, columns))))
        corners.append(np.array(plane.origin_mm) + places @ np.array([plane.row_step_mm, plane.column_step_mm]))
    points = np.concatenate(corners)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def in_one_region(first: Box, second: Box) -> bool:
    """Whether two boxes show the same part of the body."""
    return bool(_overlaps(first, second).prod() > SAME_REGION)


def are_side_by_side(first: Box, second: Box) -> bool:
    """Whether two boxes lie beside each other, as seen by the patient, and at one height."""
    shares = _overlaps(first, second)
    return bool(shares[0] <= SAME_REGION and shares[1] > SAME_REGION and shares[2] > SAME_REGION)


def _overlaps(first: Box, second: Box) -> npt.NDArray[np.float64]:
    """Return what two boxes share along x, y and z, as shares of the shorter: (3,)."""
    shared = np.minimum(first[1], second[1]) - np.maximum(first[0], second[0])
    shorter = np.minimum(first[1] - first[0], second[1] - second[0])
    # A box may be flat, such as that of a single slice; then it is inside or outside.
    return np.where(shorter > 0, np.clip(shared, 0, None) / np.where(shorter > 0, shorter, 1), shared >= 0)
