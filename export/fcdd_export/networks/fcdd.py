"""FCDD: a fully convolutional network whose output, through a pseudo-Huber norm, is the anomaly map."""

from collections.abc import Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from fcdd_export.networks.layers import TRUNK_CONVOLUTIONS, VGG_WIDTHS, cnn_layers, flattened, vgg_layers
from fcdd_export.networks.published import PublishedNetwork
from fcdd_export.networks.served import ServedNetwork, pseudo_huber


class FcddNetwork(PublishedNetwork):
    """Answers (N, 1, 28, 28), before the norm; the last layer makes the map of the trunk's features."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the map before the norm."""
        for layer in self.children():
            image = layer(image)
        return image

    def served(self, objective: str, mean: Sequence[float], std: Sequence[float]) -> "ServedFcdd":
        """Build the form that is served; there is one objective."""
        return ServedFcdd(self, mean, std)


class FcddVggNetwork(FcddNetwork):
    """Published `FCDD_CNN224_VGG` and its variants, which differ in how they were initialised."""

    receptive_field = (8, 62, 3.5)

    def __init__(self, bias: bool = True):
        super().__init__(bias)
        self.features = nn.Sequential(*vgg_layers(TRUNK_CONVOLUTIONS))
        self.conv_final = nn.Conv2d(VGG_WIDTHS[TRUNK_CONVOLUTIONS - 1], 1, 1)


class FcddSmallNetwork(FcddNetwork):
    """Published `FCDD_CNN224`."""

    widths: ClassVar[tuple[int, ...]] = (8, 32, 64, 128, 128)
    """Output channels of the trunk's convolutions, in order."""
    receptive_field = (8, 59, 0.0)

    def __init__(self, bias: bool = True):
        super().__init__(bias)
        for name, layer in cnn_layers(self.widths, bias).items():
            self.add_module(name, layer)
        self.conv_final = nn.Conv2d(self.widths[-1], 1, 1, bias=bias)


class FcddWideNetwork(FcddSmallNetwork):
    """Published `FCDD_CNN224_W`."""

    widths = (32, 128, 256, 256, 128)


NETWORKS: dict[str, type[PublishedNetwork]] = {
    **dict.fromkeys(("FCDD_CNN224_VGG_NOPT", "FCDD_CNN224_VGG", "FCDD_CNN224_VGG_F"), FcddVggNetwork),
    "FCDD_CNN224": FcddSmallNetwork,
    "FCDD_CNN224_W": FcddWideNetwork,
}


class ServedFcdd(ServedNetwork):
    """The score is the mean of the map."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__(mean, std)
        *layers, self.last = flattened(network)
        self.trunk = self.folded_trunk(layers)
        self.eval().requires_grad_(False)

    def forward(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and anomaly map of images."""
        anomaly_map = pseudo_huber(cast(Tensor, self.last(self.trunk(self.normalised(mip)))))
        return anomaly_map.mean((2, 3)), anomaly_map
