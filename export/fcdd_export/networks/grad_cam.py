"""Scores and forward-only Grad-CAM of the two classifying networks, HSC and BCE.

Grad-CAM at the feature map A (512 channels k of 28 x 28 cells p) for a target t is

    map(p) = max(0, sum_k a_k A_k(p)),    a_k = mean over p of dt/dA_k(p),    the mean over 28 * 28 cells.

Between A and t lie a max pooling, an average pooling and a form of the pooled values. Max pooling passes the gradient
of each of its maxima on to the one cell that it was taken from (on ties to one of them), so the sum over p of
dt/dA_k(p) equals the sum of t's derivatives by the maxima of channel k, whichever cells were taken: neither their
places nor a backward pass is needed. The windows do not overlap and leave no cell out, since 28 is a multiple of both
window sizes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CELLS = 28 * 28
"""Cells of the feature map, over which Grad-CAM averages the gradient."""
CLASSIFIER_GRID = 7
"""Rows and columns that the BCE network's linear layer sees."""


class GradCamHead(nn.Module):
    """What a classifying network has behind its trunk: score (N, 1) and Grad-CAM (N, 1, 28, 28) of the features."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map of features float32 (N, 512, 28, 28): what speaks against the target counts as 0."""
        score, weighted = self.uncut(features)
        return score, functional.relu(weighted)

    def uncut(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map before that: rounding errors are in proportion to this, however little is above 0."""
        raise NotImplementedError


class HscHead(GradCamHead):
    """Score `sqrt(|z|^2 + 1) - 1` of the pooled features z, and its Grad-CAM.

    z_k is the mean of the 49 maxima of 4 x 4 cells. With s the score, ds/dz_k = z_k / sqrt(|z|^2 + 1), and each maximum
    gets a 49th of it: their sum is ds/dz_k again, so a_k = z_k / sqrt(|z|^2 + 1) / 784.
    """

    def uncut(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score and sum_k a_k A_k(p)."""
        pooled = functional.max_pool2d(features, 4, 4).mean((2, 3))
        squared = (pooled * pooled).sum(1, keepdim=True)
        root = torch.sqrt(squared + 1)
        weights = pooled / root / CELLS
        # As a fraction it keeps its digits where |z| is small; the plain difference cancels.
        return squared / (root + 1), (weights[:, :, None, None] * features).sum(1, keepdim=True)


class BceHead(GradCamHead):
    """Probability `sigmoid(l)` of the logit l, and Grad-CAM of the logit.

    Maxima of 2 x 2 cells are averaged by 2 x 2 to 7 x 7 values, which the linear layer weighs with w_kc. Each of a
    value's four maxima gets w_kc / 4, so a_k = (sum over the 49 values c of w_kc) / 784: a constant of the network.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.channel_weights: Tensor
        per_channel = linear.weight.detach().double().view(1, -1, CLASSIFIER_GRID**2).sum(2) / CELLS
        self.register_buffer("channel_weights", per_channel.float()[:, :, None, None])

    def uncut(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score and sum_k a_k A_k(p)."""
        maxima = functional.max_pool2d(features, 2, 2)
        pooled = functional.avg_pool2d(maxima, 2, 2)
        logit = functional.linear(pooled.flatten(1), self.weight, self.bias)
        return torch.sigmoid(logit), functional.conv2d(features, self.channel_weights)
