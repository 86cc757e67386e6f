"""Which pixels show the body, and which air."""

import numpy as np
import numpy.typing as npt

from fcdd_runtime.volumes.volume import FloatArray


def body_mask(image: FloatArray) -> npt.NDArray[np.bool_]:
    """Separate body from air by Otsu's threshold; of the square root, which evens out coil sensitivity and fat."""
    root = np.sqrt(np.maximum(image.astype(np.float64), 0))
    return np.asarray(root > _otsu(root))


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
