"""Fitting the last convolution, which stays in FP32, to the quantised features in front of it."""

import torch
from torch import Tensor, nn

from fcdd_export.int8.quantized_trunk import QuantizedTrunk

NOISE = 0.1
"""Outputs below this count alike: the pseudo-Huber norm makes next to nothing of them."""
RIDGE = 1e-4
"""Pull towards the published weights, as a share of the features' mean square."""


def fitted_last_layer(last: nn.Conv2d, trunk: QuantizedTrunk, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight and bias with which quantised features answer what FP32's features answered.

    Least squares over all cells of the calibration images, each weighted by 1 / (|output| + NOISE): an anomaly's
    output is a hundred times normal tissue's, and must not pay for its error with the order of the normal scores.

    Parameters
    ----------
    features : what the last convolution will see, float32 (N, channels, rows, columns)

    Returns
    -------
    weight float32 (outputs, channels, 1, 1) and bias float32 (outputs,)
    """
    assert last.bias is not None
    # The published weights for features divided by the trunk's factors, float64 (channels + 1, outputs).
    weight = last.weight[:, :, 0, 0].double() * trunk.factors.double()
    start = torch.cat((weight.T, last.bias.double()[None]), 0)
    rounded = _columns(features)
    truth = _columns(trunk.features) @ start
    fitted = torch.stack([_fitted(rounded, truth[:, output], start[:, output]) for output in range(truth.shape[1])])
    return fitted[:, :-1, None, None].float(), fitted[:, -1].float()


def _columns(features: Tensor) -> Tensor:
    """Return float64 (cells, channels + 1): one row a map cell, and a column of ones for the bias."""
    rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).double()
    return torch.cat((rows, torch.ones(len(rows), 1, dtype=torch.float64)), 1)


def _fitted(rows: Tensor, truth: Tensor, start: Tensor) -> Tensor:
    weighted = rows / (truth.abs() + NOISE)[:, None]
    residual = (truth - rows @ start) / (truth.abs() + NOISE)
    square = weighted.T @ weighted
    ridge = RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    change: Tensor = torch.linalg.solve(square + ridge, weighted.T @ residual)
    return start + change
