"""A trunk's convolutions in INT8: weights on their grids, and biases that take back what rounding shifts.

Three things make INT8 hold normal tissue and an anomaly at once: channels of one range (`equalised_trunk.py`), weights
whose rounding errors cancel (`rounding.py`), and here bias correction (Nagel et al. 2019): rounding shifts each
channel's mean; the shift, measured on normal images behind the layers already quantised, is taken back. The last
convolution, which stays FP32, is then fitted to the quantised features (`last_layer.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fcdd_export.int8.equalised_trunk import EqualisedTrunk
from fcdd_export.int8.ranges import SMALLEST, Activations, Scale
from fcdd_export.int8.rounding import rounded_weight

WEIGHT_LEVELS = {"u8": 63, "s8": 127}
"""Largest weight code. On x86 without VNNI two products of u8 and s8 are summed in 16 bits, which 8-bit weights
overflow: the same file would give other numbers there. 7-bit weights cannot."""
ROUNDING_IMAGES, ROUNDING_CELLS = 16, 8192
"""Weights are rounded for so many cells in all, drawn evenly from so many images."""


@dataclass(frozen=True)
class RoundedWeight:
    """A convolution's weight in INT8."""

    values: Tensor
    """float32 (outputs, inputs, rows, columns), whole multiples of `steps`."""
    steps: Tensor
    """float32 (outputs,)."""


@dataclass(frozen=True)
class ExactAnswers:
    """What an equalised trunk answers in FP32 for the calibration images."""

    means: dict[int, Tensor]
    """By the convolution's index: mean over each image before activation and pooling, float32 (N, channels)."""
    features: Tensor
    """float32 (N, channels, rows, columns)."""


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


def rounded_weights(trunk: EqualisedTrunk, images: Tensor, activations: Activations) -> dict[int, RoundedWeight]:
    """Round the weights of all convolutions that can be in INT8, by their index.

    Parameters
    ----------
    images : normalised, float32 (N, C, 224, 224)
    """
    levels = WEIGHT_LEVELS[activations]
    values = images[:: max(1, len(images) // ROUNDING_IMAGES)]
    rounded: dict[int, RoundedWeight] = {}
    for index, block in trunk.blocks.items():
        if block.input_scale is not None:
            steps = block.weight.abs().amax((1, 2, 3)).clamp(min=SMALLEST) / levels
            cells = []
            for image in block.input_scale.rounded(values):
                patches = block.patches(image)
                count = min(ROUNDING_CELLS // len(values), len(patches))
                cells.append(patches[torch.linspace(0, len(patches) - 1, count).long()])
            rounded[index] = RoundedWeight(rounded_weight(block.weight, steps, levels, torch.cat(cells)), steps)
        values = block.activated(block.pooled(values, block.weight, block.bias)[0])
    return rounded


def exact_answers(trunk: EqualisedTrunk, images: Tensor) -> ExactAnswers:
    """Run the equalised trunk in FP32."""
    values, means = images.contiguous(memory_format=torch.channels_last), {}
    for index, block in trunk.blocks.items():
        values, means[index] = block.pooled(values, block.weight, block.bias)
        values = block.activated(values)
    return ExactAnswers(means, values)


def quantized_trunk(
    trunk: EqualisedTrunk, weights: Mapping[int, RoundedWeight], images: Tensor, exact: ExactAnswers, plain: int
) -> QuantizedTrunk:
    """Quantise the convolutions that have rounded weights, from the first to the last.

    Parameters
    ----------
    images : normalised, float32 (N, C, 224, 224)
    exact : what FP32 answers for them
    plain : so many images, the first ones, have no spots drawn into them: biases are corrected on these
    """
    rounded = images.contiguous(memory_format=torch.channels_last)
    convolutions: dict[int, QuantizedConvolution] = {}
    for index, block in trunk.blocks.items():
        made = weights.get(index)
        weight, steps = (block.weight, None) if made is None else (made.values, made.steps)
        scale = None if made is None else block.input_scale
        rounded, means = block.pooled(rounded if scale is None else scale.rounded(rounded), weight, block.bias)
        shift = (exact.means[index] - means)[:plain].mean(0)
        rounded = block.activated(rounded.add_(shift[:, None, None]))
        convolutions[index] = QuantizedConvolution(weight, block.bias + shift, steps, scale)
    return QuantizedTrunk(convolutions, trunk.end, trunk.factors, trunk.scale, exact.features, rounded)
