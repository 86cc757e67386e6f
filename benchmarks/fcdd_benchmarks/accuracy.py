"""Accuracy of anomaly scores: ROC AUC with its bootstrap interval, and thresholds for a wanted sensitivity."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]
"""Anomaly scores, float (N,), higher is more anomalous."""

Labels = npt.NDArray[np.bool_]
"""Truth, bool (N,): True is anomalous."""


@dataclass(frozen=True)
class AucEstimate:
    """An area under the ROC curve and how far it can be trusted."""

    auc: float
    """0..1."""
    low: float
    """2.5 % quantile of the bootstrap."""
    high: float
    """97.5 % quantile of the bootstrap."""
    normals: int
    anomalies: int


def roc_auc(scores: Scores, labels: Labels) -> float:
    """Return the area under the ROC curve: the share of (anomaly, normal) pairs in order, a tie counting half.

    Computed from midranks, as the Mann-Whitney statistic.

    Raises
    ------
    ValueError
        If the shapes differ, a score is not finite, or a class has no example.
    """
    _check(scores, labels)
    anomalies = int(labels.sum())
    normals = labels.size - anomalies
    rank_sum = midranks(scores)[labels].sum()
    return float((rank_sum - anomalies * (anomalies + 1) / 2) / (anomalies * normals))


def auc_with_interval(scores: Scores, labels: Labels, resamples: int = 2000, seed: int = 0) -> AucEstimate:
    """Return the AUC with its 95 % percentile bootstrap interval.

    Normals and anomalies are resampled separately, so that every resample has both. Scores are taken as independent,
    although two breasts of one exam are not quite.

    Raises
    ------
    ValueError
        As `roc_auc`.
    """
    auc = roc_auc(scores, labels)
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(~labels), np.flatnonzero(labels)
    drawn = [np.concatenate([rng.choice(group, group.size) for group in groups]) for _ in range(resamples)]
    low, high = np.quantile([roc_auc(scores[pick], labels[pick]) for pick in drawn], [0.025, 0.975])
    return AucEstimate(auc, float(low), float(high), groups[0].size, groups[1].size)


def threshold_for_sensitivity(scores: Scores, labels: Labels, sensitivity: float) -> float:
    """Return the highest threshold at which at least `sensitivity` of the anomalies score >= threshold.

    Raises
    ------
    ValueError
        As `roc_auc`, or if `sensitivity` is not in (0, 1].
    """
    _check(scores, labels)
    if not 0 < sensitivity <= 1:
        raise ValueError(f"a sensitivity lies in (0, 1], {sensitivity} does not")
    falling = np.sort(scores[labels])[::-1]
    # The small slack keeps 0.95 * 100 from becoming 96 where the product is not exact.
    needed = int(np.ceil(sensitivity * falling.size - 1e-9))
    return float(falling[needed - 1])


def sensitivity_at(scores: Scores, labels: Labels, threshold: float) -> float:
    """Return the share of anomalies with score >= threshold, 0..1."""
    _check(scores, labels)
    return float((scores[labels] >= threshold).mean())


def specificity_at(scores: Scores, labels: Labels, threshold: float) -> float:
    """Return the share of normals with score < threshold, 0..1."""
    _check(scores, labels)
    return float((scores[~labels] < threshold).mean())


def midranks(values: Scores) -> npt.NDArray[np.float64]:
    """Return the ranks of `values`, counted from 1; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[group.ravel()]
    return ranks


def _check(scores: Scores, labels: Labels) -> None:
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores and labels are (N,), these are {scores.shape} and {labels.shape}")
    if labels.dtype != np.bool_:
        raise ValueError(f"labels are bool, these are {labels.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")
    if labels.all() or not labels.any():
        raise ValueError("both normal and anomalous examples are needed")
