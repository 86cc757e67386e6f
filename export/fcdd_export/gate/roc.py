"""ROC analysis of anomaly scores: AUC and its change with bootstrap intervals, thresholds for a wanted sensitivity.

Also precision and recall, at the prevalence of the images or at another.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST_RANKED = 3
"""Values that have an order worth comparing: two are in the right one, or not, by chance."""

Scores = npt.NDArray[np.floating[Any]]
"""Anomaly scores, float (N,), higher is more anomalous."""

Labels = npt.NDArray[np.bool_]
"""Truth, bool (N,): True is anomalous."""

Groups = npt.NDArray[np.integer[Any]]
"""Whom each image is of, integers (N,): images of one patient share a number."""

Picks = npt.NDArray[np.intp]
"""Indices of the images of one resample, drawn with replacement."""


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
class RocCurve:
    """Rates at every threshold, from the one that flags nothing to the one that flags everything."""

    false_positive_rate: npt.NDArray[np.float64]
    """1 - specificity, float64 (T,), rising from 0 to 1."""
    true_positive_rate: npt.NDArray[np.float64]
    """Sensitivity, float64 (T,), rising from 0 to 1."""
    thresholds: npt.NDArray[np.float64]
    """float64 (T,), falling; infinity first, then every score that occurs. Flagged means score >= threshold."""


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


def roc_curve(scores: Scores, labels: Labels) -> RocCurve:
    """Return the ROC curve with a point for every score that occurs.

    Raises
    ------
    ValueError
        As `roc_auc`.
    """
    true, false, thresholds = _flagged_counts(scores, labels)
    return RocCurve(
        np.concatenate([[0.0], false / false[-1]]),
        np.concatenate([[0.0], true / true[-1]]),
        np.concatenate([[np.inf], thresholds]),
    )


def average_precision(scores: Scores, labels: Labels, prevalence: float | None = None) -> float:
    """Return the area under the precision-recall curve, as the sum of precision times the step in recall.

    Parameters
    ----------
    prevalence : share of anomalies, 0..1, that the images are weighted to; None: as they are

    Raises
    ------
    ValueError
        As `roc_auc`, or if `prevalence` is not in (0, 1).
    """
    true, false, _ = _flagged_counts(scores, labels)
    recall, false_rate = true / true[-1], false / false[-1]
    share = float(labels.mean()) if prevalence is None else _checked_prevalence(prevalence)
    precision = share * recall / (share * recall + (1 - share) * false_rate)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def predictive_value(sensitivity: float, specificity: float, prevalence: float) -> float:
    """Return the share of flagged images that are anomalous, by Bayes' rule; NaN if nothing is flagged."""
    flagged = sensitivity * _checked_prevalence(prevalence), (1 - specificity) * (1 - prevalence)
    return flagged[0] / sum(flagged) if sum(flagged) else float("nan")


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


def bootstrap_picks(labels: Labels, groups: Groups | None = None, resamples: int = 2000, seed: int = 0) -> list[Picks]:
    """Draw resamples for a bootstrap, each with normals and anomalies.

    Without groups, normals and anomalies are resampled separately, so that their numbers stay. With groups, whole
    groups are (a cluster bootstrap), those with an anomaly apart from those without; the few resamples that lack a
    class are drawn again.
    """
    if groups is None:
        return _resampled(labels, resamples, seed)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    strata = [[member for member in members if labels[member].any() == kind] for kind in (False, True)]
    picks: list[Picks] = []
    while len(picks) < resamples:
        drawn = [stratum[index] for stratum in strata for index in rng.integers(0, len(stratum) or 1, len(stratum))]
        pick: Picks = np.concatenate(drawn)
        if labels[pick].any() and not labels[pick].all():
            picks.append(pick)
    return picks


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
    if first.size < FEWEST_RANKED or not finite or second.min() == second.max():
        return None
    if first.min() == first.max():
        return 0.0
    return float(np.corrcoef(midranks(first), midranks(second))[0, 1])


def _resampled(labels: Labels, resamples: int, seed: int) -> list[npt.NDArray[np.intp]]:
    """Draw indices with replacement, from normals and anomalies separately."""
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(~labels), np.flatnonzero(labels)
    return [np.concatenate([rng.choice(group, group.size) for group in groups]) for _ in range(resamples)]


def _flagged_counts(
    scores: Scores, labels: Labels
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count flagged anomalies and normals at each score that occurs, highest first; also return those scores."""
    _check(scores, labels)
    thresholds, place = np.unique(scores, return_inverse=True)
    true, false = (
        np.cumsum(np.bincount(place.ravel()[chosen], minlength=thresholds.size)[::-1]) for chosen in (labels, ~labels)
    )
    return true, false, thresholds[::-1].astype(np.float64)


def _checked_prevalence(prevalence: float) -> float:
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence lies between 0 and 1, {prevalence} does not")
    return prevalence


def _check(scores: Scores, labels: Labels) -> None:
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores and labels are (N,), these are {scores.shape} and {labels.shape}")
    if labels.dtype != np.bool_:
        raise ValueError(f"labels are bool, these are {labels.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")
    if labels.all() or not labels.any():
        raise ValueError("both normal and anomalous examples are needed")
