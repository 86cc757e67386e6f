"""The networks of the published training code, with its entry names, so that a state dict loads as it is."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, cast

from torch import Tensor, nn

from fcdd_export.networks.grad_cam import CLASSIFIER_GRID
from fcdd_export.networks.layers import VGG_WIDTHS, cnn_layers, vgg_layers
from fcdd_runtime.contract import Upsampling

IMAGE_SIZE = 224
MAP_SHAPE = (28, 28)

TRUNK_CONVOLUTIONS = 6
"""Convolutions of VGG11 in front of the published cut."""
REFERENCE_CHANNELS = 128
"""Values that the two networks of FCDD_REF compare at every map cell."""
HIDDEN = 4096
"""Width of VGG11's two hidden linear layers."""


@dataclass(frozen=True)
class NetworkSpec:
    """What has to be known of a published network beside its weights."""

    trunk: Literal["vgg", "cnn"]
    """`vgg`: VGG11-BN cut after the sixth convolution; `cnn`: the published small trunk."""
    widths: tuple[int, ...]
    """Output channels of the trunk's convolutions, in order."""
    receptive_field: tuple[int, int, float]
    """Jump, extent and shift of one map cell's receptive field, image pixels."""
    objectives: tuple[str, ...] = ("fcdd",)
    """Training objectives that the published code pairs with this network."""
    inputs: tuple[str, ...] = ("mip",)
    """Names of the images that the network takes, in order."""
    map_kind: Literal["fcdd", "grad_cam"] = "fcdd"
    """As in the contract."""


_VGG = NetworkSpec("vgg", VGG_WIDTHS[:TRUNK_CONVOLUTIONS], (8, 62, 3.5))

NETWORKS: dict[str, NetworkSpec] = {
    **dict.fromkeys(("FCDD_CNN224_VGG_NOPT", "FCDD_CNN224_VGG", "FCDD_CNN224_VGG_F"), _VGG),
    "FCDD_CNN224": NetworkSpec("cnn", (8, 32, 64, 128, 128), (8, 59, 0.0)),
    "FCDD_CNN224_W": NetworkSpec("cnn", (32, 128, 256, 256, 128), (8, 59, 0.0)),
    "FCDD_REF_CNN224_VGG_NOPT": replace(
        _VGG, objectives=("fcddrefs", "fcddrefs_symmetric"), inputs=("mip", "reference")
    ),
    "CNN224_CROP": replace(_VGG, objectives=("hsc",), map_kind="grad_cam"),
    "VGG_BCE_CROP": replace(_VGG, objectives=("bce",), map_kind="grad_cam"),
}
"""The published networks that we take, by class name. All take 224 x 224 pixels and answer a 28 x 28 map."""


def upsampling_of(net: str, std: float) -> Upsampling:
    """Return the heatmap upsampling of a published network; `std` in image pixels."""
    jump, extent, shift = NETWORKS[net].receptive_field
    return Upsampling(jump=jump, extent=extent, shift=shift, std=std)


def published_network(net: str, bias: bool = True) -> nn.Module:
    """Build a published network, with the entry names and the outputs of the published class.

    All take float32 (N, 3, 224, 224), normalised. FCDD networks answer (N, 1, 28, 28), before the norm; the others
    say so at their class.

    Parameters
    ----------
    net : a key of `NETWORKS`
    bias : the training option of that name: False leaves biases and batch norm's affine parameters out of the small
        networks; the published VGG networks exist with biases only
    """
    classes: dict[str, Callable[[], nn.Module]] = {
        "FCDD_REF_CNN224_VGG_NOPT": FcddRefNetwork,
        "CNN224_CROP": HscNetwork,
        "VGG_BCE_CROP": BceNetwork,
    }
    return classes[net]() if net in classes else fcdd_network(net, bias)


def fcdd_network(net: str, bias: bool = True) -> nn.Sequential:
    """Build a published FCDD network; its last layer makes the map of the trunk's features."""
    spec = NETWORKS[net]
    if spec.trunk == "vgg":
        return _vgg_with_map(1)
    final = nn.Conv2d(spec.widths[-1], 1, 1, bias=bias)
    return nn.Sequential(OrderedDict(cnn_layers(spec.widths, bias), conv_final=final))


class HscNetwork(nn.Module):
    """Published `CNN224_CROP`: z (N, 512), the mean over 7 x 7 maxima of the trunk's features.

    Its state dict lists the trunk three times, and two layers behind the cut that nothing uses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Sequential(*vgg_layers(8))
        self.features = self.core[: len(vgg_layers(TRUNK_CONVOLUTIONS))]
        self.features_n = nn.Sequential(self.features, nn.MaxPool2d(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        """Return z."""
        return cast(Tensor, self.features_n(image))


class BceNetwork(HscNetwork):
    """Published `VGG_BCE_CROP`: the logit (N, 1) of "anomalous"."""

    def __init__(self) -> None:
        super().__init__()
        grid = CLASSIFIER_GRID
        self.features_n = nn.Sequential(self.features, nn.MaxPool2d(2, 2), nn.AdaptiveAvgPool2d(grid), nn.Flatten(1))
        self.lin = nn.Linear(VGG_WIDTHS[-1] * grid * grid, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit."""
        return cast(Tensor, self.lin(self.features_n(image)))


class FcddRefNetwork(nn.Module):
    """Published `FCDD_REF_CNN224_VGG_NOPT`: two networks that both see an image x and its reference r.

    `model`, F: an FCDD network with 128 output channels (N, 128, 28, 28). `ref_model`, R: a whole VGG11-BN whose last
    layer is replaced by one of 128 values (N, 128).
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = _vgg_with_map(REFERENCE_CHANNELS)
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


def _vgg_with_map(channels: int) -> nn.Sequential:
    features = nn.Sequential(*vgg_layers(TRUNK_CONVOLUTIONS))
    final = nn.Conv2d(VGG_WIDTHS[TRUNK_CONVOLUTIONS - 1], channels, 1)
    return nn.Sequential(OrderedDict(features=features, conv_final=final))
