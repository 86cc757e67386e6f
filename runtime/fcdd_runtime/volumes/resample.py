"""A volume on a slightly shifted grid -> the same volume on another's grid, one slice at a time."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fcdd_runtime.volumes.grids import GRID_TOLERANCE
from fcdd_runtime.volumes.volume import FloatArray, Grid, Volume


def is_shifted(grid: Grid, target: Grid) -> bool:
    """Whether two grids differ by a shift of less than one voxel in every direction, and by nothing else."""
    if grid.shape != target.shape:
        return False
    drift = np.linalg.norm(np.subtract(grid.step_mm, target.step_mm), axis=1) * np.array(grid.shape)
    smallest = float(np.linalg.norm(target.step_mm, axis=1).min())
    return bool(drift.max() <= GRID_TOLERANCE * smallest and np.abs(_shift(grid, target)).max() < 1)


def resample(volume: Volume, target: Grid) -> Volume:
    """Interpolate a volume trilinearly at the voxels of a grid that `is_shifted` against its own.

    Beyond the outermost voxels the nearest one's value is taken. Each slice is named after the slice that it is mostly
    made of.
    """
    along, down, across = (float(part) for part in _shift(volume.grid, target))
    read = lru_cache(maxsize=2)(volume.read_slice)
    last = target.shape[0] - 1

    def slice_at(index: int) -> FloatArray:
        lower, weight = _neighbour(along)
        before, after = (read(min(max(index + lower + step, 0), last)) for step in (0, 1))
        between = before * np.float32(1 - weight) + after * np.float32(weight) if weight else before
        return _moved(_moved(between, down, axis=0), across, axis=1)

    nearest = [min(max(index + round(along), 0), last) for index in range(last + 1)]
    return Volume(target, tuple(volume.sources[index] for index in nearest), slice_at)


def _shift(grid: Grid, target: Grid) -> npt.NDArray[np.float64]:
    """Return where the target's first voxel lies in the grid, voxels."""
    offset = np.subtract(target.origin_mm, grid.origin_mm)
    return np.linalg.solve(np.array(grid.step_mm).T, offset)


def _neighbour(shift: float) -> tuple[int, float]:
    """Return the offset of the lower neighbour and the weight (0..1) of the one above it."""
    lower = int(np.floor(shift))
    return lower, shift - lower


def _moved(image: FloatArray, shift: float, axis: int) -> FloatArray:
    lower, weight = _neighbour(shift)
    size = image.shape[axis]
    before, after = (image.take(np.clip(np.arange(size) + lower + step, 0, size - 1), axis=axis) for step in (0, 1))
    return np.asarray(before * np.float32(1 - weight) + after * np.float32(weight), dtype=np.float32)
