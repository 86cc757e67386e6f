"""Building blocks of a drawing: seeded random streams, smooth noise, soft edges and tubes."""

from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers of one purpose, so that a change to one part of a drawing leaves the others alone."""
    return np.random.default_rng([seed, crc32(purpose.encode())])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, ...]) -> FloatArray:
    """Return noise of mean 0 and standard deviation 1 that varies over about `shape / cells` voxels.

    Normal numbers on a coarse lattice (`cells` intervals an axis), interpolated with cubic B-splines. There is no
    matrix product in it, because those differ in the last bit from one linear algebra library to the next.
    """
    field = rng.standard_normal([count + 3 for count in cells], dtype=np.float32)
    for axis, (length, count) in enumerate(zip(shape, cells, strict=True)):
        field = _interpolated(field, axis, length, count)
    field -= np.float32(field.mean(dtype=np.float64))
    field /= np.float32(np.sqrt(np.square(field).mean(dtype=np.float64)))
    return field


def soft_step(distance_mm: npt.NDArray[Any], width_mm: float) -> FloatArray:
    """Return 0 for distances below -width/2 and 1 above width/2, linear between: partial volume at an edge."""
    step: FloatArray = np.clip(distance_mm / np.float32(width_mm) + np.float32(0.5), 0, 1)
    return step


def stamp_tube(target: FloatArray, path: FloatArray, radius_mm: float, step_mm: tuple[float, float, float]) -> None:
    """Draw a tube into `target` (slices, rows, columns; 0..1, the maximum of old and new stays).

    `path` is float32 (points, 3), voxel indices, its points no further apart than about half a voxel.
    """
    offsets = np.stack(np.meshgrid([-1, 0, 1], [-2, -1, 0, 1, 2], [-2, -1, 0, 1, 2], indexing="ij"), -1).reshape(-1, 3)
    voxels = np.rint(path).astype(np.int64)[:, None] + offsets
    away = np.linalg.norm((voxels - path[:, None]) * np.asarray(step_mm), axis=-1)
    # A thin tube fills only part of its voxels.
    fill = np.clip((radius_mm - away) / step_mm[2] + 0.5, 0, 1) * min(1.0, 2 * radius_mm / step_mm[2])
    inside = ((voxels >= 0) & (voxels < target.shape)).all(-1) & (fill > 0)
    np.maximum.at(target, tuple(voxels[inside].T), fill[inside].astype(np.float32))


def _interpolated(lattice: FloatArray, axis: int, length: int, count: int) -> FloatArray:
    """Return `lattice` with `length` places instead of `count` + 3 points along one axis."""
    place = np.linspace(0, count, length, endpoint=False)
    first = place.astype(np.int64)
    along = np.ones(lattice.ndim, dtype=np.int64)
    along[axis] = length
    weights = _spline_weights(place - first)
    field: FloatArray = weights[0].reshape(along) * np.take(lattice, first, axis)
    for tap in (1, 2, 3):
        field += weights[tap].reshape(along) * np.take(lattice, first + tap, axis)
    return field


def _spline_weights(share: npt.NDArray[np.float64]) -> FloatArray:
    """Return the uniform cubic B-spline's weights of the four points around a place, float32 (4, places).

    `share` is the place's distance from the second of them in lattice intervals, 0..1.
    """
    rest = 1 - share
    near = 4 - 6 * share**2 + 3 * share**3, 4 - 6 * rest**2 + 3 * rest**3
    weights: FloatArray = (np.stack([rest**3, *near, share**3]) / 6).astype(np.float32)
    return weights
