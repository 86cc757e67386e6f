"""Whether two volumes lie on one grid, so that they can be subtracted voxel by voxel."""

import numpy as np
import numpy.typing as npt

from fcdd_runtime.errors import StudyError
from fcdd_runtime.volumes.volume import Grid, Volume

GRID_TOLERANCE = 0.02
"""How far the corners of two volumes that are subtracted may lie apart, as a share of the voxel along each axis:
scanners write positions that jitter by some hundredths of a mm."""


def check_equal_grids(pre: Volume, post: Volume) -> float:
    """Make sure that two volumes can be subtracted voxel by voxel.

    Returns
    -------
    how far their corners lie apart at most, mm

    Raises
    ------
    StudyError
        If their shapes differ, or a corner of one lies more than GRID_TOLERANCE from that of the other.
    """
    matrices = [f"{rows} x {columns}" for _, rows, columns in (pre.grid.shape, post.grid.shape)]
    if matrices[0] != matrices[1]:
        raise StudyError(
            f"the pre- and post-contrast phases have unequal matrices, {' and '.join(matrices)} pixels; give a study "
            "in which they are equal",
            "unequal-grids",
        )
    if pre.grid.shape != post.grid.shape:
        raise StudyError(
            f"a slice is missing: the pre-contrast phase has {pre.grid.shape[0]} slices and the post-contrast phase "
            f"{post.grid.shape[0]}; export the study again",
            "missing-slice",
        )
    moved = _corners(post.grid) - _corners(pre.grid)
    apart = float(np.linalg.norm(moved, axis=1).max())
    if np.abs(np.linalg.solve(np.array(pre.grid.step_mm).T, moved.T)).max() > GRID_TOLERANCE:
        raise StudyError(
            f"the pre- and post-contrast phases lie on unequal grids, {apart:.2f} mm apart; give a study in which "
            "both have the same positions",
            "unequal-grids",
        )
    return apart


def _corners(grid: Grid) -> npt.NDArray[np.float64]:
    """Return the centres of the eight outermost voxels: (8, 3), LPS, mm."""
    last = [size - 1 for size in grid.shape]
    return np.array(
        [grid.patient_mm((i, j, k)) for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])], dtype=np.float64
    )
