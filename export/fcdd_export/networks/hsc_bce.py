"""HSC and BCE: the two classifying networks, which Grad-CAM explains."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from fcdd_export.networks.grad_cam import CLASSIFIER_GRID, BceHead, GradCamHead, HscHead
from fcdd_export.networks.layers import TRUNK_CONVOLUTIONS, VGG_WIDTHS, flattened, vgg_layers
from fcdd_export.networks.published import PublishedNetwork
from fcdd_export.networks.served import ServedNetwork


class HscNetwork(PublishedNetwork):
    """Published `CNN224_CROP`: z (N, 512), the mean over 7 x 7 maxima of the trunk's features.

    Its state dict lists the trunk three times, and two layers behind the cut that nothing uses.
    """

    receptive_field = (8, 62, 3.5)
    objectives = ("hsc",)
    map_kind = "grad_cam"

    def __init__(self, bias: bool = True) -> None:
        super().__init__(bias)
        self.core = nn.Sequential(*vgg_layers(8))
        self.features = self.core[: len(vgg_layers(TRUNK_CONVOLUTIONS))]
        self.features_n = nn.Sequential(self.features, nn.MaxPool2d(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        """Return z."""
        return cast(Tensor, self.features_n(image))

    def served(self, objective: str, mean: Sequence[float], std: Sequence[float]) -> "ServedClassifier":
        """Build the form that is served."""
        return ServedClassifier(self.features, HscHead(), mean, std)


class BceNetwork(HscNetwork):
    """Published `VGG_BCE_CROP`: the logit (N, 1) of "anomalous"."""

    objectives = ("bce",)

    def __init__(self, bias: bool = True) -> None:
        super().__init__(bias)
        grid = CLASSIFIER_GRID
        self.features_n = nn.Sequential(self.features, nn.MaxPool2d(2, 2), nn.AdaptiveAvgPool2d(grid), nn.Flatten(1))
        self.lin = nn.Linear(VGG_WIDTHS[-1] * grid * grid, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit."""
        return cast(Tensor, self.lin(self.features_n(image)))

    def served(self, objective: str, mean: Sequence[float], std: Sequence[float]) -> "ServedClassifier":
        """Build the form that is served."""
        return ServedClassifier(self.features, BceHead(self.lin), mean, std)


NETWORKS: dict[str, type[PublishedNetwork]] = {"CNN224_CROP": HscNetwork, "VGG_BCE_CROP": BceNetwork}


class ServedClassifier(ServedNetwork):
    """The network's last module answers the score, and Grad-CAM for a map."""

    cuts_below_zero = True

    def __init__(self, features: nn.Module, head: GradCamHead, mean: Sequence[float], std: Sequence[float]):
        super().__init__(mean, std)
        self.trunk = self.folded_trunk(flattened(features))
        self.last = head
        self.eval().requires_grad_(False)

    def forward(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and Grad-CAM of images."""
        score, anomaly_map = self.last(self.trunk(self.normalised(mip)))
        return score, anomaly_map

    def uncut(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and Grad-CAM of images before what is below 0 is cut off."""
        (mip,) = images
        return self.last.uncut(self.trunk(self.normalised(mip)))
