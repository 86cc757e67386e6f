"""One phase of a dynamic study: a grid in patient space and the slices on it, read one at a time."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]
"""float32, or integers of at most 16 bits, signed or not: cast them before any arithmetic."""
MAX_THREADS = 6
"""Each thread that reads slices holds a few of them; six stay below 60 MB at 512 x 512 pixels."""


SMALLEST_JUMP = 8
"""Rows that an image may lose from one slice to the next, however few it has."""


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
    read_pixels: Callable[[int], Pixels]
    """Slice index -> (rows, columns) in rescaled scanner units (slope and intercept applied), in their own dtype."""

    def read_slice(self, index: int) -> FloatArray:
        """Read one slice: float32 (rows, columns) in rescaled scanner units."""
        return np.asarray(self.read_pixels(index), dtype=np.float32)


class BlankRows:
    """How many rows of one value each slice of a volume has that was read.

    A file that lost its end, or blocks within, holds such rows, or nothing else. Images may have some of their own,
    where a scanner pads them, masks the air or corrects distortion; these come and go from slice to slice, not at once.
    """

    def __init__(self, slices: int, rows: int):
        self.slices, self.rows = slices, rows
        self._counts: dict[int, int] = {}

    def note(self, index: int, pixels: Pixels) -> None:
        """Count a slice's rows: (rows, columns)."""
        # A few columns tell most rows apart from a blank one.
        maybe = np.flatnonzero((pixels[:, ::16] == pixels[:, :1]).all(axis=1))
        self._counts[index] = int((pixels[maybe] == pixels[maybe, :1]).all(axis=1).sum()) if len(maybe) else 0

    @property
    def suspects(self) -> int:
        """How many slices are blank, or part from a neighbour by more blank rows than an image does."""
        counts, jump = self._counts, max(SMALLEST_JUMP, self.rows // 8)
        blank = {index for index, count in counts.items() if count == self.rows}
        torn = {
            index
            for index, count in counts.items()
            if any(count - counts.get(index + step, count) >= jump for step in (-1, 1))
        }
        return len(blank | torn)


def noting_blank_rows(volume: Volume) -> tuple[Volume, BlankRows]:
    """Return the same volume, and what it will have noted about the slices that it has read."""
    blank = BlankRows(*volume.grid.shape[:2])

    def read_pixels(index: int) -> Pixels:
        pixels = volume.read_pixels(index)
        blank.note(index, pixels)
        return pixels

    return replace(volume, read_pixels=read_pixels), blank


def volume_from_array(voxels: npt.NDArray[np.generic], grid: Grid, sources: tuple[SliceSource, ...]) -> Volume:
    """Wrap voxels that are in memory: any real dtype, shape (slices, rows, columns) as in `grid`."""
    exact = is_short_integer(voxels)
    return Volume(grid, sources, lambda index: voxels[index] if exact else np.asarray(voxels[index], dtype=np.float32))


def is_short_integer(pixels: npt.NDArray[Any]) -> bool:
    """Whether the values are integers of at most 16 bits, all of which float32 holds exactly."""
    return pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2


def reading_threads() -> int:
    """Return how many slices are read at a time: decoding and arithmetic of whole slices leave Python's lock alone."""
    return min(len(os.sched_getaffinity(0)), MAX_THREADS)
