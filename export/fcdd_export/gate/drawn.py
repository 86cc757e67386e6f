"""Drawn breast-like images: what verification and golden vectors use, so that no patient's image leaves the site."""

import numpy as np
import numpy.typing as npt

from fcdd_export.networks.served import IMAGE_SIZE


def drawn_images(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Draw `count` MIP-like images: uint8 (count, 1, 224, 224); every second one has bright spots."""
    rng = np.random.default_rng(seed)
    return np.stack([_drawn_breast(rng, spots=index % 2 * 3) for index in range(count)])[:, np.newaxis]


def golden_images() -> npt.NDArray[np.uint8]:
    """Return the images of the golden vectors, uint8 (3, 1, 224, 224): two drawn ones and a white one.

    The drawn ones are coarsened to 4 x 4 pixels, so that they fit into a model's configuration.
    """
    coarse = drawn_images(2, seed=1)[:, :, ::4, ::4].repeat(4, axis=2).repeat(4, axis=3)
    return np.concatenate([coarse, extreme_images()[1:2]])


def extreme_images() -> npt.NDArray[np.uint8]:
    """Return images at the ends of the input range, uint8 (7, 1, 224, 224).

    Black, white, the smallest step above black in one pixel, a black and white chessboard, a white square, a breast
    of an eighth of the usual signal, and one whose signal saturates.
    """
    images = np.zeros((7, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    breast = drawn_images(2, seed=2)[1, 0]
    rows, columns = np.indices((IMAGE_SIZE, IMAGE_SIZE))
    images[1] = 255
    images[2, IMAGE_SIZE // 2, IMAGE_SIZE // 2] = 1
    images[3] = 255 * ((rows // 8 + columns // 8) % 2)
    images[4, 80:144, 80:144] = 255
    images[5] = breast // 8
    images[6] = np.minimum(breast.astype(np.int64) * 6, 255)
    return images[:, np.newaxis]


def _drawn_breast(rng: np.random.Generator, spots: int) -> npt.NDArray[np.uint8]:
    row, column = np.mgrid[0 : 1 : IMAGE_SIZE * 1j, -1 : 1 : IMAGE_SIZE * 1j]
    top, width = rng.uniform(0.05, 0.25), rng.uniform(0.7, 0.95)
    inside = (row - 1) ** 2 / (1 - top) ** 2 + column**2 / width**2 < 1
    image = 25 + 18 * _smooth_noise(rng, 7) + 9 * _smooth_noise(rng, 28) + 3 * rng.standard_normal(row.shape)
    for _ in range(spots):
        image = image + _spot(rng, row, column)
    return np.clip(np.where(inside, image, rng.uniform(0, 4, row.shape)), 0, 255).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, cells: int) -> npt.NDArray[np.float64]:
    """Return bilinear noise with `cells` nodes a side, float64 (224, 224), standard deviation near 1."""
    nodes = rng.standard_normal((cells + 1, cells + 1))
    position = np.linspace(0, cells - 1e-9, IMAGE_SIZE)
    base, part = position.astype(int), position % 1
    rows = nodes[base] * (1 - part)[:, None] + nodes[base + 1] * part[:, None]
    noise: npt.NDArray[np.float64] = rows[:, base] * (1 - part) + rows[:, base + 1] * part
    return noise


def _spot(
    rng: np.random.Generator, row: npt.NDArray[np.float64], column: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    centre_row, centre_column = rng.uniform(0.4, 0.9), rng.uniform(-0.5, 0.5)
    radius, height = rng.uniform(0.01, 0.05), rng.uniform(60, 220)
    squared = (row - centre_row) ** 2 + ((column - centre_column) / 2) ** 2
    spot: npt.NDArray[np.float64] = height * np.exp(-squared / (2 * radius**2))
    return spot
