"""How far two float32 computations of one network may be apart, on any processor.

Rounding errs by up to u = 2^-24 of what is rounded, as a random number would: with a standard deviation of u / sqrt(3).
A sum of n terms is rounded n times, so it is off by sqrt(n) times that, in whatever order and with whatever
instructions it is computed (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019), and layers
behind each other add their variances. All this is in proportion to the partial sums on the way, not to what is left at
the end, which can be next to nothing: large terms cancel, and ReLU cuts them off.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fcdd_export.gate.drift import Inputs, Outputs
from fcdd_export.networks.layers import flattened
from fcdd_export.networks.served import ServedNetwork

LARGEST_ERROR = 5.0
"""Standard deviations: one in two million normal numbers lies farther out."""
OF_A_DIFFERENCE = LARGEST_ERROR * math.sqrt(2 / 3) * 2.0**-24
"""Share of a number by which it may differ where it was rounded once in each of two computations."""


def assert_equal_but_for_rounding(found: Outputs, expected: Outputs, network: ServedNetwork, inputs: Inputs) -> None:
    """Compare what a network answered for the same images in two ways, in float32 or better."""
    scores, maps = rounding_limits(network, inputs)
    np.testing.assert_array_less(np.abs(found.scores - expected.scores) / scores, 1)
    np.testing.assert_array_less(np.abs(found.maps - expected.maps) / maps[:, None, None], 1)


def rounding_limits(network: ServedNetwork, inputs: Inputs) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return how far scores, and cells of maps, may be apart: float64 (N,) each."""
    layers = [layer for layer in flattened(network) if isinstance(layer, nn.Conv2d | nn.Linear)]
    share = OF_A_DIFFERENCE * math.sqrt(sum(layer.weight[0].numel() for layer in layers))
    trunks = [network.get_submodule(name) for name in network.trunks]
    features: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        features.append(output.detach().requires_grad_())
        return features[-1]

    hooks = [trunk.register_forward_hook(keep) for trunk in trunks]
    scores, maps = network.uncut(*(torch.from_numpy(images) for images in inputs.values()))
    for hook in hooks:
        hook.remove()
    cells = maps.flatten(1)
    # Where a map is highest, and where the features are: these may cancel there.
    [planes] = [values.detach() for values in features if values.ndim > 2]
    brightest = planes.square().sum(1).reshape(len(maps), -1, cells.shape[1]).sum(1).argmax(1)
    picked = [cells.gather(1, place[:, None]) for place in (cells.abs().argmax(1), brightest)]
    of_scores, *of_maps = (share * _partial_sums(output, features) for output in (scores, *picked))
    return of_scores, np.maximum(*of_maps)


def _partial_sums(output: Tensor, features: Sequence[Tensor]) -> npt.NDArray[np.float64]:
    """Return how large partial sums are on the way from the features to an output (N, 1), in its scale: float64 (N,).

    To first order an output changes by the sum of t_k e_k where the features of channel k change by the share e_k. The
    partial sums of the terms t_k walk at random, and towards the whole sum.
    """
    squares = torch.zeros(len(output))
    for values, gradient in zip(features, torch.autograd.grad(output.sum(), features, retain_graph=True), strict=True):
        # Cells are rounded alike where the image is flat, channels are not.
        terms = (values * gradient).detach().flatten(2 if values.ndim > 2 else 1)
        terms = (terms.sum(2) if terms.ndim > 2 else terms).reshape(len(output), -1)
        squares += terms.square().sum(1) + terms.sum(1).square()
    return squares.sqrt().double().numpy()
