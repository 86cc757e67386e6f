"""Which pixels show the body, and which air."""

import numpy as np
import numpy.typing as npt

from fcdd_runtime.volumes.volume import FloatArray

ISLAND_SHARE = 0.05
"""A breast that no chest wall joins to the other is larger than this share of it; a marker is far smaller."""


def body_mask(image: FloatArray) -> npt.NDArray[np.bool_]:
    """Separate body from air by Otsu's threshold; of the square root, which evens out coil sensitivity and fat."""
    root = np.sqrt(np.maximum(image.astype(np.float64), 0))
    return np.asarray(root > _otsu(root))


def without_islands(mask: npt.NDArray[np.bool_], share: float = ISLAND_SHARE) -> npt.NDArray[np.bool_]:
    """Keep the largest region and those of at least `share` of it: others are markers, ghosts or noise in air.

    Parameters
    ----------
    mask : (rows, columns); pixels that share a side are of one region
    share : 0..1; 1 keeps the largest alone
    """
    numbers = numbered_regions(mask)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    kept = sizes >= share * sizes.max()
    kept[0] = False
    return np.asarray(kept[numbers], dtype=np.bool_)


def numbered_regions(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Number the regions of a mask from 1, in the order of their first pixels: int32 (rows, columns), 0 outside.

    Pixels that share a side are of one region.
    """
    # Runs of pixels in a row are joined where they touch one of the row before.
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    first = np.searchsorted(rows, np.arange(len(mask) + 1)).tolist()
    region = list(range(len(rows)))

    def root(run: int) -> int:
        while region[run] != run:
            region[run] = region[region[run]]
            run = region[run]
        return run

    start, end = starts.tolist(), ends.tolist()
    for row in range(1, len(mask)):
        above, run = first[row - 1], first[row]
        while above < first[row] and run < first[row + 1]:
            if start[above] < end[run] and start[run] < end[above]:
                # The earlier run stands for both, so that regions are numbered as they begin.
                older, newer = sorted((root(above), root(run)))
                region[newer] = older
            above, run = (above + 1, run) if end[above] < end[run] else (above, run + 1)
    _, of_run = np.unique([root(run) for run in region], return_inverse=True)
    numbers = np.zeros(mask.shape, dtype=np.int32)
    for row, begin, stop, number in zip(rows.tolist(), start, end, of_run.tolist(), strict=True):
        numbers[row, begin:stop] = number + 1
    return numbers


def _otsu(values: npt.NDArray[np.float64]) -> float:
    """Threshold with the largest variance between the two classes (Otsu, IEEE Trans. SMC 9, 1979)."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = (np.sum(counts * centres) - np.cumsum(counts * centres)) / np.maximum(above, 1)
    variance = below * above * (mean_below - mean_above) ** 2
    return float(edges[1 + int(np.argmax(variance))])
