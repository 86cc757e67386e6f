"""Regions of the body mask: what is small beside the largest is dropped, what is a breast of its own is not."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from fcdd_runtime.volumes.body_mask import ISLAND_SHARE, without_islands


def regions(mask: npt.NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    """Find regions by walking from pixel to pixel."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = []
    while left:
        region, edge = set(), {left.pop()}
        while edge:
            region |= edge
            beside = {(r + a, c + b) for r, c in edge for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))}
            edge = beside & left
            left -= edge
        found.append(region)
    return found


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=24)))
def test_regions_are_kept_by_their_size(mask: npt.NDArray[np.bool_]) -> None:
    found = regions(mask)
    largest = max(map(len, found), default=0)
    expected = np.zeros_like(mask)
    for region in found:
        if len(region) >= ISLAND_SHARE * largest:
            expected[tuple(np.array(sorted(region)).T)] = True
    np.testing.assert_array_equal(without_islands(mask), expected)


def test_two_breasts_without_a_chest_wall_are_kept_and_a_marker_is_not() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:35, 2:26] = mask[10:35, 34:58] = True
    marked = mask.copy()
    marked[:3, 28:32] = True
    np.testing.assert_array_equal(without_islands(marked), mask)
