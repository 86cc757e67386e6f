"""The largest difference of two phases along one of their axes, where it lies, and mean and maximum of the first."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fcdd_runtime.errors import StudyError
from fcdd_runtime.volumes.volume import FloatArray, Volume, is_short_integer, reading_threads

ProjectedImage = npt.NDArray[Any]
"""(rows, columns): the two axes that remain, in the order of the grid."""

_PLACE_BITS = 14
"""Of a 32-bit key; the other 18 hold the difference of two 16-bit values and its sign."""


class LargestDifference(NamedTuple):
    """What is left of two phases where one axis is projected."""

    difference: ProjectedImage
    """Largest post - pre, in rescaled scanner units."""
    place: ProjectedImage
    """Index along the projected axis that it comes from; of equal differences the one nearest to the feet wins."""
    pre_mean: ProjectedImage
    """Mean of pre along the projected axis, in rescaled scanner units."""
    pre_maximum: ProjectedImage
    """Maximum of pre along the projected axis, in rescaled scanner units."""


def subtract_across_slices(pre: Volume, post: Volume, from_foot: bool) -> LargestDifference:
    """Subtract two volumes on equal grids, and project over the slices.

    Parameters
    ----------
    from_foot : whether slice 0 is the one nearest to the feet, not the last

    Raises
    ------
    StudyError
        If a slice cannot be read.
    """
    count = post.grid.shape[0]
    indices = range(count) if from_foot else range(count - 1, -1, -1)
    # The second way gives the same of any values, in more time; it also says what cannot be read.
    return _subtract_short_integers(pre, post, indices) or _subtract_any(pre, post, indices)


def subtract_within_slices(pre: Volume, post: Volume, axis: int, from_foot: bool) -> LargestDifference:
    """Subtract two volumes on equal grids, and project along the rows (1) or columns (2) of each slice.

    Each slice gives one row of the result.

    Parameters
    ----------
    from_foot : whether index 0 along the axis is the one nearest to the feet, not the last

    Raises
    ------
    StudyError
        If a slice cannot be read.
    """
    direction = 1 if from_foot else -1
    lines = []
    for _, *phases in _read_ahead(pre, post, range(post.grid.shape[0])):
        before, after = (np.moveaxis(phase, axis - 1, -1)[:, ::direction] for phase in phases)
        enhancement = after - before
        place = enhancement.argmax(axis=1)
        difference = enhancement[np.arange(len(place)), place]
        place = place if from_foot else before.shape[1] - 1 - place
        lines.append((difference, place, before.mean(axis=1, dtype=np.float64), before.max(axis=1)))
    return LargestDifference(*(np.stack(values) for values in zip(*lines, strict=True)))


def _subtract_short_integers(pre: Volume, post: Volume, indices: range) -> LargestDifference | None:
    """Project slices as threads come to them; None where not all can be read as short integers.

    A difference, followed by the slice's place from the end, is one number. The largest such key has the largest
    difference, and of equal ones the first slice.
    """
    count, threads = len(indices), reading_threads()
    if count > 1 << _PLACE_BITS:
        return None
    places = iter(range(count))  # each thread takes the next one
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(_find_largest_keys, pre, post, indices, places) for _ in range(threads)]
        parts = [part for future in running if (part := future.result()) is not None]
    if len(parts) < threads:
        return None
    keys = np.maximum.reduce([part[0] for part in parts])
    pre_sum = np.add.reduce([part[1] for part in parts])
    pre_maximum = np.maximum.reduce([part[2] for part in parts])
    from_end = keys & ((1 << _PLACE_BITS) - 1)
    place = np.asarray(indices)[count - 1 - from_end]
    return LargestDifference(keys >> _PLACE_BITS, place, pre_sum / count, pre_maximum)


def _find_largest_keys(
    pre: Volume, post: Volume, indices: range, places: Iterator[int]
) -> tuple[ProjectedImage, ProjectedImage, ProjectedImage] | None:
    """Return the largest keys over some places, and sum and maximum of pre there, int32; None as above."""
    largest = np.full(post.grid.shape[1:], np.iinfo(np.int32).min, dtype=np.int32)
    key, pre_sum, pre_maximum = np.empty_like(largest), np.zeros_like(largest), largest.copy()
    for place in places:
        try:
            before, after = pre.read_pixels(indices[place]), post.read_pixels(indices[place])
            short = is_short_integer(before) and is_short_integer(after)
        except StudyError:
            short = False
        if not short:
            deque(places, maxlen=0)  # leaves nothing for the other threads to do
            return None
        np.subtract(after, before, out=key, dtype=np.int32)
        np.left_shift(key, _PLACE_BITS, out=key)
        np.bitwise_or(key, len(indices) - 1 - place, out=key)
        np.maximum(largest, key, out=largest)
        np.add(pre_sum, before, out=pre_sum)
        np.maximum(pre_maximum, before, out=pre_maximum)
    return largest, pre_sum, pre_maximum


def _subtract_any(pre: Volume, post: Volume, indices: range) -> LargestDifference:
    """Keep a running maximum over the slices in their order."""
    count, *shape = post.grid.shape
    maximum = np.full(shape, -np.inf, dtype=np.float32)
    place = np.zeros(shape, dtype=np.int32)
    pre_sum, pre_maximum = np.zeros(shape, dtype=np.float64), np.full_like(maximum, -np.inf)
    enhancement, higher = np.empty_like(maximum), np.empty(shape, dtype=np.bool_)
    for index, before, after in _read_ahead(pre, post, indices):
        np.subtract(after, before, out=enhancement)
        np.greater(enhancement, maximum, out=higher)
        np.maximum(maximum, enhancement, out=maximum)
        np.copyto(place, index, where=higher)
        pre_sum += before
        np.maximum(pre_maximum, before, out=pre_maximum)
    return LargestDifference(maximum, place, pre_sum / count, pre_maximum)


def _read_ahead(pre: Volume, post: Volume, indices: range) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """Yield the slices of both phases in order while the next ones are read: decoders work without Python's lock."""

    def read(index: int) -> tuple[int, FloatArray, FloatArray]:
        return index, pre.read_slice(index), post.read_slice(index)

    threads = reading_threads()
    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(read, index) for index in indices[:threads])
        for index in indices[threads:]:
            yield pending.popleft().result()
            pending.append(pool.submit(read, index))
        while pending:
            yield pending.popleft().result()
