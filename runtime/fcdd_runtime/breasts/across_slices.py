"""The largest difference of two phases over all slices, the slice that it lies in, and the first phase's mean."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_runtime.errors import StudyError
from fcdd_runtime.volumes.volume import FloatArray, Pixels, Volume, is_short_integer, reading_threads

Plane = npt.NDArray[Any]
Planes = tuple[Plane, Plane, Plane]
"""(rows, columns) each: largest post - pre, index along the projected axis, mean of pre."""

_PLACE_BITS = 14
"""Of a 32-bit key; the other 18 hold the difference of two 16-bit values and its sign."""


def planes_across_slices(pre: Volume, post: Volume, from_foot: bool) -> Planes:
    """Project over the slices; of equal differences the one nearest to the feet wins.

    Parameters
    ----------
    pre, post : volumes on equal grids
    from_foot : whether slice 0 is the one nearest to the feet, not the last

    Raises
    ------
    StudyError
        If a slice cannot be read.
    """
    count = post.grid.shape[0]
    indices = range(count) if from_foot else range(count - 1, -1, -1)
    # The second way gives the same planes of any values, in more time; it also says what cannot be read.
    return _of_short_integers(pre, post, indices) or _of_any(pre, post, indices)


def _of_short_integers(pre: Volume, post: Volume, indices: range) -> Planes | None:
    """Project slices as threads come to them; None where not all can be read as short integers.

    A difference, followed by the slice's place from the end, is one number. The largest such key has the largest
    difference, and of equal ones the first slice.
    """
    count, threads = len(indices), reading_threads()
    if count > 1 << _PLACE_BITS:
        return None
    places = iter(range(count))  # each thread takes the next one
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(_largest_keys, pre, post, indices, places) for _ in range(threads)]
        parts = [part for one in running if (part := one.result()) is not None]
    if len(parts) < threads:
        return None
    keys = np.maximum.reduce([part[0] for part in parts])
    pre_sum = np.add.reduce([part[1] for part in parts])
    from_end = keys & ((1 << _PLACE_BITS) - 1)
    return keys >> _PLACE_BITS, np.asarray(indices)[count - 1 - from_end], pre_sum / count


def _largest_keys(pre: Volume, post: Volume, indices: range, places: Iterator[int]) -> tuple[Plane, Plane] | None:
    """Return the largest keys over some places, and the sum of pre there, int32; None as above."""
    largest = np.full(post.grid.shape[1:], np.iinfo(np.int32).min, dtype=np.int32)
    key, pre_sum = np.empty_like(largest), np.zeros_like(largest)
    for place in places:
        slices = _short_integers(pre, post, indices[place])
        if slices is None:
            deque(places, maxlen=0)  # leaves nothing for the other threads to do
            return None
        before, after = slices
        np.subtract(after, before, out=key, dtype=np.int32)
        np.left_shift(key, _PLACE_BITS, out=key)
        np.bitwise_or(key, len(indices) - 1 - place, out=key)
        np.maximum(largest, key, out=largest)
        np.add(pre_sum, before, out=pre_sum)
    return largest, pre_sum


def _short_integers(pre: Volume, post: Volume, index: int) -> tuple[Pixels, Pixels] | None:
    try:
        before, after = pre.read_pixels(index), post.read_pixels(index)
    except StudyError:
        return None
    return (before, after) if is_short_integer(before) and is_short_integer(after) else None


def _of_any(pre: Volume, post: Volume, indices: range) -> Planes:
    """Keep a running maximum over the slices in their order."""
    count, *plane = post.grid.shape
    maximum = np.full(plane, -np.inf, dtype=np.float32)
    depth = np.zeros(plane, dtype=np.int32)
    pre_sum = np.zeros(plane, dtype=np.float64)
    enhancement, higher = np.empty_like(maximum), np.empty(plane, dtype=np.bool_)
    for index, before, after in read_ahead(pre, post, indices):
        np.subtract(after, before, out=enhancement)
        np.greater(enhancement, maximum, out=higher)
        np.maximum(maximum, enhancement, out=maximum)
        np.copyto(depth, index, where=higher)
        pre_sum += before
    return maximum, depth, pre_sum / count


def read_ahead(pre: Volume, post: Volume, indices: range) -> Iterator[tuple[int, FloatArray, FloatArray]]:
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
