"""Volumes averaged to cells of a few mm, in which phases are compared: noise and the finest motion cancel there."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from fcdd_runtime.volumes.volume import FloatArray, Volume, reading_threads

CELL_MM = 3.5
"""Width of a cell where pixels are smaller; larger pixels are a cell each."""

Mask = npt.NDArray[np.bool_]


def sampled_cells(volume: Volume, slices: int) -> FloatArray:
    """Average some slices, evenly spread: float32 (slices, rows, columns) of cells that are one slice thick."""
    count = volume.grid.shape[0]
    places = np.linspace(0, count - 1, min(count, slices + 2))[1:-1]
    return _read(volume, [round(place) for place in places])


def whole_cells(volume: Volume) -> FloatArray:
    """Average all slices, and neighbouring ones up to a cell's width together: float32 (cells, rows, columns)."""
    planes = _read(volume, range(volume.grid.shape[0]))
    step = _pixels_in_a_cell(volume, 0)
    count = max(1, len(planes) // step)
    total: FloatArray = planes[: count * step].reshape(count, -1, *planes.shape[1:]).mean(axis=1)
    return total


def cell_mm(volume: Volume, axis: int) -> float:
    """Width of a cell along slices (0), rows (1) or columns (2)."""
    return _pixels_in_a_cell(volume, axis) * _pixel_mm(volume, axis)


def without_margin(mask: Mask, axis: int, width: int) -> Mask:
    """Take off what lies within `width` cells of the mask's outside along an axis; the image's edge is no outside."""
    kept = mask.swapaxes(0, axis)
    for _ in range(width):
        padded = np.pad(kept, [(1, 1), (0, 0), (0, 0)], mode="edge")
        kept = kept & padded[:-2] & padded[2:]
    return kept.swapaxes(0, axis)


def without_edge(mask: Mask, axis: int, width: int) -> Mask:
    """Take off the outermost `width` cells of the image along an axis."""
    kept = np.zeros_like(mask)
    inner = slice(width, mask.shape[axis] - width)
    kept.swapaxes(0, axis)[inner] = mask.swapaxes(0, axis)[inner]
    return kept


def highest_beside(cells: FloatArray, axes: Sequence[int]) -> FloatArray:
    """Return the highest value of each cell and its neighbours along some axes, diagonal ones too."""
    for axis in axes:
        along = cells.swapaxes(0, axis)
        highest = along.copy()
        np.maximum(highest[1:], along[:-1], out=highest[1:])
        np.maximum(highest[:-1], along[1:], out=highest[:-1])
        cells = highest.swapaxes(0, axis)
    return cells


def smoothed(cells: FloatArray) -> FloatArray:
    """Weigh each cell and its neighbours 1:2:1 along every axis."""
    for axis in range(3):
        along = np.pad(cells.swapaxes(0, axis), [(1, 1), (0, 0), (0, 0)], mode="edge")
        cells = ((along[:-2] + 2 * along[1:-1] + along[2:]) / 4).swapaxes(0, axis)
    return cells


def _read(volume: Volume, places: Sequence[int]) -> FloatArray:
    steps = _pixels_in_a_cell(volume, 1), _pixels_in_a_cell(volume, 2)
    with ThreadPoolExecutor(reading_threads()) as pool:
        return np.stack(list(pool.map(lambda place: _averaged(volume.read_slice(place), *steps), places)))


def _averaged(plane: FloatArray, row_step: int, column_step: int) -> FloatArray:
    rows, columns = len(plane) // row_step, plane.shape[1] // column_step
    plane = plane[: rows * row_step, : columns * column_step]
    total = plane.reshape(rows, row_step, -1).sum(axis=1).reshape(rows, columns, column_step).sum(axis=2)
    averaged: FloatArray = total / np.float32(row_step * column_step)
    return averaged


def _pixels_in_a_cell(volume: Volume, axis: int) -> int:
    pixels = max(1, round(CELL_MM / max(_pixel_mm(volume, axis), CELL_MM / 100)))
    return min(pixels, volume.grid.shape[axis])


def _pixel_mm(volume: Volume, axis: int) -> float:
    return float(np.linalg.norm(volume.grid.step_mm[axis]))
