"""The layers that the published networks are built of, and folding a trunk for inference."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

VGG_WIDTHS = (64, 128, 256, 256, 512, 512, 512, 512)
"""Output channels of VGG11's convolutions, in order."""
TRUNK_CONVOLUTIONS = 6
"""Convolutions of VGG11 in front of the published cut."""
VGG_POOLS = frozenset({0, 1, 3, 5, 7})
"""Which of these convolutions, from 0, a pooling layer follows."""


def vgg_layers(convolutions: int) -> list[nn.Module]:
    """Return VGG11-BN up to the activation of its `convolutions`-th convolution; all eight end in a pooling layer."""
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(zip((3, *VGG_WIDTHS), VGG_WIDTHS[:convolutions], strict=False)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        if index in VGG_POOLS:
            layers.append(nn.MaxPool2d(2, 2))
    cut = convolutions < len(VGG_WIDTHS) and convolutions - 1 in VGG_POOLS
    return layers[:-1] if cut else layers


def cnn_layers(widths: tuple[int, ...], bias: bool) -> dict[str, nn.Module]:
    """Return the published small trunk by its entry names; the last convolution has no batch norm."""
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


def flattened(module: nn.Module) -> list[nn.Module]:
    """Return the layers of nested sequences, in order."""
    children = list(module.children())
    return [leaf for child in children for leaf in flattened(child)] if children else [module]


def folded(layers: list[nn.Module]) -> list[nn.Module]:
    """Fold every batch norm into the convolution before it, and leave out what does nothing at inference."""
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            convolution = kept.pop()
            assert isinstance(convolution, nn.Conv2d)
            kept.append(fuse_conv_bn_eval(convolution.eval(), layer.eval()))
        elif not isinstance(layer, nn.Dropout):
            kept.append(layer)
    return kept


def summed_over_inputs(convolution: nn.Module) -> nn.Conv2d:
    """Return the convolution that answers for one grey channel what `convolution` answers for three equal ones."""
    assert isinstance(convolution, nn.Conv2d)
    grey = nn.Conv2d(1, convolution.out_channels, convolution.kernel_size, padding=convolution.padding)  # type: ignore[arg-type]
    with torch.no_grad():
        grey.weight.copy_(convolution.weight.double().sum(1, keepdim=True))
        grey.bias = convolution.bias
    return grey
