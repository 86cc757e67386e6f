"""The networks that are taken, by the class names of the published code: a family's file lists its own."""

from fcdd_export.networks import fcdd, fcdd_ref, hsc_bce
from fcdd_export.networks.published import PublishedNetwork
from fcdd_runtime.contract import Upsampling

NETWORKS: dict[str, type[PublishedNetwork]] = {**fcdd.NETWORKS, **fcdd_ref.NETWORKS, **hsc_bce.NETWORKS}
"""All take 224 x 224 pixels and answer a 28 x 28 map."""


def published_network(net: str, bias: bool = True) -> PublishedNetwork:
    """Build a published network, with random weights; `bias` as in `PublishedNetwork`."""
    return NETWORKS[net](bias)


def upsampling_of(net: str, std: float) -> Upsampling:
    """Return the heatmap upsampling of a published network; `std` in image pixels."""
    jump, extent, shift = NETWORKS[net].receptive_field
    return Upsampling(jump=jump, extent=extent, shift=shift, std=std)
