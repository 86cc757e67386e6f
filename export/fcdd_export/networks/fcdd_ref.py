"""FCDD_REF: an image is compared with a reference image, such as the other breast of the patient."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fcdd_export.networks.grad_cam import CLASSIFIER_GRID
from fcdd_export.networks.layers import TRUNK_CONVOLUTIONS, VGG_WIDTHS, flattened, vgg_layers
from fcdd_export.networks.published import PublishedNetwork
from fcdd_export.networks.served import MAP_SHAPE, ServedNetwork, pseudo_huber

REFERENCE_CHANNELS = 128
"""Values that the two networks compare at every map cell."""
HIDDEN = 4096
"""Width of VGG11's two hidden linear layers."""


class FcddRefNetwork(PublishedNetwork):
    """Published `FCDD_REF_CNN224_VGG_NOPT`: two networks that both see an image x and its reference r.

    `model`, F: an FCDD network with 128 output channels (N, 128, 28, 28). `ref_model`, R: a whole VGG11-BN whose last
    layer is replaced by one of 128 values (N, 128).
    """

    receptive_field = (8, 62, 3.5)
    objectives = ("fcddrefs", "fcddrefs_symmetric")
    inputs = ("mip", "reference")

    def __init__(self, bias: bool = True) -> None:
        super().__init__(bias)
        features = nn.Sequential(*vgg_layers(TRUNK_CONVOLUTIONS))
        final = nn.Conv2d(VGG_WIDTHS[TRUNK_CONVOLUTIONS - 1], REFERENCE_CHANNELS, 1)
        self.model = nn.Sequential(OrderedDict(features=features, conv_final=final))
        classifier = {"0": nn.Linear(VGG_WIDTHS[-1] * CLASSIFIER_GRID**2, HIDDEN), "1": nn.ReLU(), "2": nn.Dropout()}
        classifier |= {"3": nn.Linear(HIDDEN, HIDDEN), "relu": nn.ReLU(), "dropout": nn.Dropout()}
        classifier["fc"] = nn.Linear(HIDDEN, REFERENCE_CHANNELS)
        # Five poolings leave 7 x 7 of 224 x 224 pixels, so that VGG's adaptive pooling to 7 x 7 does nothing.
        vgg = {"features": nn.Sequential(*vgg_layers(8)), "avgpool": nn.Flatten(1)}
        self.ref_model = nn.ModuleDict(
            {"vgg": nn.Sequential(OrderedDict(vgg, classifier=nn.Sequential(OrderedDict(classifier))))}
        )

    def forward(self, image: Tensor, reference: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return (F(x), F(r)) and (R(x), R(r))."""
        vgg = self.ref_model["vgg"]
        return (self.model(image), self.model(reference)), (vgg(image), vgg(reference))

    def served(self, objective: str, mean: Sequence[float], std: Sequence[float]) -> "ServedReferenceNetwork":
        """Build the form that is served; the objective decides whether it compares both ways."""
        return ServedReferenceNetwork(self, objective == "fcddrefs_symmetric", mean, std)


NETWORKS: dict[str, type[PublishedNetwork]] = {"FCDD_REF_CNN224_VGG_NOPT": FcddRefNetwork}


class ServedReferenceNetwork(ServedNetwork):
    """An image x compared with a reference image r.

    With F and R as in `FcddRefNetwork` and h(d) = sqrt(d^2 + 1) - 1, the map at cell p is

        fcddrefs            A(p) = mean over c of h(R(r)_c - F(x)_c(p))
        fcddrefs_symmetric  A(p) = mean over c of h(R(r)_c - F(x)_c(p)) + mean over c of h(R(x)_c - F(r)_c(p))

    and the score is the mean of A (fcdd/training/fcdd_refs.py, `loss` outside of training). In the symmetric form the
    second term belongs to cells of the reference; the published map adds it cell by cell, and so does this one.

    R's hidden linear layers belong to its trunk, its last layer to the head.
    """

    inputs = ("mip", "reference")
    trunks = {"trunk": "last", "reference_trunk": "reference_last"}  # noqa: RUF012  # a ClassVar of the base

    def __init__(self, network: FcddRefNetwork, symmetric: bool, mean: Sequence[float], std: Sequence[float]):
        super().__init__(mean, std)
        self.symmetric = symmetric
        *layers, self.last = flattened(network.model)
        *reference_layers, self.reference_last = flattened(network.ref_model)
        self.trunk = self.folded_trunk(layers)
        self.reference_trunk = self.folded_trunk(reference_layers)
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


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    """Return (2 N, C, rows, columns): the first of `first`, the first of `second`, and so on."""
    return torch.cat((first, second), 1).reshape(-1, *first.shape[1:])
