"""The modules that are served: normalisation inside, batch norm folded, grey 8-bit images in.

All answer score float32 (N, 1) and map float32 (N, 1, 28, 28). What lies before a trunk's exit may run in another
precision; from there on everything is FP32.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fcdd_export.networks.layers import folded, summed_over_inputs

IMAGE_SIZE = 224
"""Side of the image that every network takes, pixels."""
MAP_SHAPE = (28, 28)
"""Of the map that every network answers."""


class ServedNetwork(nn.Module):
    """Takes uint8 images (N, 1, 224, 224), 0..255, and answers score and map.

    Where mean and std are equal over the channels, as they are for grey images, the first convolution's weights
    are summed over its three inputs: the published loader repeats the grey channel, so the sum is exact.
    """

    inputs: ClassVar[tuple[str, ...]] = ("mip",)
    """Names of `forward`'s images, in order."""
    trunks: ClassVar[dict[str, str]] = {"trunk": "last"}
    """What may run in another precision: the submodule's name, which ends in `trunk` -> that of the layer behind it."""
    cuts_below_zero: ClassVar[bool] = False
    """Whether the map is what is above 0 of the map that `uncut` answers."""

    trunk: nn.Sequential

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.channels = 1 if len({*mean}) == len({*std}) == 1 else 3
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            numbers = torch.tensor(values, dtype=torch.float32)
            self.register_buffer(name, numbers[: self.channels].view(1, -1, 1, 1))

    def uncut(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map of images, the map before what is below 0 is cut off, if it is."""
        score, anomaly_map = self(*images)
        return score, anomaly_map

    def normalised(self, mip: Tensor) -> Tensor:
        """Return the trunk's input: the published order of operations, so equal to the last bit."""
        return (mip.float() / 255 - self.mean) / self.std

    def folded_trunk(self, layers: list[nn.Module]) -> nn.Sequential:
        """Return published layers as they are served, for normalised images of `channels` channels."""
        trunk = nn.Sequential(*folded(layers))
        if self.channels == 1:
            trunk[0] = summed_over_inputs(trunk[0])
        return trunk


def pseudo_huber(output: Tensor) -> Tensor:
    """Return `sqrt(o^2 + 1) - 1` as `o^2 / (sqrt(o^2 + 1) + 1)`, which keeps its digits where |o| is small."""
    squared = output * output
    return squared / (torch.sqrt(squared + 1) + 1)
