"""One phase of a dynamic study: a grid in patient space and the slices on it, read one at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """A regular voxel grid in DICOM patient coordinates (LPS: x to the left, y to the back, z to the head), mm."""

    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    origin_mm: tuple[float, float, float]
    """Centre of voxel (0, 0, 0)."""
    step_mm: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    """Patient-space step of one slice, one row and one column, in this order."""

    def patient_mm(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the centre of voxel `index` (slice, row, column; counted from 0) in LPS, mm."""
        x, y, z = np.asarray(self.origin_mm) + np.asarray(index, dtype=np.float64) @ np.asarray(self.step_mm)
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class SliceSource:
    """Where a slice came from."""

    sop_instance_uid: str
    frame_number: int | None
    """Frame within a multi-frame object, counted from 1; None in a single-frame file."""


@dataclass(frozen=True)
class Volume:
    """One phase. Pixels stay where they are until a slice is read, so that a study never has to fit in memory."""

    grid: Grid
    sources: tuple[SliceSource, ...]
    """One entry a slice, in the order of the grid."""
    read_slice: Callable[[int], FloatArray]
    """Slice index -> float32 (rows, columns) in rescaled scanner units (slope and intercept applied)."""


def volume_from_array(voxels: npt.NDArray[np.generic], grid: Grid, sources: tuple[SliceSource, ...]) -> Volume:
    """Wrap voxels that are in memory: any real dtype, shape (slices, rows, columns) as in `grid`."""
    return Volume(grid, sources, lambda index: np.asarray(voxels[index], dtype=np.float32))
