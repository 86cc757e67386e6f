"""Published networks -> the modules that are served: normalisation inside, batch norm folded, grey 8-bit images in.

All answer score float32 (N, 1) and map float32 (N, 1, 28, 28). What lies before a trunk's exit may run in another
precision; from there on everything is FP32.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fcdd_export.networks.grad_cam import BceHead, GradCamHead, HscHead
from fcdd_export.networks.layers import flattened, folded, summed_over_inputs
from fcdd_export.networks.published import (
    IMAGE_SIZE,
    MAP_SHAPE,
    NETWORKS,
    BceNetwork,
    FcddRefNetwork,
    HscNetwork,
    NetworkSpec,
    fcdd_network,
    published_network,
    upsampling_of,
)

__all__ = [
    "IMAGE_SIZE",
    "MAP_SHAPE",
    "NETWORKS",
    "GradCamNetwork",
    "NetworkSpec",
    "ServedNetwork",
    "ServedReferenceNetwork",
    "fcdd_network",
    "pseudo_huber",
    "published_network",
    "served_network",
    "upsampling_of",
]


def served_network(
    network: nn.Module, objective: str, mean: Sequence[float], std: Sequence[float]
) -> "ServedNetwork | ServedReferenceNetwork":
    """Build the served form of a published network.

    Parameters
    ----------
    network : as `published_network` builds it
    objective : what it was trained for; decides whether FCDD_REF compares both ways
    mean, std : statistics of the training normals' pixels (0..1), one number an RGB channel
    """
    if isinstance(network, FcddRefNetwork):
        return ServedReferenceNetwork(network, objective == "fcddrefs_symmetric", mean, std)
    if isinstance(network, BceNetwork):
        return GradCamNetwork(nn.Sequential(network.features, BceHead(network.lin)), mean, std)
    if isinstance(network, HscNetwork):
        return GradCamNetwork(nn.Sequential(network.features, HscHead()), mean, std)
    return ServedNetwork(network, mean, std)


class _Normalising(nn.Module):
    """Takes uint8 images (N, 1, 224, 224), 0..255.

    Where mean and std are equal over the channels, as they are for grey images, the first convolution's weights
    are summed over its three inputs: the published loader repeats the grey channel, so the sum is exact.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.channels = 1 if len({*mean}) == len({*std}) == 1 else 3
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            numbers = torch.tensor(values, dtype=torch.float32)
            self.register_buffer(name, numbers[: self.channels].view(1, -1, 1, 1))

    def normalised(self, mip: Tensor) -> Tensor:
        """Return the trunk's input: the published order of operations, so equal to the last bit."""
        return (mip.float() / 255 - self.mean) / self.std

    def _trunk(self, layers: list[nn.Module]) -> nn.Sequential:
        trunk = nn.Sequential(*folded(layers))
        if self.channels == 1:
            trunk[0] = summed_over_inputs(trunk[0])
        return trunk


class ServedNetwork(_Normalising):
    """FCDD: the score is the mean of the map."""

    inputs: tuple[str, ...] = ("mip",)

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__(mean, std)
        *layers, self.last = flattened(network)
        self.trunk = self._trunk(layers)
        self.eval().requires_grad_(False)

    def forward(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and anomaly map of images."""
        return self.head(self.trunk(self.normalised(mip)))

    def head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map of the trunk's features: FP32 in every precision."""
        anomaly_map = pseudo_huber(self.last(features))
        return anomaly_map.mean((2, 3)), anomaly_map


class GradCamNetwork(ServedNetwork):
    """HSC or BCE: the network's last module answers the score, and Grad-CAM for a map."""

    def head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map of the trunk's features: FP32 in every precision."""
        score, anomaly_map = self.last(features)
        return score, anomaly_map

    def uncut(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and Grad-CAM of images before what is below 0 is cut off."""
        head = self.last
        assert isinstance(head, GradCamHead)
        return head.uncut(self.trunk(self.normalised(mip)))


class ServedReferenceNetwork(_Normalising):
    """FCDD_REF: an image x compared with a reference image r.

    With F and R as in `FcddRefNetwork` and h(d) = sqrt(d^2 + 1) - 1, the map at cell p is

        fcddrefs            A(p) = mean over c of h(R(r)_c - F(x)_c(p))
        fcddrefs_symmetric  A(p) = mean over c of h(R(r)_c - F(x)_c(p)) + mean over c of h(R(x)_c - F(r)_c(p))

    and the score is the mean of A (fcdd/training/fcdd_refs.py, `loss` outside of training). In the symmetric form the
    second term belongs to cells of the reference; the published map adds it cell by cell, and so does this one.

    R's hidden linear layers belong to its trunk, its last layer to the head.
    """

    inputs: tuple[str, ...] = ("mip", "reference")

    def __init__(self, network: FcddRefNetwork, symmetric: bool, mean: Sequence[float], std: Sequence[float]):
        super().__init__(mean, std)
        self.symmetric = symmetric
        *layers, self.last = flattened(network.model)
        *reference_layers, self.reference_last = flattened(network.ref_model)
        self.trunk = self._trunk(layers)
        self.reference_trunk = self._trunk(reference_layers)
        self.eval().requires_grad_(False)

    def forward(self, mip: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and anomaly map of images, each with its reference."""
        image, other = self.normalised(mip), self.normalised(reference)
        if not self.symmetric:
            anomaly_map = self._compared(image, other)
        else:
            # Both orders go through each network as one batch: (x, r) of every image, and (r, x).
            both = self._compared(_interleaved(image, other), _interleaved(other, image))
            anomaly_map = both.reshape(-1, 2, *MAP_SHAPE).sum(1, keepdim=True)
        return anomaly_map.mean((2, 3)), anomaly_map

    def _compared(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean over c of h(R(reference)_c - F(image)_c(p)), float32 (N, 1, 28, 28)."""
        expected = self.reference_last(self.reference_trunk(reference))
        found = self.last(self.trunk(image))
        return pseudo_huber(expected[:, :, None, None] - found).mean(1, keepdim=True)


def pseudo_huber(output: Tensor) -> Tensor:
    """Return `sqrt(o^2 + 1) - 1` as `o^2 / (sqrt(o^2 + 1) + 1)`, which keeps its digits where |o| is small."""
    squared = output * output
    return squared / (torch.sqrt(squared + 1) + 1)


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    """Return (2 N, C, rows, columns): the first of `first`, the first of `second`, and so on."""
    return torch.cat((first, second), 1).reshape(-1, *first.shape[1:])
