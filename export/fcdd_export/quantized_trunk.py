"""A trunk's weights and activation ranges in INT8, layer by layer on calibration images.

One scale a tensor must hold the quiet channels of normal tissue and the loud ones of an anomaly. Three steps make
it do so, all of them exact in FP32 or a change of biases:

- Equalisation (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019): ReLU,
  leaky ReLU and max-pooling commute with a positive factor, so every channel is divided by its own largest value, and
  the weights that read it are multiplied by it. Then each channel uses all steps of the one scale. Nothing is clipped.
- Bias correction (same source): rounding shifts each channel's mean; the shift, measured on normal images behind the
  layers already quantised, is taken back.
- The last convolution, which stays FP32, is fitted to the quantised features (`last_layer.py`).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activations = Literal["u8", "s8"]
"""`u8`: unsigned, with a zero point, for CPUs. `s8`: symmetric around 0, for TensorRT."""

CHUNK = 4
WEIGHT_LEVELS = {"u8": 63, "s8": 127}
"""Largest weight code. On x86 without VNNI two products of u8 and s8 are summed in 16 bits, which 8-bit weights
overflow: the same file would give other numbers there. 7-bit weights cannot."""
QUIETEST = 1e-3
"""A channel's factor is at least this share of the largest one's, so that a dead channel is not blown up."""
SMALLEST = 1e-20
"""Stands for the range of a tensor that is 0 everywhere."""
HEADROOM = 1.25
"""Scales reach so much further than the calibration images: what a scale clips is an anomaly."""
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
class TrunkCalibration:
    """What a trunk is quantised with."""

    images: Tensor
    """Normalised, float32 (N, C, 224, 224)."""
    plain: int
    """So many images, the first ones, have no spots drawn into them: biases are corrected on these."""
    scale: Scale | None
    """Of the images; None: the first convolution stays as it is."""
    activations: Activations
    equalise_features: bool
    """Whether the layer behind the trunk can take the factors."""


@dataclass(frozen=True)
class QuantizedConvolution:
    """What replaces a convolution of the trunk."""

    weight: Tensor
    """float32 (outputs, inputs, rows, columns); in INT8 on the grid of `weight_steps`."""
    bias: Tensor
    """float32 (outputs,)."""
    weight_steps: Tensor | None
    """float32 (outputs,); None: the convolution is not in INT8."""
    input_scale: Scale | None
    """None: the convolution is not in INT8."""


@dataclass(frozen=True)
class QuantizedTrunk:
    """A trunk in INT8, and what it answers for the calibration images."""

    convolutions: dict[int, QuantizedConvolution]
    """By the module's index in the trunk."""
    end: int
    """Index of the module that answers the last convolution's features, after its activation and pooling."""
    factors: Tensor
    """float32 (channels,): the features are the published ones divided by these."""
    scale: Scale
    """Of the features."""
    features: Tensor
    """float32 (N, channels, rows, columns): what FP32 answers, divided by `factors`."""
    rounded: Tensor
    """What the quantised trunk answers, not rounded itself."""


def quantized_trunk(trunk: nn.Sequential, calibration: TrunkCalibration, kept: frozenset[int]) -> QuantizedTrunk:
    """Quantise the convolutions of a trunk, from the first to the last.

    Parameters
    ----------
    trunk : convolutions with homogeneous layers in between; what may follow them is left alone
    kept : indices of convolutions that stay as they are
    """
    last = max(index for index, layer in enumerate(trunk) if isinstance(layer, nn.Conv2d))
    images = calibration.images.contiguous(memory_format=torch.channels_last)
    stage = _Stage(images, images, torch.ones(images.shape[1]), calibration.scale)
    convolutions: dict[int, QuantizedConvolution] = {}
    for index in range(last + 1):
        if isinstance(trunk[index], nn.Conv2d):
            scale = None if index in kept else stage.scale
            block = _Block.of(trunk, index, stage.factors)
            equalise = calibration.equalise_features or index != last
            convolutions[index], stage = _next_stage(block, stage, scale, calibration, equalise)
    assert stage.scale is not None
    end = last + len(_following(list(trunk), last))
    return QuantizedTrunk(convolutions, end, stage.factors, stage.scale, stage.exact, stage.rounded)


@dataclass(frozen=True)
class _Stage:
    """Where the calibration images are: between a convolution's pooling and the next convolution."""

    exact: Tensor
    """What FP32 answers, divided by `factors`."""
    rounded: Tensor
    """What the quantised layers so far answer, not rounded itself."""
    factors: Tensor
    """float32 (channels,)."""
    scale: Scale | None


@dataclass(frozen=True)
class _Block:
    """A convolution and the homogeneous layers behind it."""

    convolution: nn.Conv2d
    weight: Tensor
    """Multiplied by the factors of its inputs."""
    bias: Tensor
    following: list[nn.Module]

    @classmethod
    def of(cls, trunk: nn.Sequential, index: int, factors: Tensor) -> "_Block":
        layer = trunk[index]
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        return cls(layer, layer.weight * factors[:, None, None], layer.bias, _following(list(trunk), index))

    def pooled(self, inputs: Tensor, made: QuantizedConvolution) -> tuple[Tensor, Tensor]:
        """Convolve and pool, a few images at a time: before pooling they are large.

        Returns
        -------
        the answer before the activation, and its mean over each image before pooling, float32 (N, channels)
        """
        parts = [self._pooled_chunk(chunk, made) for chunk in torch.split(inputs, CHUNK)]
        return torch.cat([values for values, _ in parts]), torch.cat([means for _, means in parts])

    def activated(self, values: Tensor) -> Tensor:
        for layer in self.following:
            values = values if isinstance(layer, nn.MaxPool2d) else layer(values)
        return values

    def _pooled_chunk(self, chunk: Tensor, made: QuantizedConvolution) -> tuple[Tensor, Tensor]:
        taken = chunk if made.input_scale is None else made.input_scale.rounded(chunk)
        layer, weight = self.convolution, made.weight.contiguous(memory_format=torch.channels_last)
        answer = functional.conv2d(taken, weight, made.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        means = answer.mean((2, 3))
        for pooling in self.following:
            answer = pooling(answer) if isinstance(pooling, nn.MaxPool2d) else answer
        return answer, means


def _next_stage(
    block: _Block, stage: _Stage, scale: Scale | None, calibration: TrunkCalibration, equalise: bool
) -> tuple[QuantizedConvolution, _Stage]:
    """Quantise one convolution and carry the images through it."""
    made = _quantized(block, scale, calibration.activations)
    exact, exact_means = block.pooled(stage.exact, QuantizedConvolution(block.weight, block.bias, None, None))
    rounded, rounded_means = block.pooled(stage.rounded, made)
    shift = (exact_means - rounded_means)[: calibration.plain].mean(0)
    # Pooling came first: it commutes with a shift of the channel and with a rising activation.
    exact, rounded = block.activated(exact), block.activated(rounded.add_(shift[:, None, None]))
    factors = _factors(exact) if equalise else torch.ones(exact.shape[1])
    exact, rounded = exact / factors[:, None, None], rounded / factors[:, None, None]
    return _divided(made, shift, factors), _Stage(exact, rounded, factors, scale_of(exact, calibration.activations))


def scale_of(values: Tensor, activations: Activations) -> Scale:
    """Return the scale that holds all values and some headroom, and 0 exactly."""
    low, high = HEADROOM * min(float(values.min()), 0.0), HEADROOM * max(float(values.max()), SMALLEST)
    if activations == "s8":
        return Scale(max(-low, high) / 127, 0, -128, 127)
    step = (high - low) / 255
    return Scale(step, round(-low / step), 0, 255)


def _quantized(block: _Block, scale: Scale | None, activations: Activations) -> QuantizedConvolution:
    """Round a convolution's weights, each output channel on its own grid."""
    if scale is None:
        return QuantizedConvolution(block.weight, block.bias, None, None)
    levels = WEIGHT_LEVELS[activations]
    steps = block.weight.abs().amax((1, 2, 3)).clamp(min=SMALLEST) / levels
    grid = steps[:, None, None, None]
    return QuantizedConvolution(torch.round(block.weight / grid) * grid, block.bias, steps, scale)


def _following(layers: list[nn.Module], index: int) -> list[nn.Module]:
    """Return the homogeneous layers behind a convolution."""
    following: list[nn.Module] = []
    for layer in layers[index + 1 :]:
        if not isinstance(layer, HOMOGENEOUS):
            break
        following.append(layer)
    return following


def _factors(values: Tensor) -> Tensor:
    """Return the largest absolute value of every channel, above 0."""
    largest = values.abs().amax((0, 2, 3)).clamp(min=SMALLEST)
    return largest.maximum(QUIETEST * largest.max())


def _divided(made: QuantizedConvolution, shift: Tensor, factors: Tensor) -> QuantizedConvolution:
    """Return the convolution with its bias corrected and its answers divided by the factors."""
    steps = None if made.weight_steps is None else made.weight_steps / factors
    weight = made.weight / factors[:, None, None, None]
    return QuantizedConvolution(weight, (made.bias + shift) / factors, steps, made.input_scale)
