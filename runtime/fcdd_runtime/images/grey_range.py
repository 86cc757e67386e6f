"""Whether an image looks like those that a model was verified on, by its grey values alone.

A wrong window, an inverted image or a field of view that is mostly air give a score like any other. What drawn and
published-style images show: of images like those that the range was made of, none is unlike (0 of 120 and 0 of 64), nor
of phantom studies with noise, drift or motion (0 of 60; widened by a quarter 2). All inverted ones are; those at a
quarter of their grey are where the range is narrow (120 of 120), and hardly where it is wide (3 %).
"""

from collections.abc import Sequence

import numpy as np

from fcdd_runtime.contract import GreyRange
from fcdd_runtime.images.network_input import GreyImage

BLACK, WHITE = 12, 243
"""Grey values up to which, and from which, a pixel shows nothing: 0..255."""
MIN_IMAGES = 20
"""Fewer say little about the next one."""
WIDENED = 0.5
"""Share of a range by which it is widened on either side: the next image may lie a little beyond."""


def grey_range(images: Sequence[GreyImage]) -> GreyRange | None:
    """Describe images, uint8 (rows, columns); None if they are too few."""
    if len(images) < MIN_IMAGES:
        return None
    values = np.array([_statistics(image) for image in images])
    low, high = values.min(axis=0), values.max(axis=0)
    low, high = np.clip(low - WIDENED * (high - low), 0, 1), np.clip(high + WIDENED * (high - low), 0, 1)
    black, white, mean = ((round(float(a), 4), round(float(b), 4)) for a, b in zip(low, high, strict=True))
    return GreyRange(len(images), black, white, mean)


def unlike_verified(image: GreyImage, usual: GreyRange) -> str:
    """Say in which way an image, uint8 (rows, columns), is unlike those of a range, as a clause; empty if it is not."""
    black, white, mean = _statistics(image)
    for value, (low, high), words in (
        (black, usual.black, "of it are black"),
        (white, usual.white, "of it are white"),
        (mean, usual.mean, "of white is its mean grey"),
    ):
        if not low - 5e-5 <= value <= high + 5e-5:
            return f"{value:.1%} {words}, {low:.1%} to {high:.1%} there"
    return ""


def _statistics(image: GreyImage) -> tuple[float, float, float]:
    return float((image <= BLACK).mean()), float((image >= WHITE).mean()), float(image.mean() / 255)
