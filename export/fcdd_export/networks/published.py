"""What every network of the published training code says of itself; each family has a file of its own."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import nn

from fcdd_export.networks.served import ServedNetwork


class PublishedNetwork(nn.Module):
    """A network with the entry names and outputs of the published class, so that a state dict loads as it is.

    All take float32 (N, 3, 224, 224), normalised.

    Parameters
    ----------
    bias : the training option of that name: False leaves biases and batch norm's affine parameters out of the small
        networks; the published VGG networks exist with biases only
    """

    receptive_field: ClassVar[tuple[int, int, float]]
    """Jump, extent and shift of one map cell's receptive field, image pixels."""
    objectives: ClassVar[tuple[str, ...]] = ("fcdd",)
    """Training objectives that the published code pairs with this network."""
    inputs: ClassVar[tuple[str, ...]] = ("mip",)
    """Names of the images that the network takes, in order."""
    map_kind: ClassVar[Literal["fcdd", "grad_cam"]] = "fcdd"
    """As in the contract."""

    def __init__(self, bias: bool = True):
        super().__init__()

    def served(self, objective: str, mean: Sequence[float], std: Sequence[float]) -> ServedNetwork:
        """Build the form that is served.

        Parameters
        ----------
        objective : what the network was trained for; one of `objectives`
        mean, std : statistics of the training normals' pixels (0..1), one number an RGB channel
        """
        raise NotImplementedError
