"""Enhancing spots drawn into images: INT8's scales must hold what an anomaly excites, and no anomalous image is needed.

Scales of normal images alone clip it: the map of an anomaly then ends at what a normal image reaches. A MIP's window
is made for its own study, so the brightest lesions are plain white and all around them is darker than in a normal
image. Both are drawn: spots far above white, and images dimmed before. Without that, scales ended at half of what the
largest lesions of drawn studies excite.
"""

import numpy as np
import numpy.typing as npt

RADIUS = (2.0, 32.0)
"""Half axis of a spot at 60 % of its height, pixels of a 224 x 224 image."""
HEIGHT = (15.0, 1500.0)
"""Of a spot above what it lies on, grey values: from hardly seen to white with sharp edges, since 255 is the most."""
DIMMING = (0.15, 1.0)
"""Factor of an image before spots are drawn into it."""
MOST_SPOTS = 3


def with_drawn_spots(images: npt.NDArray[np.uint8], seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return the images with one to three bright ellipses each, at places brighter than the image's mean.

    Radius, height and dimming are drawn evenly on a logarithmic scale; the edge is soft or sharp, the inside grained.

    Parameters
    ----------
    images : uint8 (N, 1, rows, columns), left as they are
    """
    rng = np.random.default_rng(seed)
    spotted = np.empty_like(images)
    for index, (image,) in enumerate(images):
        places = np.argwhere(image >= image.mean())
        drawn = image.astype(np.float64) * _log_uniform(rng, *DIMMING)
        for _ in range(rng.integers(1, MOST_SPOTS + 1)):
            drawn += _spot(image.shape, places[rng.integers(len(places))], rng)
        spotted[index, 0] = np.clip(np.rint(drawn), 0, 255)
    return spotted


def _spot(shape: tuple[int, ...], centre: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    down, right = np.indices(shape) - centre[:, np.newaxis, np.newaxis]
    angle, radius = rng.uniform(0, np.pi), _log_uniform(rng, *RADIUS)
    along = (down * np.cos(angle) + right * np.sin(angle)) / radius
    across = (right * np.cos(angle) - down * np.sin(angle)) / (radius * rng.uniform(0.6, 1.6))
    edge = rng.choice([1, 3])
    profile = np.exp(-((along**2 + across**2) ** edge) / 2)
    spot: npt.NDArray[np.float64] = _log_uniform(rng, *HEIGHT) * profile * (1 + 0.1 * rng.standard_normal(shape))
    return spot


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
