"""ROC analysis of anomaly scores: AUC and its change with bootstrap intervals, thresholds for a wanted sensitivity."""

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


@dataclass(frozen=True)
class AucChange:
    """By how much other scores of the same images change the area under the ROC curve."""

    auc: float
    """Of the changed scores, 0..1."""
    change: float
    """Against the reference's scores."""
    low: float
    """2.5 % quantile of the change in a paired bootstrap."""
    high: float
    """97.5 % quantile."""


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
    drawn = _resampled(labels, resamples, seed)
    low, high = np.quantile([roc_auc(scores[pick], labels[pick]) for pick in drawn], [0.025, 0.975])
    return AucEstimate(auc, float(low), float(high), int((~labels).sum()), int(labels.sum()))


def auc_change(scores: Scores, reference: Scores, labels: Labels, resamples: int = 2000, seed: int = 0) -> AucChange:
    """Return the AUC, and its change against the reference's scores with a paired 95 % percentile bootstrap interval.

    Both sets of scores are resampled by the same images, so that what they have in common cancels.

    Raises
    ------
    ValueError
        As `roc_auc`, for either set.
    """
    auc, before = roc_auc(scores, labels), roc_auc(reference, labels)
    changes = [
        roc_auc(scores[pick], labels[pick]) - roc_auc(reference[pick], labels[pick])
        for pick in _resampled(labels, resamples, seed)
    ]
    low, high = np.quantile(changes, [0.025, 0.975])
    return AucChange(auc, auc - before, float(low), float(high))


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


def rank_correlation(first: Scores, second: Scores) -> float | None:
    """Return Spearman's correlation of scores with a reference's; 0 where only the reference varies.

    None for fewer than three values, one that is not finite, or a reference whose values are all equal.
    """
    finite = bool(np.isfinite(first).all() and np.isfinite(second).all())
    if first.size < 3 or not finite or second.min() == second.max():
        return None
    if first.min() == first.max():
        return 0.0
    return float(np.corrcoef(midranks(first), midranks(second))[0, 1])


def _resampled(labels: Labels, resamples: int, seed: int) -> list[npt.NDArray[np.intp]]:
    """Draw indices with replacement, from normals and anomalies separately."""
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(~labels), np.flatnonzero(labels)
    return [np.concatenate([rng.choice(group, group.size) for group in groups]) for _ in range(resamples)]


def _check(scores: Scores, labels: Labels) -> None:
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores and labels are (N,), these are {scores.shape} and {labels.shape}")
    if labels.dtype != np.bool_:
        raise ValueError(f"labels are bool, these are {labels.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")
    if labels.all() or not labels.any():
        raise ValueError("both normal and anomalous examples are needed")
