"""Rounding weights to a grid so that their errors cancel on the inputs that a convolution really sees.

Rounded one by one, the errors of a channel's weights add up where its inputs are alike, as they are in a bright, flat
lesion: with 7 bits a white disc lost up to 15 % of its map. Here weights are rounded one after the other, and the error
of each is taken back by those that are not rounded yet, as far as the inputs' second moments say they can (Frantar et
al., GPTQ, 2022, after Hassibi and Stork, Optimal Brain Surgeon, 1993).
"""

import torch
from torch import Tensor

DAMPING = 0.01
"""Added to the second moments, as a share of their mean square: few cells say little about some directions."""
COLUMNS = 128
"""Rounded before their errors reach the weights behind them: one large product is faster than many small ones."""


def rounded_weight(weight: Tensor, steps: Tensor, levels: int, patches: Tensor) -> Tensor:
    """Return the weight on its grid.

    Parameters
    ----------
    weight : float32 (outputs, inputs, rows, columns)
    steps : float32 (outputs,), of the grid
    levels : largest code; the smallest is its negative
    patches : what the weights are multiplied with, float32 (cells, inputs * rows * columns)
    """
    moments = (patches.T @ patches).double()
    damping = DAMPING * moments.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
    moments = moments + damping * torch.eye(len(moments), dtype=torch.float64)
    # Inputs that matter most go first, while there are many others to take their errors back.
    order = moments.diagonal().argsort(descending=True, stable=True)
    # U with U^T U = the inverse: row j says how later weights take back an error of j.
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments[order][:, order]))
    upper: Tensor = torch.linalg.cholesky(inverse, upper=True)
    left = weight.flatten(1)[:, order].double()
    rounded = torch.empty_like(left)
    for start in range(0, left.shape[1], COLUMNS):
        block = slice(start, start + COLUMNS)
        rounded[:, block], errors = _rounded_block(left[:, block], steps.double(), levels, upper[block, block])
        left[:, start + COLUMNS :] -= errors @ upper[block, start + COLUMNS :]
    return rounded[:, order.argsort()].reshape(weight.shape).to(weight.dtype)


def _rounded_block(left: Tensor, steps: Tensor, levels: int, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Round some columns, each taking back the errors before it; return them and their errors, float64."""
    left, rounded, errors = left.clone(), torch.empty_like(left), torch.empty_like(left)
    for column in range(left.shape[1]):
        rounded[:, column] = (left[:, column] / steps).round().clamp(-levels, levels) * steps
        errors[:, column] = (left[:, column] - rounded[:, column]) / upper[column, column]
        left[:, column:] -= errors[:, column, None] * upper[column, column:]
    return rounded, errors
