"""Snapshot weights -> torch modules: the published network, and the one that is served.

`published_network` has the entry names of the published code, so that its state dict loads as it is.
`ServedNetwork` gives the same score and map from one grey 8-bit channel: normalisation inside, batch norm folded.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fcdd_runtime.contract import Upsampling

IMAGE_SIZE = 224
MAP_SHAPE = (28, 28)


@dataclass(frozen=True)
class NetworkSpec:
    """What has to be known of a published network beside its weights."""

    trunk: str
    """`vgg`: VGG11-BN cut after the sixth convolution; `cnn`: the published small trunk."""
    widths: tuple[int, ...]
    """Output channels of the trunk's convolutions, in order."""
    receptive_field: tuple[int, int, float]
    """Jump, extent and shift of one map cell's receptive field, image pixels."""


NETWORKS: dict[str, NetworkSpec] = {
    **dict.fromkeys(
        ("FCDD_CNN224_VGG_NOPT", "FCDD_CNN224_VGG", "FCDD_CNN224_VGG_F"),
        NetworkSpec("vgg", (64, 128, 256, 256, 512, 512), (8, 62, 3.5)),
    ),
    "FCDD_CNN224": NetworkSpec("cnn", (8, 32, 64, 128, 128), (8, 59, 0.0)),
    "FCDD_CNN224_W": NetworkSpec("cnn", (32, 128, 256, 256, 128), (8, 59, 0.0)),
}
"""The published FCDD networks by class name. All take 224 x 224 pixels and answer a 28 x 28 map."""


def upsampling_of(net: str, std: float) -> Upsampling:
    """Return the heatmap upsampling of a published network; `std` in image pixels."""
    jump, extent, shift = NETWORKS[net].receptive_field
    return Upsampling(jump=jump, extent=extent, shift=shift, std=std)


def published_network(net: str, bias: bool = True) -> nn.Sequential:
    """Build a published network: float32 (N, 3, 224, 224), normalised -> float32 (N, 1, 28, 28), before the norm.

    Parameters
    ----------
    net : a key of `NETWORKS`
    bias : the training option of that name: False leaves biases and batch norm's affine parameters out
    """
    spec = NETWORKS[net]
    trunk = _vgg_trunk(spec.widths) if spec.trunk == "vgg" else _cnn_trunk(spec.widths, bias)
    return nn.Sequential(OrderedDict(**trunk, conv_final=nn.Conv2d(spec.widths[-1], 1, 1, bias=bias)))


class ServedNetwork(nn.Module):
    """The exported computation: uint8 (N, 1, 224, 224) -> score float32 (N, 1), map float32 (N, 1, 28, 28).

    Where mean and std are equal over the channels, as they are for grey images, the first convolution's weights
    are summed over its three inputs: the published loader repeats the grey channel, so the sum is exact.
    """

    def __init__(self, network: nn.Sequential, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.trunk = nn.Sequential(*_folded(list(_flattened(network))[:-1]))
        self.last = list(_flattened(network))[-1]
        if len({*mean}) == len({*std}) == 1:
            self.trunk[0] = _summed_over_inputs(self.trunk[0])
            mean, std = mean[:1], std[:1]
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score (N, 1) and anomaly map (N, 1, 28, 28) of uint8 images (N, 1, 224, 224)."""
        return self.head(self.trunk(self.normalised(mip)))

    def normalised(self, mip: Tensor) -> Tensor:
        """Return the trunk's input: the published order of operations, so equal to the last bit."""
        return (mip.float() / 255 - self.mean) / self.std

    def head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map of the trunk's features: FP32 in every precision."""
        anomaly_map = pseudo_huber(self.last(features))
        return anomaly_map.mean((2, 3)), anomaly_map


def pseudo_huber(output: Tensor) -> Tensor:
    """Return `sqrt(o^2 + 1) - 1` as `o^2 / (sqrt(o^2 + 1) + 1)`, which keeps its digits where |o| is small."""
    squared = output * output
    return squared / (torch.sqrt(squared + 1) + 1)


def _vgg_trunk(widths: tuple[int, ...]) -> dict[str, nn.Module]:
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(zip((3, *widths), widths, strict=False)):
        if index in {1, 2, 4}:
            layers.append(nn.MaxPool2d(2, 2))
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return {"features": nn.Sequential(*layers)}


def _cnn_trunk(widths: tuple[int, ...], bias: bool) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {}
    kernels = (5, 5, 3, 3, 3)
    for index, (inputs, outputs, kernel) in enumerate(zip((3, *widths), widths, kernels, strict=False), start=1):
        layers[f"conv{index}"] = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        if index < len(widths):
            layers[f"bn2d{index}"] = nn.BatchNorm2d(outputs, eps=1e-4, affine=bias)
            layers[f"act{index}"] = nn.LeakyReLU(0.01)
        if index in {1, 2, 4}:
            layers[f"pool{index}"] = nn.MaxPool2d(3, 2, 1)
    return layers


def _flattened(module: nn.Module) -> list[nn.Module]:
    children = list(module.children())
    return [leaf for child in children for leaf in _flattened(child)] if children else [module]


def _folded(layers: list[nn.Module]) -> list[nn.Module]:
    """Fold every batch norm into the convolution before it."""
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            convolution = folded.pop()
            assert isinstance(convolution, nn.Conv2d)
            folded.append(fuse_conv_bn_eval(convolution.eval(), layer.eval()))
        else:
            folded.append(layer)
    return folded


def _summed_over_inputs(convolution: nn.Module) -> nn.Conv2d:
    assert isinstance(convolution, nn.Conv2d)
    grey = nn.Conv2d(1, convolution.out_channels, convolution.kernel_size, padding=convolution.padding)  # type: ignore[arg-type]
    with torch.no_grad():
        grey.weight.copy_(convolution.weight.double().sum(1, keepdim=True))
        grey.bias = convolution.bias
    return grey
