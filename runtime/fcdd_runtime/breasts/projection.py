"""Subtraction (post - pre) and its maximum along the patient's head-foot axis, with the voxel each pixel came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.subtraction import ProjectedImage, subtract_across_slices, subtract_within_slices
from fcdd_runtime.volumes.volume import FloatArray, Grid, SliceSource, Volume


@dataclass(frozen=True)
class Projection:
    """An axial projection. Arrays are (rows, columns): anterior to posterior, and patient right to left.

    For oblique acquisitions rows and columns follow the voxel axes nearest to these directions.
    """

    maximum: FloatArray
    """Largest post - pre along the head-foot axis, float32, rescaled scanner units; may be negative."""
    depth: npt.NDArray[np.intp]
    """Voxel index along the projected axis that the maximum came from; of equal ones the nearest to the feet."""
    pre_mean: FloatArray
    """Mean of the pre-contrast phase along the same axis, float32: the anatomy."""
    pre_maximum: FloatArray
    """Maximum of the pre-contrast phase along the same axis, float32: shows what fills a few slices only."""
    grid: Grid
    """Of the two volumes."""
    sources: tuple[SliceSource, ...]
    """Of the post-contrast volume, one entry a slice."""
    axes: tuple[int, int, int]
    """Grid axes (0 slice, 1 row, 2 column) along the head-foot, anterior-posterior and right-left direction."""

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Distance of neighbouring rows and of neighbouring columns, mm."""
        rows, columns = (float(np.linalg.norm(self.grid.step_mm[axis])) for axis in self.axes[1:])
        return rows, columns

    @property
    def obliqueness_degrees(self) -> float:
        """Largest angle between one of these axes and the patient direction that it stands for."""
        steps = np.abs([self.grid.step_mm[axis] for axis in self.axes])
        cosines = steps[range(3), (2, 1, 0)] / np.linalg.norm(steps, axis=1)
        return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())

    def voxel(self, row: int, column: int) -> tuple[int, int, int]:
        """Return the voxel (slice, row, column; from 0) that a pixel's maximum came from."""
        index = self._grid_index(int(self.depth[row, column]), row, column)
        return int(index[0]), int(index[1]), int(index[2])

    def voxels(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.int32]:
        """Return the voxels of a block of pixels: (rows, columns, 3), slice, row and column from 0.

        Parameters
        ----------
        rows, columns : which rows and columns of the projection, in the order of the result
        """
        row, column = np.ix_(rows, columns)
        index = np.broadcast_arrays(*self._grid_index(self.depth[row, column], row, column))
        voxels: npt.NDArray[np.int32] = np.stack(index, axis=-1).astype(np.int32)
        return voxels

    def patient_mm(self, row: int, column: int) -> tuple[float, float, float]:
        """Return the centre of that voxel in LPS, mm."""
        return self.grid.patient_mm(self.voxel(row, column))

    def source(self, row: int, column: int) -> SliceSource:
        """Return the post-contrast slice that this voxel lies in."""
        return self.sources[self.voxel(row, column)[0]]

    def x_mm(self, column: float) -> float:
        """Return the patient x of a column, half way through the volume in the other two directions."""
        depth, row = (self.grid.shape[self.axes[0]] - 1) / 2, (self.maximum.shape[0] - 1) / 2
        return self.grid.patient_mm(self._grid_index(depth, row, column))[0]

    def _grid_index(self, depth: Any, row: Any, column: Any) -> tuple[Any, Any, Any]:
        """Turn a place in the projection into slice, row and column: numbers, or arrays that broadcast."""
        index: list[Any] = [0.0, 0.0, 0.0]
        index[self.axes[0]] = depth
        for axis, along, size, flipped in zip(
            self.axes[1:], (row, column), self.maximum.shape, _flips(self.grid, self.axes), strict=True
        ):
            index[axis] = size - 1 - along if flipped else along
        return index[0], index[1], index[2]


def project(pre: Volume, post: Volume) -> Projection:
    """Subtract and project, reading each slice once and holding a few at a time.

    The projection runs along the voxel axis nearest to the patient's head-foot axis. The subtraction is signed.

    Parameters
    ----------
    pre, post : volumes on equal grids

    Raises
    ------
    StudyError
        If a slice cannot be read.
    """
    grid = post.grid
    axes = _patient_axes(grid)
    from_foot = grid.step_mm[axes[0]][2] > 0
    if axes[0] == 0:
        largest = subtract_across_slices(pre, post, from_foot)
    else:
        largest = subtract_within_slices(pre, post, axes[0], from_foot)
    maximum, depth, pre_mean, pre_maximum = (_turn_to_patient(image, grid, axes) for image in largest)
    return Projection(
        maximum=maximum.astype(np.float32),
        depth=depth.astype(np.intp),
        pre_mean=pre_mean.astype(np.float32),
        pre_maximum=pre_maximum.astype(np.float32),
        grid=grid,
        sources=post.sources,
        axes=axes,
    )


def _patient_axes(grid: Grid) -> tuple[int, int, int]:
    """Assign the three grid axes to head-foot, anterior-posterior and right-left, as near as can be."""
    steps = np.abs(np.array(grid.step_mm))
    x, y, z = (steps / np.linalg.norm(steps, axis=1, keepdims=True)).T
    depth = int(np.argmax(z))
    first, second = (axis for axis in range(3) if axis != depth)
    in_order = y[first] + x[second] >= y[second] + x[first]
    return (depth, first, second) if in_order else (depth, second, first)


def _turn_to_patient(image: ProjectedImage, grid: Grid, axes: tuple[int, int, int]) -> ProjectedImage:
    """Turn and flip an image, whose axes are the two remaining grid axes in ascending order, to the patient's axes."""
    rows_first = image if axes[1] < axes[2] else image.T
    flip_rows, flip_columns = _flips(grid, axes)
    return rows_first[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _flips(grid: Grid, axes: tuple[int, int, int]) -> tuple[bool, bool]:
    """Whether the grid runs from back to front, and from the patient's left to right."""
    return grid.step_mm[axes[1]][1] < 0, grid.step_mm[axes[2]][0] < 0
