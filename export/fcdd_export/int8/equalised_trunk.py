"""A trunk whose channels share one range: what one INT8 scale a tensor can hold.

One scale a tensor must hold the quiet channels of normal tissue and the loud ones of an anomaly. ReLU, leaky ReLU and
max-pooling commute with a positive factor, so every channel is divided by its own largest value, and the weights that
read it are multiplied by it (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
2019; there without images). In FP32 that changes nothing; in INT8 each channel uses all steps of the one scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activations = Literal["u8", "s8"]
"""`u8`: unsigned, with a zero point, for CPUs. `s8`: symmetric around 0, for TensorRT."""

CHUNK = 4
QUIETEST = 1e-3
"""A channel's factor is at least this share of the largest one's, so that a dead channel is not blown up."""
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


@dataclass(frozen=True)
class Block:
    """A convolution of the trunk, equalised, and the homogeneous layers behind it."""

    convolution: nn.Conv2d
    """As published: its geometry counts."""
    following: list[nn.Module]
    weight: Tensor
    """float32 (outputs, inputs, rows, columns): multiplied by the factors of its inputs, divided by its outputs'."""
    bias: Tensor
    """float32 (outputs,): divided by the factors of the outputs."""
    input_scale: Scale | None
    """None: the convolution cannot be in INT8."""

    def pooled(self, inputs: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve and pool, a few images at a time: before pooling they are large.

        Returns
        -------
        the answer before the activation, and its mean over each image before pooling, float32 (N, channels)
        """
        weight = weight.contiguous(memory_format=torch.channels_last)
        layer, pooled, means = self.convolution, [], []
        for chunk in torch.split(inputs, CHUNK):
            answer = functional.conv2d(chunk, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
            means.append(answer.mean((2, 3)))
            for pooling in self.following:
                answer = pooling(answer) if isinstance(pooling, nn.MaxPool2d) else answer
            pooled.append(answer)
        return torch.cat(pooled), torch.cat(means)

    def activated(self, values: Tensor) -> Tensor:
        """Apply the activation alone. Pooling came first: it commutes with a rising activation."""
        for layer in self.following:
            values = values if isinstance(layer, nn.MaxPool2d) else layer(values)
        return values

    def patches(self, image: Tensor) -> Tensor:
        """Return what the weights are multiplied with for every cell, float32 (cells, inputs * rows * columns).

        Parameters
        ----------
        image : float32 (inputs, rows, columns)
        """
        layer = self.convolution
        assert not isinstance(layer.padding, str)
        columns = functional.unfold(image[None], layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return columns[0].T


@dataclass(frozen=True)
class EqualisedTrunk:
    """A trunk that answers the published features divided by `factors`."""

    blocks: dict[int, Block]
    """By the convolution's index in the trunk."""
    end: int
    """Index of the module that answers the features: the last convolution's activation or pooling."""
    factors: Tensor
    """float32 (channels,)."""
    scale: Scale
    """Of the features."""


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


def equalised_trunk(
    trunk: nn.Sequential, ranges: Ranges, image_scale: Scale | None, activations: Activations, *, with_features: bool
) -> EqualisedTrunk:
    """Divide every channel by its range.

    Parameters
    ----------
    trunk : convolutions with homogeneous layers in between; what may follow them is left alone
    image_scale : of the images; None: the first convolution stays out of INT8
    with_features : whether the layer behind the trunk can take the factors
    """
    blocks: dict[int, Block] = {}
    scale, factors = image_scale, torch.ones(1)
    for index in ranges:
        given = factors
        features = index == max(ranges)
        if with_features or not features:
            # The largest absolute value of every channel, above 0.
            largest = ranges[index].abs().amax(0).clamp(min=SMALLEST)
            factors = largest.maximum(QUIETEST * largest.max())
        else:
            factors = torch.ones(ranges[index].shape[1])
        layer = trunk[index]
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        weight = layer.weight * given[:, None, None] / factors[:, None, None, None]
        blocks[index] = Block(layer, _following(trunk, index), weight, layer.bias / factors, scale)
        scale = scale_of(ranges[index] / factors, activations)
    assert scale is not None
    return EqualisedTrunk(blocks, max(ranges) + len(_following(trunk, max(ranges))), factors, scale)


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
    ends = {index + len(_following(trunk, index)): index for index in convolutions}
    ranges: dict[int, Tensor] = {}
    for index in range(max(ends) + 1):
        values = trunk[index](values)
        if index in ends:
            ranges[ends[index]] = torch.stack((values.amin((0, 2, 3)), values.amax((0, 2, 3))))
    return ranges


def _following(trunk: nn.Sequential, index: int) -> list[nn.Module]:
    """Return the homogeneous layers behind a convolution."""
    following: list[nn.Module] = []
    for layer in list(trunk)[index + 1 :]:
        if not isinstance(layer, HOMOGENEOUS):
            break
        following.append(layer)
    return following
