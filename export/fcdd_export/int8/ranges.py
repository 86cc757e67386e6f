"""How the ranges of INT8 are found, and the scale that holds a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Activations = Literal["u8", "s8"]
"""`u8`: unsigned, with a zero point, for CPUs. `s8`: symmetric around 0, for TensorRT."""

CHUNK = 4
SMALLEST = 1e-20
"""Stands for the range of a tensor that is 0 everywhere."""
HEADROOM = {"u8": 1.25, "s8": 1.1}
"""Scales reach so much further than the images that ranges come from: what a scale clips is an anomaly. `s8` has half
the steps for what is above 0, and needs them for the order of normal scores."""
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d)
"""f(r x) = r f(x) for r > 0, channel by channel."""


@dataclass(frozen=True)
class Scale:
    """Codes of a tensor: value = (code - zero_point) * step."""

    step: float
    zero_point: int
    lowest: int
    """Smallest code."""
    highest: int

    def rounded(self, values: Tensor) -> Tensor:
        """Return the values that the codes stand for."""
        codes = torch.round(values / self.step) + self.zero_point
        return (codes.clamp(self.lowest, self.highest) - self.zero_point) * self.step


Ranges = Mapping[int, Tensor]
"""By a convolution's index: smallest and largest value of every channel after activation and pooling, float32
(2, channels)."""


def channel_ranges(trunk: nn.Sequential, images: Tensor) -> Ranges:
    """Return the ranges of the published trunk's channels over all images, float32 (N, C, rows, columns)."""
    first, *others = torch.split(images, CHUNK)
    ranges = _ranges_of_chunk(trunk, first)
    for chunk in others:
        for index, (low, high) in _ranges_of_chunk(trunk, chunk).items():
            ranges[index] = torch.stack((ranges[index][0].minimum(low), ranges[index][1].maximum(high)))
    return ranges


def scale_of(values: Tensor, activations: Activations) -> Scale:
    """Return the scale that holds all values and some headroom, and 0 exactly."""
    room = HEADROOM[activations]
    low, high = room * min(float(values.min()), 0.0), room * max(float(values.max()), SMALLEST)
    if activations == "s8":
        return Scale(max(-low, high) / 127, 0, -128, 127)
    step = (high - low) / 255
    return Scale(step, round(-low / step), 0, 255)


def _ranges_of_chunk(trunk: nn.Sequential, values: Tensor) -> dict[int, Tensor]:
    convolutions = [index for index, layer in enumerate(trunk) if isinstance(layer, nn.Conv2d)]
    ends = {index + len(following(trunk, index)): index for index in convolutions}
    ranges: dict[int, Tensor] = {}
    for index in range(max(ends) + 1):
        values = trunk[index](values)
        if index in ends:
            ranges[ends[index]] = torch.stack((values.amin((0, 2, 3)), values.amax((0, 2, 3))))
    return ranges


def following(trunk: nn.Sequential, index: int) -> list[nn.Module]:
    """Return the homogeneous layers behind a convolution."""
    following: list[nn.Module] = []
    for layer in list(trunk)[index + 1 :]:
        if not isinstance(layer, HOMOGENEOUS):
            break
        following.append(layer)
    return following
