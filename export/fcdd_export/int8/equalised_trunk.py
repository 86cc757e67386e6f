"""A trunk whose channels share one range: what one INT8 scale a tensor can hold.

One scale a tensor must hold the quiet channels of normal tissue and the loud ones of an anomaly. ReLU, leaky ReLU and
max-pooling commute with a positive factor, so every channel is divided by its own largest value, and the weights that
read it are multiplied by it (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
2019; there without images). In FP32 that changes nothing; in INT8 each channel uses all steps of the one scale.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fcdd_export.int8.ranges import CHUNK, SMALLEST, Activations, Ranges, Scale, following, scale_of

QUIETEST = 1e-3
"""A channel's factor is at least this share of the largest one's, so that a dead channel is not blown up."""


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
        blocks[index] = Block(layer, following(trunk, index), weight, layer.bias / factors, scale)
        scale = scale_of(ranges[index] / factors, activations)
    assert scale is not None
    return EqualisedTrunk(blocks, max(ranges) + len(following(trunk, max(ranges))), factors, scale)
