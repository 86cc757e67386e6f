"""Slices of one phase -> a Volume on a regular grid, or one sentence that says why not."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fcdd_runtime.errors import StudyError
from fcdd_runtime.study import bounds
from fcdd_runtime.study.slices import Plane, Slice
from fcdd_runtime.volumes.volume import Grid, Volume

STEP_TOLERANCE = 0.1
"""How far a slice may lie from its place on the grid, as a share of the slice step or of the pixel size."""
MIN_SLICES = 8
"""Fewer are no breast volume but a piece of one, or a stack of pictures."""


def volume_from_slices(slices: Sequence[Slice], name: str) -> Volume:
    """Put the slices of one phase in order along their normal.

    Parameters
    ----------
    slices : one for each position, in any order
    name : what the phase is called in messages

    Raises
    ------
    StudyError
        If a slice is damaged, missing, of another matrix, pixel size or frame of reference, shifted or not parallel.
    """
    for image_slice in slices:
        if image_slice.damage or image_slice.plane is None:
            raise StudyError(
                f"{name} cannot be used: {image_slice.name} {image_slice.damage or 'has no position'}", "damaged"
            )
    if len(slices) < MIN_SLICES:
        raise StudyError(
            f"{name} has {len(slices)} slices, a breast volume at least {MIN_SLICES}; give the whole study",
            "missing-slice",
        )
    if len({image_slice.frame_of_reference_uid for image_slice in slices} - {""}) > 1:
        raise StudyError(
            f"{name} has slices in different frames of reference, so their positions cannot be compared; export the "
            "study again",
            "no-volume",
        )
    sizes = sorted({(pixels.rows, pixels.columns) for each in slices if (pixels := each.pixels) is not None})
    if len(sizes) != 1:
        listed = " and ".join(f"{rows} x {columns}" for rows, columns in sizes)
        raise StudyError(f"{name} mixes matrix sizes ({listed} pixels); export the study again", "no-volume")
    if len(slices) * math.prod(sizes[0]) > bounds.MAX_VOXELS:
        raise StudyError(
            f"{name} has {len(slices)} slices of {sizes[0][0]} x {sizes[0][1]} pixels, more than a breast volume has; "
            "export the study again",
            "no-volume",
        )

    placed = [(image_slice, plane) for image_slice in slices if (plane := image_slice.plane) is not None]
    first = placed[0][1]
    placed.sort(key=lambda pair: float(np.dot(pair[1].origin_mm, first.normal)))
    ordered, planes = zip(*placed, strict=True)
    _check_parallel(planes, sizes[0], name)
    origins = np.array([plane.origin_mm for plane in planes])
    _check_regular(origins, first, name)
    # DICOM writes decimals of 16 characters; what rounding leaves in the last of them is no difference in space.
    step = np.round((origins[-1] - origins[0]) / (len(ordered) - 1), 9)
    grid = Grid(
        shape=(len(ordered), *sizes[0]),
        origin_mm=planes[0].origin_mm,
        step_mm=((float(step[0]), float(step[1]), float(step[2])), first.row_step_mm, first.column_step_mm),
    )
    return Volume(grid, tuple(image_slice.source for image_slice in ordered), lambda index: ordered[index].read())


def _check_parallel(planes: Sequence[Plane], matrix: tuple[int, int], name: str) -> None:
    """Compare where each slice's far edges lie with the first slice's; a turn or another pixel size moves them."""
    steps = np.array([(plane.row_step_mm, plane.column_step_mm) for plane in planes])
    moved = np.linalg.norm(steps - steps[0], axis=2) * np.array(matrix)
    if (moved > STEP_TOLERANCE * np.linalg.norm(steps[0], axis=1)).any():
        raise StudyError(
            f"{name} has slices that are not parallel or differ in pixel size; export the study again", "no-volume"
        )


def _check_regular(origins: npt.NDArray[np.float64], plane: Plane, name: str) -> None:
    """Check equal steps along the normal, and no sideways shift from the line through first and last slice."""
    heights = origins @ np.array(plane.normal)
    gaps = np.diff(heights)
    step = float(np.median(gaps))
    if problem := bounds.SLICE_STEP.problem(step):
        raise StudyError(f"{name} {problem}; export the study again", "no-volume")
    wrong = np.flatnonzero(np.abs(gaps - step) > STEP_TOLERANCE * step)
    if len(wrong):
        raise StudyError(
            f"{name} has a missing slice: two neighbours are {gaps[wrong[0]]:.2f} mm apart where the others are "
            f"{step:.2f} mm; export the study again",
            "missing-slice",
        )
    along = (heights - heights[0]) / (heights[-1] - heights[0])
    aside = np.linalg.norm(origins - origins[0] - along[:, None] * (origins[-1] - origins[0]), axis=1)
    pixel = min(np.linalg.norm(plane.row_step_mm), np.linalg.norm(plane.column_step_mm))
    if aside.max() > STEP_TOLERANCE * pixel:
        raise StudyError(f"{name} has slices that are shifted against each other; export the study again", "no-volume")
