"""Colour maps of heatmaps and their scale: the default, and the published one. No influence on scores.

The default is a ramp, even to the eye, that also reads in grey and with colour-blind vision: lightness rises from end
to end, so the order of the colours survives without hue. Equal steps in the value are equal distances in CIELAB
(CIE 15:2004), which is what makes the ramp perceptually even.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Scale = Literal["global", "local"]
SCALES: tuple[Scale, ...] = ("global", "local")
"""`global`: the contract's reference range, so that colours compare between exams; `local`: each heatmap's own."""

Colormap = Literal["inferno", "jet"]
"""`inferno`: steps that look even, readable without colour vision; `jet`: the published one, which is neither."""


@dataclass(frozen=True)
class Look:
    """Colours and their scale."""

    colormap: Colormap
    scale: Scale
    """Of written pictures; a report begins with it and offers both."""


DEFAULT_LOOK = Look("inferno", "global")
PUBLISHED_LOOK = Look("jet", "local")
"""As in the published figures: each heatmap on its own scale, up to the contract's display quantile."""

LOOKS: dict[Colormap, Look] = {look.colormap: look for look in (DEFAULT_LOOK, PUBLISHED_LOOK)}

LEVELS = 256

_ANCHORS = ("#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4")
"""Points on the `inferno` colour map of Smith and van der Walt (CC0), without its black end."""

_JET = (
    ((0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)),
    ((0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)),
    ((0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)),
)
"""Corners (value, intensity) of red, green and blue of Matplotlib's map of this name, as in the published figures."""

_XYZ_FROM_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1)."""
_WHITE = _XYZ_FROM_RGB.sum(axis=1)
_CUBE_LIMIT = (6 / 29) ** 3


@cache
def color_table(colormap: Colormap = DEFAULT_LOOK.colormap) -> npt.NDArray[np.uint8]:
    """Return a colour map, coldest colour first: sRGB, uint8 (256, 3), read-only."""
    if colormap == "jet":
        values = np.linspace(0, 1, LEVELS)
        channels = [np.interp(values, *np.array(corners).T) for corners in _JET]
        table: npt.NDArray[np.uint8] = np.rint(255 * np.stack(channels, axis=-1)).astype(np.uint8)
    else:
        anchors = _lab_from_rgb(np.array([list(bytes.fromhex(anchor[1:])) for anchor in _ANCHORS], dtype=np.uint8))
        path = _interpolated(anchors, np.linspace(0, 1, len(anchors)), np.linspace(0, 1, 4 * LEVELS))
        distance = np.concatenate([[0.0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
        table = _rgb_from_lab(_interpolated(path, distance, np.linspace(0, distance[-1], LEVELS)))
    table.setflags(write=False)
    return table


def _lab_from_rgb(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    encoded = rgb / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _XYZ_FROM_RGB.T / _WHITE
    f = np.where(ratio > _CUBE_LIMIT, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _rgb_from_lab(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip((ratio * _WHITE) @ np.linalg.inv(_XYZ_FROM_RGB).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    rgb: npt.NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return rgb


def _interpolated(
    points: npt.NDArray[np.float64], positions: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.stack([np.interp(wanted, positions, column) for column in points.T], axis=-1)
